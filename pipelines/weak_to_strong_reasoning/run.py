"""The steps that are the reasoning pipeline's own."""

from __future__ import annotations

from pipelines.plans import planned
from pipelines.steps.evaluate import evaluate, measure
from pipelines.steps.generate import generate
from pipelines.steps.guard import FAILED, SUCCEEDED, step
from pipelines.steps.items import Json, from_json
from pipelines.steps.select import questions
from pipelines.steps.teach import register, teacher_id, teacher_spec
from pipelines.steps.train import train
from pipelines.weak_to_strong_reasoning import datasets as data
from pipelines.weak_to_strong_reasoning import work
from pipelines.weak_to_strong_reasoning.plan import HYBRID, ICL_ONLY, WEAK_ONLY, Plan, Preference
from w2s.artifacts import ArtifactStore
from w2s.client import artifact_root
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
def list_writers(plan: Json, datasets: Json, truths: list[Json]) -> list[Json]:
    """Who writes solutions."""
    return work.list_writers(Plan.model_validate(plan), datasets, truths)


@step
def list_learners(plan: Json, datasets: Json, written: list[Json]) -> list[Json]:
    """Stage I's students."""
    return work.list_learners(Plan.model_validate(plan), datasets, written)


@step
def list_seconds(plan: Json, datasets: Json, written: list[Json], learners: list[Json]) -> list[Json]:
    """What each seed does after its first iteration."""
    return work.list_seconds(Plan.model_validate(plan), datasets, written, learners)


@step
def list_samplers(plan: Json, seconds: list[Json]) -> list[Json]:
    """Whose samples are voted on."""
    return work.list_samplers(Plan.model_validate(plan), seconds)


@step
def list_preferences(plan: Json, datasets: Json, contrasts: list[Json]) -> list[Json]:
    """Stage II's students."""
    return work.list_preferences(Plan.model_validate(plan), datasets, contrasts)


@step
def write(item: Json) -> Json:
    """Has the weak model solve the questions, and the strong one in context of what the weak one wrote; intersects.

    Returns:
        What the solutions are `of`, their datasets, what is `selected`, who wrote, and how the evaluator marks the
        weak solutions and the strong model in context.
    """
    store = ArtifactStore(artifact_root())
    weak, strong = register(item["weak"]), register(item["strong"])
    asked = questions(store, item["transfer"])
    demos = _written(item, "weak", weak, questions(store, item["solved"], int(item["shots"]) or 1))
    solutions = _written(item, "weak", weak, asked)
    others = _written(item, "strong", strong, _shown(store, asked, demos, item))
    return {
        "of": item["of"],
        "teachers": {"weak": weak, "strong": strong},
        "questions": asked,
        "weak_solutions": solutions,
        "in_context_solutions": others,
        "selected": data.select(store, asked, solutions, others),
        "marks": _marked(item, weak, item["transfer"]),
        "in_context_marks": _marked(item, strong, _shown(store, item["test"], demos, item)),
    }


@step
def learn(item: Json) -> Json:
    """Trains and evaluates a student; one that lacks its data has failed, and says so."""
    if "missing" in item:
        return {"of": item["of"], "status": FAILED, "reason": item["missing"]}
    return evaluate(item, train(item))


@step
def again(item: Json) -> Json:
    """A second iteration: models that learned either side's solutions write anew, and what both agree on is learned.

    Returns:
        What it is `of`, the stage-I model that goes on, and what the second iteration made where there is one.
    """
    kept = {name: item[name] for name in ("of", "questions", "weak_solutions")}
    if not item["again"]:
        return {**kept, "stage": item["first"], "second": {}}
    store = ArtifactStore(artifact_root())
    teachers = {arm: register(teacher) for arm, teacher in item["again"].items()}
    texts = {arm: _written(item, arm, teachers[arm], item["questions"], item["again"][arm]) for arm in teachers}
    selected = data.select(store, item["questions"], texts[WEAK_ONLY], texts[ICL_ONLY])
    learner = item["learner"]
    dataset = selected["datasets"].get(HYBRID)
    if dataset:
        learner = {**learner, "run": {**learner["run"], "dataset": dataset}}
    else:
        learner = {**learner, "missing": work.NOTHING_AGREED}
    learned = learn(learner)
    marks = _marked(item, teachers[WEAK_ONLY], item["transfer"])
    stage = learned if learned["status"] == SUCCEEDED else item["first"]
    return {**kept, "stage": stage, "second": {"learner": learned, "selected": selected, "marks": marks}}


@step
def contrast(item: Json) -> Json:
    """Has the stage-I model answer each question several times, votes, and pairs solutions up."""
    stage = item["stage"]
    kept = {"of": item["of"], "stage": stage}
    if stage["status"] == FAILED:
        return {**kept, "pairs": {"pairs": 0, "questions": 0}, "reason": stage["reason"]}
    store = ArtifactStore(artifact_root())
    model = stage["run"]["model"]
    named = teacher_id(f"{item['task']}-stage-one", int(item["of"]["seed"]), model["digest"])
    teacher = {"teacher": teacher_spec(model, "language_model"), "teacher_id": named}
    samples = _written(item, "samples", register(teacher), item["questions"], teacher)
    made = data.pairs(store, item["weak_solutions"], samples, Preference.model_validate(item["preference"]))
    return {**kept, "pairs": made, "samples": samples}


@step
def report(
    plan: Json,
    datasets: Json,
    truths: list[Json],
    written: list[Json],
    learners: list[Json],
    seconds: list[Json],
    contrasts: list[Json],
    preferences: list[Json],
    html: str,
    markdown: str,
    folder: str,
) -> dict[str, float]:
    """Writes the report to the paths of the step's artifacts; returns its scalar metrics."""
    # Imported here: only this step draws.
    from pipelines.reporting.write import publish  # noqa: PLC0415
    from pipelines.weak_to_strong_reasoning.collect import collect  # noqa: PLC0415
    from pipelines.weak_to_strong_reasoning.report import document  # noqa: PLC0415

    made = Plan.model_validate(plan)
    found = document(collect(made, datasets, truths, written, learners, seconds, contrasts, preferences))
    return publish(found, html, markdown, folder)


def _written(item: Json, who: str, teacher: Json, dataset: Json, named: Json | None = None) -> Json:
    """What a teacher writes on a dataset's prompts."""
    asked = {
        "item": f"{item['item']}:{who}",
        "dataset": dataset,
        "generation": item["generation"],
        "teacher": (named or item[who])["teacher"],
        "nonce": item["nonce"],
    }
    return generate(asked, teacher)


def _shown(store: ArtifactStore, asked: Json, demos: Json, item: Json) -> Json:
    """Questions in context; as they are where there are no shots."""
    return data.in_context(store, asked, demos) if item["shots"] else asked


def _marked(item: Json, teacher: Json, dataset: Json) -> Json:
    """How a teacher does on questions with ground truth, which is the evaluator's alone."""
    spec = from_json(item["exam"], evaluator_pb2.EvaluationSpec())
    spec.dataset.CopyFrom(pb.DatasetRef(**dataset))
    spec.teacher.teacher, spec.teacher.required_digest = teacher["teacher"], teacher["digest"]
    return measure(f"{item['item']}:marks", spec, item["nonce"])
