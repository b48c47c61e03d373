"""The steps that are this pipeline's own."""

from __future__ import annotations

from pipelines.plans import planned
from pipelines.steps.evaluate import evaluate
from pipelines.steps.generate import generate
from pipelines.steps.guard import FAILED, step
from pipelines.steps.items import Json
from pipelines.steps.select import questions, solutions
from pipelines.steps.teach import register
from pipelines.steps.train import train
from pipelines.weak_to_strong_answers import work
from pipelines.weak_to_strong_answers.plan import Plan
from w2s.artifacts import ArtifactStore
from w2s.client import artifact_root

NOTHING = "{} wrote nothing to learn from"


@step
def plan(settings: Json) -> tuple[Json, Json]:
    """Validates settings; returns the plan, and what `steps.prepare` is to make."""
    return planned(Plan, settings)


@step
def list_truths(plan: Json, datasets: Json) -> list[Json]:
    """The models to train on ground truth."""
    return work.list_truths(Plan.model_validate(plan), datasets)


@step
def list_writers(plan: Json, datasets: Json, truths: list[Json]) -> list[Json]:
    """Whose answers are learned."""
    return work.list_writers(Plan.model_validate(plan), datasets, truths)


@step
def list_students(plan: Json, datasets: Json, written: list[Json]) -> list[Json]:
    """The students."""
    return work.list_students(Plan.model_validate(plan), datasets, written)


@step
def write(item: Json) -> Json:
    """Has a weak model answer the transfer split's questions.

    Returns:
        What the answers are `of`, who gave them, and their dataset: empty where the model wrote nothing.
    """
    teacher = register(item)
    return {"of": item["of"], "teacher": teacher, "answers": _answers(item, item, teacher)}


@step
def learn(item: Json) -> Json:
    """Trains a student on answers, those of the models between where there are some, and evaluates it.

    Each model between learns what the one before wrote, and then writes for the next: bootstrapping over answers
    (Burns et al. 2023, section 4.3.1).
    """
    answers, before = item["answers"], "the weak model"
    for number, hop in enumerate(item["hops"], 1):
        if not answers:
            break
        asked = {**item, "item": f"{item['item']}:hop-{number}"}
        run = train({**asked, "run": {**hop, "dataset": answers}})
        if run["status"] == FAILED:
            return {"of": item["of"], **run}
        teacher = work.writer(item["title"], int(item["of"]["seed"]), run["model"])
        answers, before = _answers(asked, teacher, register(teacher)), f"model {number} between"
    if not answers:
        return {"of": item["of"], "status": FAILED, "reason": NOTHING.format(before)}
    made = {**item, "run": {**item["run"], "dataset": answers}}
    return evaluate(made, train(made))


@step
def report(
    plan: Json,
    datasets: Json,
    truths: list[Json],
    written: list[Json],
    students: list[Json],
    html: str,
    markdown: str,
    folder: str,
) -> dict[str, float]:
    """Writes the report to the paths of the step's artifacts; returns its scalar metrics."""
    # Imported here: only this step draws.
    from pipelines.reporting.write import publish  # noqa: PLC0415
    from pipelines.weak_to_strong_answers.collect import collect  # noqa: PLC0415
    from pipelines.weak_to_strong_answers.report import document  # noqa: PLC0415

    found = document(collect(Plan.model_validate(plan), datasets, truths, written, students))
    return publish(found, html, markdown, folder)


def _answers(item: Json, named: Json, teacher: Json) -> Json:
    """What a teacher answers to the questions, as it is learned."""
    store = ArtifactStore(artifact_root())
    asked = {
        "item": item["item"],
        "dataset": questions(store, item["transfer"]),
        "generation": item["generation"],
        "teacher": named["teacher"],
        "nonce": item["nonce"],
    }
    return solutions(store, generate(asked, teacher))
