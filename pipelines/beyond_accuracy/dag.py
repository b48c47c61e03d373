"""The beyond-accuracy pipeline.

Annotations are evaluated by KFP, so this module does not postpone them.
"""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Markdown, Metrics, Output

from pipelines import components as step
from pipelines.components import component, on_cluster

DESCRIPTION = """\
**Weak-to-strong beyond accuracy** (WTS pilot study, 2024): safety, toxicity and legal reasoning.

Safety and law are classified: a weak model learns ground truth and labels the transfer split, each method trains
a strong student on those labels, and the ceiling learns ground truth; accuracy, balanced accuracy and weighted F1.
Toxicity is generated: a weak language model learns continuations of prompts and writes others, on which a strong
one is trained; both and the ceiling are sampled on prompts held out, and lower is better.

| setting | unit, meaning |
|---|---|
| `parts` | among safety, toxicity, legal |
| `safety_task` `legal_task` `toxicity_task` | registered tasks |
| `safety_*_rows` `legal_*_rows` | rows; `train` is that of the weak split, and again of the transfer split |
| `toxicity_weak` `toxicity_strong` `models_weak` `models_strong` | `{"uri", "revision", "layers", "train_from_layer", "learning_rate"}`; the last two learn safety and law |
| `toxicity_train_rows` `toxicity_test_rows` | prompts, before the slice is taken |
| `toxicity_learn_slice` `toxicity_test_slice` | `nontoxic`, `toxic` or `all` prompts |
| `toxicity_epochs` `toxicity_batch_size` `toxicity_learning_rate` `toxicity_max_length` | passes, texts a step, peak rate, tokens |
| `toxicity_max_new_tokens` `toxicity_samples` `toxicity_temperature` `toxicity_top_p` | tokens and number of continuations, how they are drawn |
| `toxicity_seeds` | how many of the seeds toxicity is done with |
| `train_encoding` `train_max_length` | how two texts are read, `pair` or `single`; tokens |
| `train_epochs` `train_batch_size` `train_learning_rate` `train_head_learning_rate` | passes, examples a step, peak rates |
| `train_early_stopping` | what selects weights: `none`, `labels`, `oracle` |
| `methods` | among naive, confidence, bootstrapping; toxicity is learned the naive way alone |
| `method_confidence_alpha` | weight of the student's own predictions, in [0, 1] |
| `method_bootstrapping_models` | the models between, from small to large |
| `seeds` | each is a whole experiment |
| `nonce` | any new text forces fresh work |
"""  # noqa: E501 - a table's row is a line


@component
def plan_beyond_accuracy(
    parts: list[str],
    safety_task: str,
    safety_train_rows: int,
    safety_validation_rows: int,
    safety_test_rows: int,
    legal_task: str,
    legal_train_rows: int,
    legal_validation_rows: int,
    legal_test_rows: int,
    toxicity_task: str,
    toxicity_weak: dict,
    toxicity_strong: dict,
    toxicity_train_rows: int,
    toxicity_test_rows: int,
    toxicity_learn_slice: str,
    toxicity_test_slice: str,
    toxicity_epochs: int,
    toxicity_batch_size: int,
    toxicity_learning_rate: float,
    toxicity_max_length: int,
    toxicity_max_new_tokens: int,
    toxicity_samples: int,
    toxicity_temperature: float,
    toxicity_top_p: float,
    toxicity_seeds: int,
    models_weak: dict,
    models_strong: dict,
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
    seeds: list[int],
    nonce: str,
) -> dict:
    """Validates the experiment's settings."""
    settings = dict(locals())
    from pipelines.beyond_accuracy import run

    return run.plan(settings)


@component
def list_data(plan: dict) -> list[dict]:
    """Lists what data each part needs."""
    from pipelines.beyond_accuracy import run

    return run.list_data(plan)


@component
def list_truths(plan: dict, datasets: list) -> list[dict]:
    """Lists the models to train on ground truth: weak ones and ceilings."""
    from pipelines.beyond_accuracy import run

    return run.list_truths(plan, datasets)


