"""What a weak-to-strong experiment does, as items for its steps: pure functions of the plan and of what was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.methods import learn_by, student_run, truth_run
from pipelines.plans import Model
from pipelines.steps.items import Json, training_item
from pipelines.steps.teach import teacher_id, teacher_spec
from pipelines.weak_to_strong.plan import CEILING, GENERATIVE, PROBE, WEAK, Plan
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2
from w2s.trainer.v1 import trainer_pb2


def list_truths(plan: Plan, datasets: Json) -> list[Json]:
    """The models to train on ground truth: floors and ceilings, each once for a seed, whatever it is used as."""
    items = []
    for (model, split), roles in truths(plan).items():
        for seed in plan.seeds:
            made = datasets[str(seed)]
            spec = truth_run(model, plan.train, seed, made[split], made["validation"])
            items.append(
                training_item(
                    item=_label(plan, WEAK if roles[WEAK] else CEILING, model, seed=seed),
                    title=plan.data.task,
                    of={"seed": seed, **roles},
                    run=spec,
                    evaluation=_on(made["test"]) if roles[CEILING] else None,
                    nonce=plan.nonce,
                )
            )
    return items


def list_arms(plan: Plan, datasets: Json, truths: list[Json]) -> list[Json]:
    """The supervisions: each weak model of each seed, which is to teach, to label and to be evaluated."""
    runs = {(weak, int(truth["of"]["seed"])): truth["run"] for truth in truths for weak in map(int, truth["of"][WEAK])}
    return [
        {
            "item": _label(plan, "labels", plan.models.weak[weak], seed=seed),
            "of": {"weak": weak, "seed": seed},
            "run": run,
            "teacher": teacher_spec(run["model"]),
            "teacher_id": teacher_id(plan.data.task, seed, run["model"]["digest"]),
            "dataset": datasets[str(seed)]["transfer"],
            "test": datasets[str(seed)]["test"],
            "nonce": plan.nonce,
        }
        for (weak, seed), run in runs.items()
    ]


def list_students(plan: Plan, datasets: Json, arms: list[Json]) -> list[Json]:
    """The students: method by method, so that seeds run side by side."""
    labels = {(int(arm["of"]["weak"]), int(arm["of"]["seed"])): arm["labels"] for arm in arms}
    return [
        _student(plan, method, gap, seed, datasets[str(seed)], labels[plan.models.weak.index(gap[0]), seed])
        for method in plan.methods
        for gap in plan.models.gaps
        for seed in plan.seeds
    ]


def _student(plan: Plan, method: str, gap: tuple[Model, Model], seed: int, made: Json, labels: Json) -> Json:
    weak, strong = gap
    truth = truth_run(strong, plan.train, seed, made["transfer"], made["validation"])
    spec = student_run(truth, plan.train, labels)
    _learn_by(method, plan, spec, seed)
    return training_item(
        item=_label(plan, method, weak, strong, seed=seed),
        title=plan.data.task,
        of={
            "method": method,
            "weak": plan.models.weak.index(weak),
            "strong": plan.models.strong.index(strong),
            "seed": seed,
        },
        run=spec,
        evaluation=_on(made["test"]),
        nonce=plan.nonce,
        may_fail=True,
    )


def _learn_by(method: str, plan: Plan, spec: trainer_pb2.RunSpec, seed: int) -> None:
    if method == GENERATIVE:
        spec.generative_first.training.CopyFrom(spec.training)
        spec.generative_first.training.epochs = plan.method.generative_epochs
    elif method == PROBE:
        spec.model.linear_probe = True
        # One of the two says what is frozen.
        spec.model.ClearField("train_from_layer")
    else:
        learn_by(method, spec, plan.method, plan.train, seed)


def truths(plan: Plan) -> dict[tuple[Model, str], dict[str, list[int]]]:
    """What is trained on ground truth: (model, split), and the places in the plan's lists that it stands for."""
    wanted: dict[tuple[Model, str], dict[str, list[int]]] = {}
    for role, model, place, split in _uses(plan):
        places = wanted.setdefault((model, split), {WEAK: [], CEILING: []})[role]
        if place not in places:
            places.append(place)
    return wanted


def _uses(plan: Plan) -> Iterator[tuple[str, Model, int, str]]:
    for weak, _ in plan.models.gaps:
        yield WEAK, weak, plan.models.weak.index(weak), "weak_train"
    for _, strong in plan.models.gaps:
        yield CEILING, strong, plan.models.strong.index(strong), plan.data.ceiling_split


def _on(dataset: Json) -> evaluator_pb2.EvaluationSpec:
    return evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**dataset))


def _label(plan: Plan, what: str, *models: Model, seed: int) -> str:
    """An item's label, such as `naive:3`; it names the models where the plan has several gaps."""
    named = [">".join(model.tag for model in models)] if len(plan.models.gaps) > 1 else []
    return ":".join([what, *named, str(seed)])


def ceiling_of(truths: Iterable[Json], strong: int, seed: int) -> Json:
    """The result of the ceiling that a student is held against."""
    return next(t for t in truths if int(t["of"]["seed"]) == seed and strong in map(int, t["of"][CEILING]))
