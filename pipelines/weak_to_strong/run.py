"""The steps that are the weak-to-strong pipeline's own."""

from __future__ import annotations

from pipelines.plans import planned
from pipelines.steps.evaluate import measure
from pipelines.steps.guard import step
from pipelines.steps.items import Json
from pipelines.weak_to_strong import work
from pipelines.weak_to_strong.plan import Plan
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2


@step
def plan(settings: Json) -> tuple[Json, Json]:
    """Validates settings; returns the plan, and what `steps.prepare` is to make."""
    return planned(Plan, settings)


@step
def list_truths(plan: Json, datasets: Json) -> list[Json]:
    """The models to train on ground truth."""
    return work.list_truths(Plan.model_validate(plan), datasets)


@step
def list_arms(plan: Json, datasets: Json, truths: list[Json]) -> list[Json]:
    """The weak models that are to teach."""
    return work.list_arms(Plan.model_validate(plan), datasets, truths)


@step
def list_students(plan: Json, datasets: Json, arms: list[Json]) -> list[Json]:
    """The students to train."""
    return work.list_students(Plan.model_validate(plan), datasets, arms)


@step
def evaluate_supervision(item: Json, teacher: Json, labels: Json) -> Json:
    """Evaluates the teacher on the test split, through the supervisor, and its labels on the transfer split.

    Returns:
        What the supervision is `of`, its artifacts and both evaluations.
    """
    source = evaluator_pb2.TeacherSource(teacher=teacher["teacher"], required_digest=teacher["digest"])
    on_test = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**item["test"]), teacher=source)
    on_transfer = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**item["dataset"]), labels=pb.LabelsRef(**labels))
    return {
        "of": item["of"],
        "run": item["run"],
        "teacher": teacher,
        "labels": labels,
        "evaluation": measure(item["item"].replace("labels", "weak", 1), on_test, item["nonce"]),
        "label_evaluation": measure(item["item"], on_transfer, item["nonce"]),
    }


@step
def report(
    plan: Json,
    datasets: Json,
    truths: list[Json],
    arms: list[Json],
    students: list[Json],
    html: str,
    markdown: str,
    folder: str,
) -> dict[str, float]:
    """Writes the report to the paths of the step's artifacts; returns its scalar metrics."""
    # Imported here: only this step draws.
    from pipelines.reporting.write import publish  # noqa: PLC0415
    from pipelines.weak_to_strong.collect import collect  # noqa: PLC0415
    from pipelines.weak_to_strong.report import document  # noqa: PLC0415

    made = document(collect(Plan.model_validate(plan), datasets, truths, arms, students))
    return publish(made, html, markdown, folder)
