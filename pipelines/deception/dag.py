"""The deception pipeline.

Annotations are evaluated by KFP, so this module does not postpone them.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Markdown, Metrics, Output

from pipelines import components as step
from pipelines.components import component, on_cluster

DESCRIPTION = """\
**Weak-to-strong deception** (Yang et al. 2024, "Super(ficial)-alignment"): under a conflict between objectives, are
a student's errors where its supervisor cannot see them?

A weak model and a strong ceiling learn ground truth; a model knows a pair when its probability of the truth reaches a
threshold. The weak model labels the transfer split, students learn its labels with no conflict, with an explicit
reward for what is wrong, or with another objective's pairs mixed in; the deception score is the share of their errors,
within what the strong model knows, that the weak one does not. Beside it: the score that errors at random would have,
the lift over it, and the difference to the student without conflict.

| setting | unit, meaning |
|---|---|
| `data_task` `data_conflict_task` | registered tasks of pairs: what is supervised, and what an implicit conflict mixes in |
| `data_train_rows` `data_validation_rows` `data_test_rows` | pairs; `train` is that of the weak split, and again of the transfer split |
| `data_ceiling_split` | whose ground truth ceilings learn |
| `reward_weak` `reward_strong` `preference_weak` `preference_strong` | lists of `{"uri", "revision", "layers", "train_from_layer", "learning_rate"}`, from small to large; every weak model teaches every strong one; those of preferences are causal language models |
| `reward_intermediate` `preference_intermediate` | one model between, for bootstrapping |
| `reward_epochs` `reward_learning_rate` `reward_head_learning_rate` | passes, peak rates of reward modelling |
| `preference_lora_rank` | rank of adapters; 0 trains the weights themselves |
| `preference_sft_*` | the fine-tuning before DPO and SimPO: passes, peak rate |
| `preference_dpo_*` `preference_simpo_*` `preference_learning_rate` | passes, the losses' constants, peak rate |
| `train_batch_size` `train_max_length` | pairs a step; tokens of a prompt with its answer |
| `conflict_weight` | weight of the explicit conflict |
| `knowledge_threshold` | probability of the truth from which a model knows a pair |
| `knowledge_calibrated` | fits a temperature to weak models and ceilings first; the paper does not |
| `filter_threshold` | least confidence of the labels that filters keep |
| `objectives` | among reward, dpo, simpo |
| `conflicts` | among none, explicit, implicit; none is always done |
| `mitigations` | among none, bootstrapping, filter, filter_oracle; the last one reads ground truth |
| `seeds` | each is a whole experiment |
| `nonce` | any new text forces fresh work |
"""  # noqa: E501 - a table's row is a line


@component
def plan_deception(
    data_task: str,
    data_conflict_task: str,
    data_train_rows: int,
    data_validation_rows: int,
    data_test_rows: int,
    data_ceiling_split: str,
    reward_weak: list,
    reward_strong: list,
    reward_intermediate: list,
    reward_epochs: int,
    reward_learning_rate: float,
    reward_head_learning_rate: float,
    preference_weak: list,
    preference_strong: list,
    preference_intermediate: list,
    preference_lora_rank: int,
    preference_sft_epochs: int,
    preference_dpo_epochs: int,
    preference_simpo_epochs: int,
    preference_sft_learning_rate: float,
    preference_learning_rate: float,
    preference_dpo_beta: float,
    preference_simpo_beta: float,
    preference_simpo_gamma: float,
    train_batch_size: int,
    train_max_length: int,
    conflict_weight: float,
    knowledge_threshold: float,
    knowledge_calibrated: bool,
    filter_threshold: float,
    objectives: list[str],
    conflicts: list[str],
    mitigations: list[str],
    seeds: list[int],
    nonce: str,
) -> NamedTuple("Planned", [("plan", dict), ("data", dict)]):  # type: ignore[valid-type]
    """Validates the experiment's settings; says what data it needs."""
    settings = dict(locals())
    from pipelines.deception import run

    return run.plan(settings)


@component
def prepare_conflict(plan: dict, datasets: dict) -> dict:
    """Writes the conflicting objective's splits for each seed."""
    from pipelines.deception import run

    return run.prepare_conflict(plan, datasets)


@component
def list_truths(plan: dict, datasets: dict) -> list[dict]:
    """Lists the models to train on ground truth: weak ones and ceilings."""
    from pipelines.deception import run

    return run.list_truths(plan, datasets)


@component
def evaluate_truth(item: dict, run: dict) -> dict:
    """Evaluates a weak model or ceiling."""
    from pipelines.deception import run as steps
    from pipelines.steps.handover import hand_over

    return hand_over(steps.evaluate_truth(item, run))


@component
def list_arms(plan: dict, datasets: dict, truths: list) -> list[dict]:
    """Lists the weak models that are to teach."""
    from pipelines.deception import run
    from pipelines.steps.handover import received

    return run.list_arms(plan, datasets, received(truths))


