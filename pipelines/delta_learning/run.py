"""The steps that are the delta learning pipeline's own."""

from __future__ import annotations

from pipelines.delta_learning import datasets as data
from pipelines.delta_learning import work
from pipelines.delta_learning.plan import Plan
from pipelines.plans import planned
from pipelines.steps.evaluate import evaluate, measure
from pipelines.steps.generate import generate
from pipelines.steps.guard import FAILED, SUCCEEDED, step
from pipelines.steps.items import Json, from_json
from pipelines.steps.select import questions
from pipelines.steps.teach import register, teacher_spec
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
def list_bases(plan: Json, datasets: Json) -> list[Json]:
    """The teachers and the student."""
    return work.list_bases(Plan.model_validate(plan), datasets)


@step
def list_arms(plan: Json, datasets: Json, bases: list[Json]) -> list[Json]:
    """The arms to train."""
    return work.list_arms(Plan.model_validate(plan), datasets, bases)


@step
def base(item: Json) -> Json:
    """Warms a model up where that is asked, has the evaluator mark it, and a teacher answer every prompt.

    Returns:
        What it is `of`, its model, its evaluation and benchmarks, and what it has `written`: greedily, and `samples`.
    """
    store = ArtifactStore(artifact_root())
    run = train(item) if item["run"] else None
    model = item["model"] if run is None else run["model"]
    named = item["teacher_id"] + (f"-{model['digest'].removeprefix('sha256:')[:8]}" if "digest" in model else "")
    asked = {"teacher": teacher_spec(model, "language_model"), "teacher_id": named}
    teacher = register(asked)
    made: Json = {"of": item["of"], "run": run, "model": model, "teacher": teacher, "written": {}, "samples": {}}
    spec = from_json(item["evaluation"], evaluator_pb2.EvaluationSpec())
    spec.teacher.teacher, spec.teacher.required_digest = teacher["teacher"], teacher["digest"]
    made |= {"evaluation": measure(item["item"], spec, item["nonce"]), "benchmarks": _benchmarks(item, model)}
    asked_of = questions(store, item["transfer"])
    for what, generation in (("written", item["generation"]), ("samples", item["samples"])):
        if generation:
            wanted = {**asked, "item": f"{item['item']}:{what}", "dataset": asked_of, "nonce": item["nonce"]}
            made[what] = generate({**wanted, "generation": generation}, teacher)
    return made


@step
def learn(item: Json) -> Json:
    """Makes an arm's dataset, and trains and evaluates the student on it."""
    made = data.arm_dataset(ArtifactStore(artifact_root()), item["arm"], item["chosen"], item["rejected"], item["tied"])
    counted = {name: made[name] for name in ("rows", "dropped")}
    if "dataset" not in made:
        return {"of": item["of"], "status": FAILED, "reason": work.NO_PAIRS, **counted}
    asked = {**item, "run": {**item["run"], "dataset": made["dataset"]}}
    found = evaluate(asked, train(asked)) | counted
    if found["status"] == SUCCEEDED:
        found["benchmarks"] = _benchmarks(item, found["run"]["model"])
    return found


@step
def report(
    plan: Json, datasets: Json, bases: list[Json], arms: list[Json], html: str, markdown: str, folder: str
) -> dict[str, float]:
    """Writes the report to the paths of the step's artifacts; returns its scalar metrics."""
    # Imported here: only this step draws.
    from pipelines.delta_learning.collect import collect  # noqa: PLC0415
    from pipelines.delta_learning.report import document  # noqa: PLC0415
    from pipelines.reporting.write import publish  # noqa: PLC0415

    found = document(collect(Plan.model_validate(plan), datasets, bases, arms))
    return publish(found, html, markdown, folder)


def _benchmarks(item: Json, model: Json) -> dict[str, float]:
    """The model's figures in the harness's tasks; none without tasks."""
    if not item["benchmarks"]:
        return {}
    spec = evaluator_pb2.EvaluationSpec(
        model=pb.ModelRef(**model), benchmarks=evaluator_pb2.Benchmarks(tasks=item["benchmarks"])
    )
    found: dict[str, float] = measure(f"{item['item']}:benchmarks", spec, item["nonce"])["metrics"]
    return found