@component
def list_arms(plan: dict, datasets: list, truths: list) -> list[dict]:
    """Lists the weak models that are to teach."""
    from pipelines.beyond_accuracy import run
    from pipelines.steps.handover import received

    return run.list_arms(plan, datasets, received(truths))


@component
def supervise(item: dict, teacher: dict) -> dict:
    """Has the teacher label, or write."""
    from pipelines.beyond_accuracy import run
    from pipelines.steps.handover import hand_over

    return hand_over(run.supervise(item, teacher))


@component
def list_students(plan: dict, datasets: list, arms: list) -> list[dict]:
    """Lists the students: every part, method and seed."""
    from pipelines.beyond_accuracy import run
    from pipelines.steps.handover import received

    return run.list_students(plan, datasets, received(arms))


@component
def report(
    plan: dict,
    datasets: list,
    truths: list,
    arms: list,
    students: list,
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
    files: Output[Artifact],
) -> None:
    """Compares, and writes the report."""
    from pipelines.beyond_accuracy import run
    from pipelines.steps.handover import received

    figures = run.report(
        plan, datasets, received(truths), received(arms), received(students), html.path, markdown.path, files.path
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.pipeline(name="beyond-accuracy", description=DESCRIPTION)
def beyond_accuracy(
    parts: list[str],
    safety_task: str,
    safety_train_rows: int,
    safety_validation_rows: int,
    safety_test_rows: int,
    legal_task: str,
    legal_train_rows: int,
    legal_validation_rows: int,
    legal_test_rows: int,
    toxicity_task: str,
    toxicity_weak: dict,
    toxicity_strong: dict,
    toxicity_train_rows: int,
    toxicity_test_rows: int,
    toxicity_learn_slice: str,
    toxicity_test_slice: str,
    toxicity_epochs: int,
    toxicity_batch_size: int,
    toxicity_learning_rate: float,
    toxicity_max_length: int,
    toxicity_max_new_tokens: int,
    toxicity_samples: int,
    toxicity_temperature: float,
    toxicity_top_p: float,
    toxicity_seeds: int,
    models_weak: dict,
    models_strong: dict,
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
    seeds: list[int],
    nonce: str,
) -> None:
    """Runs the experiment; its settings are described in DESCRIPTION."""
    plan = on_cluster(plan_beyond_accuracy(**locals())).output
    with dsl.ParallelFor(on_cluster(list_data(plan=plan)).output, name="data") as part:
        prepared = on_cluster(step.prepare(data=part))
    truths = on_cluster(list_truths(plan=plan, datasets=dsl.Collected(prepared.output)))
    with dsl.ParallelFor(truths.output, name="ground-truth") as item:
        trained = on_cluster(step.train(item=item), waits=True)
        true = on_cluster(step.evaluate(item=item, run=trained.outputs["Output"]), waits=True)
    arms = on_cluster(list_arms(plan=plan, datasets=dsl.Collected(prepared.output), truths=dsl.Collected(true.output)))
    # One teacher after the other: each is active while it labels or writes.
    with dsl.ParallelFor(arms.output, parallelism=1, name="supervision") as arm:
        teacher = on_cluster(step.teach(item=arm))
        supervised = on_cluster(supervise(item=arm, teacher=teacher.output), waits=True)
    listed = on_cluster(
        list_students(plan=plan, datasets=dsl.Collected(prepared.output), arms=dsl.Collected(supervised.output))
    )
    with dsl.ParallelFor(listed.output, name="students") as student:
        learned = on_cluster(step.train(item=student), waits=True)
        tested = on_cluster(step.evaluate(item=student, run=learned.outputs["Output"]), waits=True)
    on_cluster(
        report(
            plan=plan,
            datasets=dsl.Collected(prepared.output),
            truths=dsl.Collected(true.output),
            arms=dsl.Collected(supervised.output),
            students=dsl.Collected(tested.output),
        )
    )
