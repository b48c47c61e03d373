"""What a deception experiment will do and cost, before it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.deception.plan import BOOTSTRAPPING, CEILING, DPO, IMPLICIT, REWARD, WEAK, Plan
from pipelines.deception.work import students, truths
from pipelines.estimate import Work, training_passes
from pipelines.plans import Model


def outline(plan: Plan) -> Iterator[Work]:
    """The work of a plan, in the order in which it is done; a pair is two texts."""
    seeds, rows, length = len(plan.seeds), 2 * plan.data.train_rows, plan.train.max_length
    yield Work("prepare", "", 2 * seeds, sum(plan.data.sizes.model_dump().values()))
    for (objective, model, split), roles in truths(plan).items():
        role = " and ".join(role for role in (WEAK, CEILING) if roles[role])
        yield Work(
            f"train {objective} {role} on {split}", model.title, seeds, rows, _passes(plan, objective, model), length
        )
    for objective, weak in _taught(plan):
        yield Work(f"label for {objective}", plan.models_of(objective).weak[weak].title, seeds, rows, 1, length)
    for objective, model, times in _between(plan):
        # It is trained, and labels.
        passes = _passes(plan, objective, model) + 1
        yield Work(f"train {objective} intermediate", model.title, seeds * times, rows, passes, length)
    for (objective, model, mixed), times in _students(plan).items():
        what = f"train {objective} students{' under implicit conflict' if mixed else ''}"
        yield Work(what, model.title, times, rows * (1 + mixed), _passes(plan, objective, model), length)
    tested = Counter(model.title for (_, model, _) in truths(plan) for _ in plan.seeds)
    tested.update(plan.models_of(of["objective"]).strong[of["strong"]].title for of in students(plan))
    for title, times in tested.items():
        yield Work("evaluate", title, times, 2 * plan.data.test_rows, 1, length)


def _passes(plan: Plan, objective: str, model: Model) -> int:
    """Forward passes for each text: of preferences, those of the fine-tuning and of the reference too."""
    if objective == REWARD:
        return training_passes(model, plan.reward.epochs)
    settings = plan.preference
    epochs = settings.dpo_epochs if objective == DPO else settings.simpo_epochs
    reference = 1 if objective == DPO else 0
    return training_passes(Model(uri=model.uri, revision=model.revision), settings.sft_epochs + epochs) + reference


def _taught(plan: Plan) -> list[tuple[str, int]]:
    return list(dict.fromkeys((of["objective"], of["weak"]) for of in students(plan)))


def _between(plan: Plan) -> Iterator[tuple[str, Model, int]]:
    """The intermediate models, and how many weak models each learns from."""
    found: Counter[tuple[str, Model]] = Counter()
    for objective, weak in _taught(plan) if BOOTSTRAPPING in plan.mitigations else ():
        model = plan.models_of(objective).intermediate_of(weak)
        if model is not None:
            found[objective, model] += 1
    for (objective, model), times in found.items():
        yield objective, model, times


def _students(plan: Plan) -> Counter[tuple[str, Model, bool]]:
    return Counter(
        (of["objective"], plan.models_of(of["objective"]).strong[of["strong"]], of["conflict"] == IMPLICIT)
        for of in students(plan)
    )
