"""The weak-to-strong pipeline.

Annotations are evaluated by KFP, so this module does not postpone them.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Markdown, Metrics, Output

from pipelines import components as step
from pipelines.components import component, on_cluster

DESCRIPTION = """\
**Weak-to-strong generalization** (Burns et al. 2023) on a classification task.

For each seed the task is split; weak models and ceilings are trained on ground truth; each weak model
becomes the active teacher and labels the transfer split; each method trains a strong student on those
labels; all are evaluated on the test split, and compared.

| setting | unit, meaning |
|---|---|
| `data_task` | a registered task |
| `data_train_rows` `data_validation_rows` `data_test_rows` | rows; `train` is that of the weak split, and again of the transfer split |
| `data_ceiling_split` | whose ground truth ceilings learn |
| `models_weak` `models_strong` | lists of `{"uri", "revision", "layers", "train_from_layer", "learning_rate"}`, from small to large; every weak model teaches every strong one |
| `train_encoding` `train_max_length` | `pair` or `single`; tokens |
| `train_epochs` `train_batch_size` `train_learning_rate` `train_head_learning_rate` | passes, examples a step, peak rates |
| `train_early_stopping` | what selects weights: `none`, `labels`, `oracle` |
| `methods` | among naive, confidence, bootstrapping, generative, probe |
| `method_confidence_alpha` | weight of the student's own predictions, in [0, 1] |
| `method_bootstrapping_models` | the models between, from small to large |
| `method_generative_epochs` | passes of language modelling before the labels |
| `seeds` | each is a whole experiment |
| `nonce` | any new text forces fresh work |
"""  # noqa: E501 - a table's row is a line


@component
def plan_weak_to_strong(
    data_task: str,
    data_train_rows: int,
    data_validation_rows: int,
    data_test_rows: int,
    data_ceiling_split: str,
    models_weak: list,
    models_strong: list,
    train_encoding: str,
    train_max_length: int,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_head_learning_rate: float,
    train_early_stopping: str,
    methods: list[str],
    method_confidence_alpha: float,
    method_bootstrapping_models: list,
    method_generative_epochs: int,
    seeds: list[int],
    nonce: str,
) -> NamedTuple("Planned", [("plan", dict), ("data", dict)]):  # type: ignore[valid-type]
    """Validates the experiment's settings; says what data it needs."""
    settings = dict(locals())
    from pipelines.weak_to_strong import run

    return run.plan(settings)


@component
def list_truths(plan: dict, datasets: dict) -> list[dict]:
    """Lists the models to train on ground truth: floors and ceilings."""
    from pipelines.weak_to_strong import run

    return run.list_truths(plan, datasets)


@component
def list_arms(plan: dict, datasets: dict, truths: list) -> list[dict]:
    """Lists the weak models that are to teach."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong import run

    return run.list_arms(plan, datasets, received(truths))


@component
def evaluate_supervision(item: dict, teacher: dict, labels: dict) -> dict:
    """Evaluates the teacher and its labels; returns all that the supervision made."""
    from pipelines.steps.handover import hand_over
    from pipelines.weak_to_strong import run

    return hand_over(run.evaluate_supervision(item, teacher, labels))


@component
def list_students(plan: dict, datasets: dict, arms: list) -> list[dict]:
    """Lists the students: every gap, method and seed."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong import run

    return run.list_students(plan, datasets, received(arms))


@component
def report(
    plan: dict,
    datasets: dict,
    truths: list,
    arms: list,
    students: list,
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
    files: Output[Artifact],
) -> None:
    """Compares, and writes the report."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong import run

    figures = run.report(
        plan, datasets, received(truths), received(arms), received(students), html.path, markdown.path, files.path
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.pipeline(name="weak-to-strong", description=DESCRIPTION)
def weak_to_strong(
    data_task: str,
    data_train_rows: int,
    data_validation_rows: int,
    data_test_rows: int,
    data_ceiling_split: str,
    models_weak: list,
    models_strong: list,
    train_encoding: str,
    train_max_length: int,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_head_learning_rate: float,
    train_early_stopping: str,
    methods: list[str],
    method_confidence_alpha: float,
    method_bootstrapping_models: list,
    method_generative_epochs: int,
    seeds: list[int],
    nonce: str,
) -> None:
    """Runs the experiment; its settings are described in DESCRIPTION."""
    planned = on_cluster(plan_weak_to_strong(**locals()))
    plan = planned.outputs["plan"]
    data = on_cluster(step.prepare(data=planned.outputs["data"])).output
    truths = on_cluster(list_truths(plan=plan, datasets=data))
    with dsl.ParallelFor(truths.output, name="ground-truth") as item:
        trained = on_cluster(step.train(item=item), waits=True)
        true = on_cluster(step.evaluate(item=item, run=trained.outputs["Output"]), waits=True)
    arms = on_cluster(list_arms(plan=plan, datasets=data, truths=dsl.Collected(true.output)))
    # One teacher after the other: each is active while its labels are made.
    with dsl.ParallelFor(arms.output, parallelism=1, name="supervision") as arm:
        teacher = on_cluster(step.teach(item=arm))
        labels = on_cluster(step.label(item=arm, teacher=teacher.output), waits=True)
        supervised = on_cluster(
            evaluate_supervision(item=arm, teacher=teacher.output, labels=labels.output), waits=True
        )
    listed = on_cluster(list_students(plan=plan, datasets=data, arms=dsl.Collected(supervised.output)))
    with dsl.ParallelFor(listed.output, name="students") as student:
        learned = on_cluster(step.train(item=student), waits=True)
        tested = on_cluster(step.evaluate(item=student, run=learned.outputs["Output"]), waits=True)
    on_cluster(
        report(
            plan=plan,
            datasets=data,
            truths=dsl.Collected(true.output),
            arms=dsl.Collected(supervised.output),
            students=dsl.Collected(tested.output),
        )
    )
