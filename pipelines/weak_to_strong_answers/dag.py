"""The pipeline of weak-to-strong generalization in written answers.

Annotations are evaluated by KFP, so this module does not postpone them.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Markdown, Metrics, Output

from pipelines import components as step
from pipelines.components import component, on_cluster

DESCRIPTION = """\
**Weak-to-strong generalization in written answers** (Burns et al. 2023): chess moves, or any answers that can be marked.

For each seed weak models and ceilings are fine-tuned on ground truth; each weak model answers the transfer split
greedily; every larger strong model is fine-tuned on those answers, straight or through models between, each of which
learns what the one before wrote; all are marked on the test split, and compared.

| setting | unit, meaning |
|---|---|
| `data_task` | a registered task of questions whose answers can be marked |
| `data_train_rows` `data_test_rows` | questions; `train` is that of the weak split, and again of the transfer split |
| `models_weak` `models_strong` | lists of `{"uri", "revision", "layers", "train_from_layer", "learning_rate"}`, from small to large; every weak model teaches every strong one |
| `train_epochs` `train_batch_size` `train_learning_rate` `train_max_length` `train_lora_rank` | fine-tuning: passes, answers a step, peak rate, tokens, rank (0: all weights) |
| `write_max_new_tokens` | tokens of an answer |
| `methods` | among naive, bootstrapping |
| `method_bootstrapping_models` | the models between, from small to large |
| `seeds` | each is a whole experiment |
| `nonce` | any new text forces fresh work |
"""  # noqa: E501 - a table's row is a line


@component
def plan_weak_to_strong_answers(
    data_task: str,
    data_train_rows: int,
    data_test_rows: int,
    models_weak: list,
    models_strong: list,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_max_length: int,
    train_lora_rank: int,
    write_max_new_tokens: int,
    methods: list[str],
    method_bootstrapping_models: list,
    seeds: list[int],
    nonce: str,
) -> NamedTuple("Planned", [("plan", dict), ("data", dict)]):  # type: ignore[valid-type]
    """Validates the experiment's settings; says what data it needs."""
    settings = dict(locals())
    from pipelines.weak_to_strong_answers import run

    return run.plan(settings)


@component
def list_truths(plan: dict, datasets: dict) -> list[dict]:
    """Lists the models to train on ground truth: weak ones and ceilings."""
    from pipelines.weak_to_strong_answers import run

    return run.list_truths(plan, datasets)


@component
def list_writers(plan: dict, datasets: dict, truths: list) -> list[dict]:
    """Lists whose answers are learned."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_answers import run

    return run.list_writers(plan, datasets, received(truths))


@component
def write(item: dict) -> dict:
    """Has a weak model answer."""
    from pipelines.steps.handover import hand_over
    from pipelines.weak_to_strong_answers import run

    return hand_over(run.write(item))


@component
def list_students(plan: dict, datasets: dict, written: list) -> list[dict]:
    """Lists the students: every method, gap and seed."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_answers import run

    return run.list_students(plan, datasets, received(written))


@component
def learn(item: dict) -> dict:
    """Trains a student, through models between where there are some, and evaluates it."""
    from pipelines.steps.handover import hand_over
    from pipelines.weak_to_strong_answers import run

    return hand_over(run.learn(item))


@component
def report(
    plan: dict,
    datasets: dict,
    truths: list,
    written: list,
    students: list,
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
    files: Output[Artifact],
) -> None:
    """Compares, and writes the report."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_answers import run

    figures = run.report(
        plan, datasets, received(truths), received(written), received(students), html.path, markdown.path, files.path
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.pipeline(name="weak-to-strong-answers", description=DESCRIPTION)
def weak_to_strong_answers(
    data_task: str,
    data_train_rows: int,
    data_test_rows: int,
    models_weak: list,
    models_strong: list,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_max_length: int,
    train_lora_rank: int,
    write_max_new_tokens: int,
    methods: list[str],
    method_bootstrapping_models: list,
    seeds: list[int],
    nonce: str,
) -> None:
    """Runs the experiment; its settings are described in DESCRIPTION."""
    planned = on_cluster(plan_weak_to_strong_answers(**locals()))
    plan = planned.outputs["plan"]
    data = on_cluster(step.prepare(data=planned.outputs["data"])).output
    truths = on_cluster(list_truths(plan=plan, datasets=data))
    with dsl.ParallelFor(truths.output, name="ground-truth") as item:
        trained = on_cluster(step.train(item=item), waits=True)
        true = on_cluster(step.evaluate(item=item, run=trained.outputs["Output"]), waits=True)
    writers = on_cluster(list_writers(plan=plan, datasets=data, truths=dsl.Collected(true.output)))
    with dsl.ParallelFor(writers.output, name="answers") as writer:
        wrote = on_cluster(write(item=writer), waits=True)
    listed = on_cluster(list_students(plan=plan, datasets=data, written=dsl.Collected(wrote.output)))
    with dsl.ParallelFor(listed.output, name="students") as student:
        learned = on_cluster(learn(item=student), waits=True)
    on_cluster(
        report(
            plan=plan,
            datasets=data,
            truths=dsl.Collected(true.output),
            written=dsl.Collected(wrote.output),
            students=dsl.Collected(learned.output),
        )
    )
