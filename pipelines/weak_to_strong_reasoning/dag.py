"""The weak-to-strong reasoning pipeline.

Annotations are evaluated by KFP, so this module does not postpone them.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Markdown, Metrics, Output

from pipelines import components as step
from pipelines.components import component, on_cluster

DESCRIPTION = """\
**Weak-to-strong reasoning** (Yang et al. 2024): selective fine-tuning, then preferences between contrastive samples.

For each seed a weak model learns solved questions and solves those of the transfer split; the strong model solves
them in context of what the weak one wrote; what both answer alike trains students (stage I), perhaps twice. The
stage-I model answers each question several times; votes make pairs, which train it further (stage II). Ground
truth of the transfer split is read by the evaluator and by the ceiling alone.

| setting | unit, meaning |
|---|---|
| `data_task` | a registered task of questions whose answers can be marked |
| `data_train_rows` `data_test_rows` | questions; `train` of the weak split, and again of the transfer split |
| `models_weak` `models_strong` | `{"uri", "revision", "layers", "train_from_layer", "learning_rate"}` |
| `train_epochs` `train_batch_size` `train_learning_rate` `train_max_length` `train_lora_rank` | fine-tuning: passes, solutions a step, peak rate, tokens, rank (0: all weights) |
| `write_max_new_tokens` `write_samples` `write_temperature` | tokens of a solution; solutions a question in stage II, how they are drawn |
| `stage_shots` `stage_iterations` | solved questions in context; how often both sides write, 1 or 2 |
| `stage_arms` | among full_weak, weak_only, icl_only, hybrid |
| `preference_objectives` | among dpo, orpo |
| `preference_trust` `preference_overrule` | shares of samples that must agree: to be believed, and against the weak model |
| `preference_pairs` `preference_epochs` `preference_learning_rate` `preference_beta` `preference_weight` | pairs a question, passes, peak rate, DPO's beta, ORPO's lambda |
| `seeds` | each is a whole experiment |
| `nonce` | any new text forces fresh work |
"""  # noqa: E501 - a table's row is a line


@component
def plan_weak_to_strong_reasoning(
    data_task: str,
    data_train_rows: int,
    data_test_rows: int,
    models_weak: dict,
    models_strong: dict,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_max_length: int,
    train_lora_rank: int,
    write_max_new_tokens: int,
    write_samples: int,
    write_temperature: float,
    stage_shots: int,
    stage_iterations: int,
    stage_arms: list[str],
    preference_objectives: list[str],
    preference_trust: float,
    preference_overrule: float,
    preference_pairs: int,
    preference_epochs: int,
    preference_learning_rate: float,
    preference_beta: float,
    preference_weight: float,
    seeds: list[int],
    nonce: str,
) -> NamedTuple("Planned", [("plan", dict), ("data", dict)]):  # type: ignore[valid-type]
    """Validates the experiment's settings; says what data it needs."""
    settings = dict(locals())
    from pipelines.weak_to_strong_reasoning import run

    return run.plan(settings)


@component
def list_truths(plan: dict, datasets: dict) -> list[dict]:
    """Lists the models to train on ground truth: the weak one and the ceiling."""
    from pipelines.weak_to_strong_reasoning import run

    return run.list_truths(plan, datasets)


@component
def list_writers(plan: dict, datasets: dict, truths: list) -> list[dict]:
    """Lists who writes solutions."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_reasoning import run

    return run.list_writers(plan, datasets, received(truths))


@component
def write(item: dict) -> dict:
    """Has both models solve the questions, and keeps what they agree on."""
    from pipelines.steps.handover import hand_over
    from pipelines.weak_to_strong_reasoning import run

    return hand_over(run.write(item))


@component
def list_learners(plan: dict, datasets: dict, written: list) -> list[dict]:
    """Lists stage I's students."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_reasoning import run

    return run.list_learners(plan, datasets, received(written))


@component
def learn(item: dict) -> dict:
    """Trains and evaluates a student."""
    from pipelines.steps.handover import hand_over
    from pipelines.weak_to_strong_reasoning import run

    return hand_over(run.learn(item))