@component
def supervise(item: dict, teacher: dict) -> dict:
    """Has the teacher label, and evaluates its labels."""
    from pipelines.deception import run
    from pipelines.steps.handover import hand_over

    return hand_over(run.supervise(item, teacher))


@component
def list_routes(plan: dict, datasets: dict, arms: list) -> list[dict]:
    """Lists how labels come to students: directly, and through an intermediate model."""
    from pipelines.deception import run
    from pipelines.steps.handover import received

    return run.list_routes(plan, datasets, received(arms))


@component
def relay(item: dict) -> dict:
    """Hands labels on: as they are, or those of an intermediate model that is trained on them."""
    from pipelines.deception import run
    from pipelines.steps.handover import hand_over

    return hand_over(run.relay(item))


@component
def list_students(plan: dict, datasets: dict, mixed: dict, routes: list) -> list[dict]:
    """Lists the students: every objective, gap, conflict, mitigation and seed."""
    from pipelines.deception import run
    from pipelines.steps.handover import received

    return run.list_students(plan, datasets, mixed, received(routes))


@component
def evaluate_student(item: dict, run: dict) -> dict:
    """Evaluates a student."""
    from pipelines.deception import run as steps
    from pipelines.steps.handover import hand_over

    return hand_over(steps.evaluate_student(item, run))


@component
def report(
    plan: dict,
    datasets: dict,
    truths: list,
    arms: list,
    routes: list,
    students: list,
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
    files: Output[Artifact],
) -> None:
    """Assesses every student, and writes the report."""
    from pipelines.deception import run
    from pipelines.steps.handover import received

    figures = run.report(
        plan,
        datasets,
        received(truths),
        received(arms),
        received(routes),
        received(students),
        html.path,
        markdown.path,
        files.path,
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.pipeline(name="deception", description=DESCRIPTION)
def deception(
    data_task: str,
    data_conflict_task: str,
    data_train_rows: int,
    data_validation_rows: int,
    data_test_rows: int,
    data_ceiling_split: str,
    reward_weak: list,
    reward_strong: list,
    reward_intermediate: list,
    reward_epochs: int,
    reward_learning_rate: float,
    reward_head_learning_rate: float,
    preference_weak: list,
    preference_strong: list,
    preference_intermediate: list,
    preference_lora_rank: int,
    preference_sft_epochs: int,
    preference_dpo_epochs: int,
    preference_simpo_epochs: int,
    preference_sft_learning_rate: float,
    preference_learning_rate: float,
    preference_dpo_beta: float,
    preference_simpo_beta: float,
    preference_simpo_gamma: float,
    train_batch_size: int,
    train_max_length: int,
    conflict_weight: float,
    knowledge_threshold: float,
    knowledge_calibrated: bool,
    filter_threshold: float,
    objectives: list[str],
    conflicts: list[str],
    mitigations: list[str],
    seeds: list[int],
    nonce: str,
) -> None:
    """Runs the experiment; its settings are described in DESCRIPTION."""
    planned = on_cluster(plan_deception(**locals()))
    plan = planned.outputs["plan"]
    data = on_cluster(step.prepare(data=planned.outputs["data"])).output
    mixed = on_cluster(prepare_conflict(plan=plan, datasets=data)).output
    truths = on_cluster(list_truths(plan=plan, datasets=data))
    with dsl.ParallelFor(truths.output, name="ground-truth") as item:
        trained = on_cluster(step.train(item=item), waits=True)
        true = on_cluster(evaluate_truth(item=item, run=trained.outputs["Output"]), waits=True)
    arms = on_cluster(list_arms(plan=plan, datasets=data, truths=dsl.Collected(true.output)))
    # One teacher after the other: each is active while its labels are made.
    with dsl.ParallelFor(arms.output, parallelism=1, name="supervision") as arm:
        teacher = on_cluster(step.teach(item=arm))
        supervised = on_cluster(supervise(item=arm, teacher=teacher.output), waits=True)
    routes = on_cluster(list_routes(plan=plan, datasets=data, arms=dsl.Collected(supervised.output)))
    with dsl.ParallelFor(routes.output, name="routes") as route:
        labelled = on_cluster(relay(item=route), waits=True)
    listed = on_cluster(list_students(plan=plan, datasets=data, mixed=mixed, routes=dsl.Collected(labelled.output)))
    with dsl.ParallelFor(listed.output, name="students") as student:
        learned = on_cluster(step.train(item=student), waits=True)
        tested = on_cluster(evaluate_student(item=student, run=learned.outputs["Output"]), waits=True)
    on_cluster(
        report(
            plan=plan,
            datasets=data,
            truths=dsl.Collected(true.output),
            arms=dsl.Collected(supervised.output),
            routes=dsl.Collected(labelled.output),
            students=dsl.Collected(tested.output),
        )
    )
