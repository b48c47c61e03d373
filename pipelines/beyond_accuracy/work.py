"""What an experiment beyond accuracy does, as items for its steps: pure functions of the plan and of what was made.

Datasets are by part, seed and split. Items of all parts go through the same loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.beyond_accuracy.plan import CEILING, TOXICITY, WEAK, Plan
from pipelines.methods import learn_by, student_run, truth_run
from pipelines.plans import Model, Training
from pipelines.steps.items import Json, as_json, training_item
from pipelines.steps.teach import teacher_id, teacher_spec
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2
from w2s.supervisor.v1 import supervisor_pb2
from w2s.tasks import get_task
from w2s.trainer.v1 import trainer_pb2


def list_data(plan: Plan) -> list[Json]:
    """What `steps.prepare` is to make, part by part."""
    return [_data(plan, part) for part in plan.parts]


def _data(plan: Plan, part: str) -> Json:
    settings = plan.settings_of(part)
    return {
        "task": settings.task,
        "sizes": settings.sizes.model_dump(),
        "seeds": plan.seeds_of(part),
        "slices": plan.toxicity.slices if part == TOXICITY else {},
    }


def by_part(plan: Plan, datasets: list[Json]) -> dict[str, Json]:
    """The datasets by part: they come in the order in which they were asked for."""
    return dict(zip(plan.parts, datasets, strict=True))


def list_truths(plan: Plan, datasets: dict[str, Json]) -> list[Json]:
    """The models to train on ground truth: a weak one and a ceiling for each part and seed."""
    return [
        training_item(
            item=f"{part}:{role}:{seed}",
            title=plan.task_of(part),
            of={"part": part, "role": role, "seed": seed},
            run=_truth(plan, part, model, seed, made[split], made["validation"]),
            evaluation=_test(plan, part, seed, made["test"]),
            nonce=plan.nonce,
        )
        for part, seed, made in _experiments(plan, datasets)
        for role, model, split in zip((WEAK, CEILING), plan.models_of(part), ("weak_train", "transfer"), strict=True)
    ]


def list_arms(plan: Plan, datasets: dict[str, Json], truths: list[Json]) -> list[Json]:
    """The supervisions: each weak model, which is to teach, and to label or to write."""
    return [
        _arm(plan, part, seed, made["transfer"], truth_of(truths, part, WEAK, seed)["run"]["model"])
        for part, seed, made in _experiments(plan, datasets)
    ]


def _arm(plan: Plan, part: str, seed: int, dataset: Json, model: Json) -> Json:
    writes = part == TOXICITY
    return {
        "item": f"{part}:labels:{seed}",
        "of": {"part": part, "seed": seed},
        "teacher": teacher_spec(model, "language_model" if writes else ""),
        "teacher_id": teacher_id(plan.task_of(part), seed, model["digest"]),
        "dataset": dataset,
        "generation": _written(plan) if writes else {},
        "nonce": plan.nonce,
    }


def list_students(plan: Plan, datasets: dict[str, Json], arms: list[Json]) -> list[Json]:
    """The students: every method of each part and seed."""
    taught = {(arm["of"]["part"], int(arm["of"]["seed"])): arm for arm in arms}
    return [
        training_item(
            item=f"{part}:{method}:{seed}",
            title=plan.task_of(part),
            of={"part": part, "method": method, "seed": seed},
            run=_student(plan, part, method, seed, made, taught[part, seed]),
            evaluation=_test(plan, part, seed, made["test"]),
            nonce=plan.nonce,
            may_fail=True,
        )
        for part, seed, made in _experiments(plan, datasets)
        for method in plan.methods_of(part)
    ]


def _experiments(plan: Plan, datasets: dict[str, Json]) -> Iterator[tuple[str, int, Json]]:
    for part in plan.parts:
        for seed in plan.seeds_of(part):
            yield part, seed, datasets[part][str(seed)]


def _truth(plan: Plan, part: str, model: Model, seed: int, dataset: Json, validation: Json) -> trainer_pb2.RunSpec:
    if part == TOXICITY:
        return _language_run(plan, model, seed, dataset)
    return truth_run(model, train_of(plan, part), seed, dataset, validation)


def _student(plan: Plan, part: str, method: str, seed: int, made: Json, arm: Json) -> trainer_pb2.RunSpec:
    _, strong = plan.models_of(part)
    if part == TOXICITY:
        return _language_run(plan, strong, seed, arm["completions"])
    train = train_of(plan, part)
    truth = truth_run(strong, train, seed, made["transfer"], made["validation"])
    spec = student_run(truth, train, arm["labels"])
    learn_by(method, spec, plan.method, train, seed)
    return spec


def train_of(plan: Plan, part: str) -> Training:
    """How a part's classifiers are trained: those of one text cannot be encoded as a pair."""
    paired = bool(getattr(get_task(plan.task_of(part)).conversion, "text_pair", ""))
    return plan.train if paired else plan.train.model_copy(update={"encoding": "single"})


def _language_run(plan: Plan, model: Model, seed: int, dataset: Json) -> trainer_pb2.RunSpec:
    """Language modelling on prompts and their continuations, whoever wrote these."""
    settings = plan.toxicity
    return trainer_pb2.RunSpec(
        model=trainer_pb2.ModelSpec(
            base=pb.ModelRef(uri=model.uri, revision=model.revision),
            layers=None if model.layers < 0 else model.layers,
            train_from_layer=model.train_from_layer,
            max_length=settings.max_length,
        ),
        dataset=pb.DatasetRef(**dataset),
        objective=trainer_pb2.Objective(language_modeling=trainer_pb2.LanguageModeling()),
        training=trainer_pb2.TrainingConfig(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=model.learning_rate or settings.learning_rate,
            seed=seed,
        ),
    )


def _written(plan: Plan) -> Json:
    """The weak model's continuations: its most probable tokens, as the published code takes them."""
    return as_json(supervisor_pb2.GenerateRequest(max_new_tokens=plan.toxicity.max_new_tokens))


def _test(plan: Plan, part: str, seed: int, dataset: Json) -> evaluator_pb2.EvaluationSpec:
    spec = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**dataset))
    if part == TOXICITY:
        settings = plan.toxicity
        spec.generation.samples = settings.samples
        spec.generation.max_new_tokens = settings.max_new_tokens
        spec.generation.temperature = settings.temperature
        spec.generation.top_p = settings.top_p
        spec.generation.seed = seed
        spec.generation.scorers.append(evaluator_pb2.ANSWER_SCORER_TOXICITY)
    return spec


def truth_of(truths: Iterable[Json], part: str, role: str, seed: int) -> Json:
    """The result of a weak model or a ceiling."""
    wanted = (part, role, seed)
    return next(t for t in truths if (t["of"]["part"], t["of"]["role"], int(t["of"]["seed"])) == wanted)
