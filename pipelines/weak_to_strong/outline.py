"""What a weak-to-strong experiment will do and cost, before it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.estimate import Work, training_passes
from pipelines.methods import CURVE_POINTS, passes_by
from pipelines.plans import Model
from pipelines.weak_to_strong.plan import CEILING, GENERATIVE, PROBE, WEAK, Plan
from pipelines.weak_to_strong.work import truths


def outline(plan: Plan) -> Iterator[Work]:
    """The work of a plan, in the order in which it is done."""
    seeds, data, length = len(plan.seeds), plan.data, plan.train.max_length
    trainings = list(_trainings(plan))
    truths_only = len(truths(plan))
    yield Work("prepare", "", seeds, sum(data.sizes.model_dump().values()))
    teachers = list(dict.fromkeys(weak for weak, _ in plan.models.gaps))
    for number, (what, model, passes) in enumerate(trainings):
        if number == truths_only:
            yield from (Work("label", teacher.title, seeds, data.train_rows, 1, length) for teacher in teachers)
        yield Work(what, model.title, seeds, data.train_rows, passes, length)
    # A frozen body sees the validation split once, any other at each point of the curve.
    curves = Counter((model.title, 1 if passes == 1 else CURVE_POINTS) for _, model, passes in trainings)
    for (title, points), times in curves.items():
        yield Work("curve", title, seeds * times, data.validation_rows, points, length)
    tested = Counter(teacher.title for teacher in teachers)
    tested.update(model.title for (model, _), roles in truths(plan).items() if roles[CEILING])
    tested.update(strong.title for _, strong in plan.models.gaps for _ in plan.methods)
    for title, times in tested.items():
        yield Work("evaluate", title, seeds * times, data.test_rows, 1, length)


def _trainings(plan: Plan) -> Iterator[tuple[str, Model, int]]:
    """What is trained once for each seed: on ground truth first, then on labels."""
    for (model, split), roles in truths(plan).items():
        role = " and ".join(role for role in (WEAK, CEILING) if roles[role])
        yield f"train {role} on {split}", model, training_passes(model, plan.train.epochs)
    for method in plan.methods:
        for weak, strong in plan.models.gaps:
            yield (
                f"train {method} on labels of {weak.title}",
                strong,
                _passes(plan, method, strong),
            )


def _passes(plan: Plan, method: str, strong: Model) -> int:
    if method == PROBE:
        return training_passes(strong, plan.train.epochs, frozen=True)
    own = passes_by(method, strong, plan.method, plan.train.epochs)
    if method == GENERATIVE:
        return own + training_passes(Model(uri=strong.base), plan.method.generative_epochs)
    return own
