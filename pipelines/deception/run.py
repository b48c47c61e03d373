"""The steps that are the deception pipeline's own."""

from __future__ import annotations

from pipelines.deception import work
from pipelines.deception.mixed import apart_from_test
from pipelines.deception.plan import Plan
from pipelines.plans import planned
from pipelines.steps.evaluate import evaluate, measure
from pipelines.steps.guard import FAILED, SUCCEEDED, step
from pipelines.steps.items import Json, from_json
from pipelines.steps.prefer import prefer
from pipelines.steps.prepare import prepare
from pipelines.steps.teach import register
from pipelines.steps.train import train
from w2s.artifacts import ArtifactStore
from w2s.client import artifact_root
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2


@step
def plan(settings: Json) -> tuple[Json, Json]:
    """Validates settings; returns the plan, and what `steps.prepare` is to make."""
    return planned(Plan, settings)


@step
def prepare_conflict(plan: Json, datasets: Json) -> Json:
    """The conflicting objective's pairs by split, by seed, without prompts that the test split has."""
    made = Plan.model_validate(plan)
    mixed = prepare(made.data.conflict_task, made.data.sizes.model_dump(), made.seeds)
    return apart_from_test(ArtifactStore(artifact_root()), mixed, datasets)


@step
def list_truths(plan: Json, datasets: Json) -> list[Json]:
    """The models to train on ground truth."""
    return work.list_truths(Plan.model_validate(plan), datasets)


@step
def evaluate_truth(item: Json, run: Json) -> Json:
    """Evaluates a weak model or ceiling on the test split, and on the validation split where the item names it."""
    found = evaluate(item, run)
    if item["validation"]:
        spec = from_json(item["evaluation"], evaluator_pb2.EvaluationSpec())
        spec.dataset.CopyFrom(pb.DatasetRef(**item["validation"]))
        spec.model.CopyFrom(pb.ModelRef(**run["model"]))
        found["validation_evaluation"] = measure(item["item"], spec, item["nonce"])
    return found


@step
def list_arms(plan: Json, datasets: Json, truths: list[Json]) -> list[Json]:
    """The weak models that are to teach."""
    return work.list_arms(Plan.model_validate(plan), datasets, truths)


@step
def supervise(item: Json, teacher: Json) -> Json:
    """Has the teacher label the transfer split, and evaluates its labels.

    Returns:
        What the supervision is `of`, the teacher, the labels with their dataset, and how good they are.
    """
    labels = prefer(item, teacher)
    spec = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**item["dataset"]), labels=pb.LabelsRef(**labels))
    return {
        "of": item["of"],
        "teacher": teacher,
        "dataset": item["dataset"],
        "labels": labels,
        "label_evaluation": measure(item["item"], spec, item["nonce"]),
    }


@step
def list_routes(plan: Json, datasets: Json, arms: list[Json]) -> list[Json]:
    """How labels come to students."""
    return work.list_routes(Plan.model_validate(plan), datasets, arms)


@step
def relay(item: Json) -> Json:
    """Hands labels on: as they are, or those of an intermediate model that is trained on them.

    Returns:
        What the route is `of`, the labels and their dataset; or how the intermediate model failed.
    """
    route = {"of": item["of"], "dataset": item["dataset"]}
    if not item["train"]:
        return {**route, "status": SUCCEEDED, "labels": item["labels"]}
    run = train(item["train"])
    if run["status"] == FAILED:
        return {**route, **run}
    asked = item | work.taught(item, item["title"], run["model"])
    return {**route, "status": SUCCEEDED, "run": run, "labels": prefer(asked, register(asked))}


@step
def list_students(plan: Json, datasets: Json, mixed: Json, routes: list[Json]) -> list[Json]:
    """The students to train."""
    return work.list_students(Plan.model_validate(plan), datasets, mixed, routes)


@step
def evaluate_student(item: Json, run: Json) -> Json:
    """Evaluates a student, and hands on what the report needs: all students' results are one argument of a process.

    Returns:
        What it is `of`, its run, how many pairs it learned from, and its predictions and accuracy; or how it failed.
    """
    found = evaluate(item, run)
    if found["status"] == FAILED:
        return found
    return {
        "of": item["of"],
        "status": SUCCEEDED,
        "run": run["run"],
        "examples": run["examples"],
        "evaluation": {name: found["evaluation"][name] for name in ("predictions", "accuracy")},
    }


@step
def report(
    plan: Json,
    datasets: Json,
    truths: list[Json],
    arms: list[Json],
    routes: list[Json],
    students: list[Json],
    html: str,
    markdown: str,
    folder: str,
) -> dict[str, float]:
    """Writes the report to the paths of the step's artifacts; returns its scalar metrics."""
    # Imported here: only this step draws.
    from pipelines.deception.report import document  # noqa: PLC0415
    from pipelines.reporting.write import publish  # noqa: PLC0415

    made = document(Plan.model_validate(plan), datasets, truths, arms, routes, students)
    return publish(made, html, markdown, folder)
