"""The delta learning pipeline.

Annotations are evaluated by KFP, so this module does not postpone them.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Markdown, Metrics, Output

from pipelines import components as step
from pipelines.components import component, on_cluster

DESCRIPTION = """\
**Delta learning** (Geng et al. 2025): preferences between the answers of two weak teachers.

For each seed the teachers answer every prompt greedily, and a student learns by length-normalised DPO to prefer the
larger one's answers, which may be worse than its own. Controls: pairs reversed, two answers of one teacher, and
fine-tuning on the chosen answers alone. The evaluator marks everyone before and after; training reads no mark.

| setting | unit, meaning |
|---|---|
| `data_task` | a registered task of prompts whose answers can be marked |
| `data_warm_rows` `data_train_rows` `data_test_rows` | solved questions to warm up on; prompts that teachers answer; questions of the test split |
| `models_teachers` `models_student` | `{"uri", "revision", "layers", "train_from_layer", "learning_rate"}`; teachers from small to large |
| `warm_teacher_epochs` `warm_student_epochs` | passes of fine-tuning on ground truth before; 0 for none |
| `train_epochs` `train_batch_size` `train_learning_rate` `train_max_length` `train_lora_rank` | fine-tuning: passes, texts a step, peak rate, tokens, rank (0: all weights) |
| `write_max_new_tokens` `write_samples` `write_temperature` | tokens of an answer; samples of tied pairs, how they are drawn |
| `preference_beta` `preference_learning_rate` `preference_epochs` | DPO's beta, peak rate, passes |
| `arms` | among delta, reversed, tied, sft |
| `ladder` | every two teachers, and not the smallest and the largest alone |
| `benchmarks` | tasks of the evaluation harness, before and after |
| `seeds` | each is a whole experiment |
| `nonce` | any new text forces fresh work |
"""  # noqa: E501 - a table's row is a line


@component
def plan_delta_learning(
    data_task: str,
    data_warm_rows: int,
    data_train_rows: int,
    data_test_rows: int,
    models_teachers: list,
    models_student: dict,
    warm_teacher_epochs: int,
    warm_student_epochs: int,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_max_length: int,
    train_lora_rank: int,
    write_max_new_tokens: int,
    write_samples: int,
    write_temperature: float,
    preference_beta: float,
    preference_learning_rate: float,
    preference_epochs: int,
    arms: list[str],
    ladder: bool,
    benchmarks: list[str],
    seeds: list[int],
    nonce: str,
) -> NamedTuple("Planned", [("plan", dict), ("data", dict)]):  # type: ignore[valid-type]
    """Validates the experiment's settings; says what data it needs."""
    settings = dict(locals())
    from pipelines.delta_learning import run

    return run.plan(settings)


@component
def list_bases(plan: dict, datasets: dict) -> list[dict]:
    """Lists the teachers and the student."""
    from pipelines.delta_learning import run

    return run.list_bases(plan, datasets)


@component
def base(item: dict) -> dict:
    """Warms a model up, has it marked, and has a teacher answer every prompt."""
    from pipelines.delta_learning import run
    from pipelines.steps.handover import hand_over

    return hand_over(run.base(item))


@component
def list_arms(plan: dict, datasets: dict, bases: list) -> list[dict]:
    """Lists the arms to train."""
    from pipelines.delta_learning import run
    from pipelines.steps.handover import received

    return run.list_arms(plan, datasets, received(bases))


@component
def learn(item: dict) -> dict:
    """Pairs answers up, and trains and evaluates the student on them."""
    from pipelines.delta_learning import run
    from pipelines.steps.handover import hand_over

    return hand_over(run.learn(item))


@component
def report(
    plan: dict,
    datasets: dict,
    bases: list,
    arms: list,
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
    files: Output[Artifact],
) -> None:
    """Holds every arm against the student before, and writes the report."""
    from pipelines.delta_learning import run
    from pipelines.steps.handover import received

    figures = run.report(plan, datasets, received(bases), received(arms), html.path, markdown.path, files.path)
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.pipeline(name="delta-learning", description=DESCRIPTION)
def delta_learning(
    data_task: str,
    data_warm_rows: int,
    data_train_rows: int,
    data_test_rows: int,
    models_teachers: list,
    models_student: dict,
    warm_teacher_epochs: int,
    warm_student_epochs: int,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_max_length: int,
    train_lora_rank: int,
    write_max_new_tokens: int,
    write_samples: int,
    write_temperature: float,
    preference_beta: float,
    preference_learning_rate: float,
    preference_epochs: int,
    arms: list[str],
    ladder: bool,
    benchmarks: list[str],
    seeds: list[int],
    nonce: str,
) -> None:
    """Runs the experiment; its settings are described in DESCRIPTION."""
    planned = on_cluster(plan_delta_learning(**locals()))
    plan = planned.outputs["plan"]
    data = on_cluster(step.prepare(data=planned.outputs["data"])).output
    listed = on_cluster(list_bases(plan=plan, datasets=data))
    with dsl.ParallelFor(listed.output, name="bases") as item:
        made = on_cluster(base(item=item), waits=True)
    wanted = on_cluster(list_arms(plan=plan, datasets=data, bases=dsl.Collected(made.output)))
    with dsl.ParallelFor(wanted.output, name="arms") as arm:
        learned = on_cluster(learn(item=arm), waits=True)
    on_cluster(report(plan=plan, datasets=data, bases=dsl.Collected(made.output), arms=dsl.Collected(learned.output)))