@component
def list_seconds(plan: dict, datasets: dict, written: list, learners: list) -> list[dict]:
    """Lists what each seed does after its first iteration."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_reasoning import run

    return run.list_seconds(plan, datasets, received(written), received(learners))


@component
def again(item: dict) -> dict:
    """Does the second iteration, where there is one."""
    from pipelines.steps.handover import hand_over
    from pipelines.weak_to_strong_reasoning import run

    return hand_over(run.again(item))


@component
def list_samplers(plan: dict, seconds: list) -> list[dict]:
    """Lists whose samples are voted on."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_reasoning import run

    return run.list_samplers(plan, received(seconds))


@component
def contrast(item: dict) -> dict:
    """Samples, votes, and pairs solutions up."""
    from pipelines.steps.handover import hand_over
    from pipelines.weak_to_strong_reasoning import run

    return hand_over(run.contrast(item))


@component
def list_preferences(plan: dict, datasets: dict, contrasts: list) -> list[dict]:
    """Lists stage II's students."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_reasoning import run

    return run.list_preferences(plan, datasets, received(contrasts))


@component
def report(
    plan: dict,
    datasets: dict,
    truths: list,
    written: list,
    learners: list,
    seconds: list,
    contrasts: list,
    preferences: list,
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
    files: Output[Artifact],
) -> None:
    """Compares, and writes the report."""
    from pipelines.steps.handover import received
    from pipelines.weak_to_strong_reasoning import run

    figures = run.report(
        plan,
        datasets,
        received(truths),
        received(written),
        received(learners),
        received(seconds),
        received(contrasts),
        received(preferences),
        html.path,
        markdown.path,
        files.path,
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.pipeline(name="weak-to-strong-reasoning", description=DESCRIPTION)
def weak_to_strong_reasoning(
    data_task: str,
    data_train_rows: int,
    data_test_rows: int,
    models_weak: dict,
    models_strong: dict,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_max_length: int,
    train_lora_rank: int,
    write_max_new_tokens: int,
    write_samples: int,
    write_temperature: float,
    stage_shots: int,
    stage_iterations: int,
    stage_arms: list[str],
    preference_objectives: list[str],
    preference_trust: float,
    preference_overrule: float,
    preference_pairs: int,
    preference_epochs: int,
    preference_learning_rate: float,
    preference_beta: float,
    preference_weight: float,
    seeds: list[int],
    nonce: str,
) -> None:
    """Runs the experiment; its settings are described in DESCRIPTION."""
    planned = on_cluster(plan_weak_to_strong_reasoning(**locals()))
    plan = planned.outputs["plan"]
    data = on_cluster(step.prepare(data=planned.outputs["data"])).output
    truths = on_cluster(list_truths(plan=plan, datasets=data))
    with dsl.ParallelFor(truths.output, name="ground-truth") as item:
        trained = on_cluster(step.train(item=item), waits=True)
        true = on_cluster(step.evaluate(item=item, run=trained.outputs["Output"]), waits=True)
    writers = on_cluster(list_writers(plan=plan, datasets=data, truths=dsl.Collected(true.output)))
    with dsl.ParallelFor(writers.output, name="solutions") as writer:
        wrote = on_cluster(write(item=writer), waits=True)
    listed = on_cluster(list_learners(plan=plan, datasets=data, written=dsl.Collected(wrote.output)))
    with dsl.ParallelFor(listed.output, name="stage-one") as learner:
        learned = on_cluster(learn(item=learner), waits=True)
    rounds = on_cluster(
        list_seconds(
            plan=plan, datasets=data, written=dsl.Collected(wrote.output), learners=dsl.Collected(learned.output)
        )
    )
    with dsl.ParallelFor(rounds.output, name="second-iteration") as second:
        repeated = on_cluster(again(item=second), waits=True)
    samplers = on_cluster(list_samplers(plan=plan, seconds=dsl.Collected(repeated.output)))
    with dsl.ParallelFor(samplers.output, name="votes") as sampler:
        paired = on_cluster(contrast(item=sampler), waits=True)
    wanted = on_cluster(list_preferences(plan=plan, datasets=data, contrasts=dsl.Collected(paired.output)))
    with dsl.ParallelFor(wanted.output, name="stage-two") as preference:
        preferred = on_cluster(learn(item=preference), waits=True)
    on_cluster(
        report(
            plan=plan,
            datasets=data,
            truths=dsl.Collected(true.output),
            written=dsl.Collected(wrote.output),
            learners=dsl.Collected(learned.output),
            seconds=dsl.Collected(repeated.output),
            contrasts=dsl.Collected(paired.output),
            preferences=dsl.Collected(preferred.output),
        )
    )
