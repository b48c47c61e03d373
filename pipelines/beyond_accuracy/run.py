"""The steps that are the beyond-accuracy pipeline's own."""

from __future__ import annotations

from pipelines.beyond_accuracy import work
from pipelines.beyond_accuracy.plan import Plan
from pipelines.plans import make_plan
from pipelines.steps.evaluate import measure
from pipelines.steps.generate import generate
from pipelines.steps.guard import step
from pipelines.steps.items import Json
from pipelines.steps.label import label
from pipelines.steps.select import answered
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.client import artifact_root
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2


@step
def plan(settings: Json) -> Json:
    """Validates settings; returns the plan."""
    return make_plan(Plan, settings).model_dump(mode="json")


@step
def list_data(plan: Json) -> list[Json]:
    """What `steps.prepare` is to make, part by part."""
    return work.list_data(Plan.model_validate(plan))


@step
def list_truths(plan: Json, datasets: list[Json]) -> list[Json]:
    """The models to train on ground truth."""
    made = Plan.model_validate(plan)
    return work.list_truths(made, work.by_part(made, datasets))


@step
def list_arms(plan: Json, datasets: list[Json], truths: list[Json]) -> list[Json]:
    """The weak models that are to teach."""
    made = Plan.model_validate(plan)
    return work.list_arms(made, work.by_part(made, datasets), truths)


@step
def list_students(plan: Json, datasets: list[Json], arms: list[Json]) -> list[Json]:
    """The students to train."""
    made = Plan.model_validate(plan)
    return work.list_students(made, work.by_part(made, datasets), arms)


@step
def supervise(item: Json, teacher: Json) -> Json:
    """Has the teacher label its part's transfer split, or continue the prompts in it.

    Returns:
        What the supervision is `of`, the teacher, and its `completions` that are not empty with the number of those
        that are; or its `labels` and their evaluation.
    """
    made: Json = {"of": item["of"], "teacher": teacher}
    if item["generation"]:
        completions, empty = answered(ArtifactStore(artifact_root()), ArtifactRef(**generate(item, teacher)))
        return {**made, "completions": completions, "empty": empty}
    labels = label(item, teacher)
    spec = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**item["dataset"]), labels=pb.LabelsRef(**labels))
    return {**made, "labels": labels, "label_evaluation": measure(item["item"], spec, item["nonce"])}


@step
def report(
    plan: Json,
    datasets: list[Json],
    truths: list[Json],
    arms: list[Json],
    students: list[Json],
    html: str,
    markdown: str,
    folder: str,
) -> dict[str, float]:
    """Writes the report to the paths of the step's artifacts; returns its scalar metrics."""
    # Imported here: only this step draws.
    from pipelines.beyond_accuracy.report import document  # noqa: PLC0415
    from pipelines.reporting.write import publish  # noqa: PLC0415

    made = Plan.model_validate(plan)
    found = document(made, work.by_part(made, datasets), truths, arms, students)
    return publish(found, html, markdown, folder)
