"""What an experiment beyond accuracy will do and cost, before it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.beyond_accuracy.plan import CEILING, TOXICITY, WEAK, Legal, Plan, Safety
from pipelines.estimate import Work, training_passes
from pipelines.methods import CURVE_POINTS, passes_by
from pipelines.plans import Model


def outline(plan: Plan) -> Iterator[Work]:
    """The work of a plan, part by part, in the order in which each is done."""
    for part in plan.parts:
        settings = plan.settings_of(part)
        seeds = len(plan.seeds_of(part))
        yield Work(f"{part}: prepare", "", seeds, sum(settings.sizes.model_dump().values()))
        if part == TOXICITY:
            yield from _generated(plan, seeds)
        elif isinstance(settings, Safety | Legal):
            yield from _classified(plan, part, settings, seeds)


def _classified(plan: Plan, part: str, settings: Safety | Legal, seeds: int) -> Iterator[Work]:
    weak, strong = plan.models_of(part)
    epochs, length, rows = plan.train.epochs, plan.train.max_length, settings.train_rows
    truths = [(role, model, training_passes(model, epochs)) for role, model in ((WEAK, weak), (CEILING, strong))]
    students = [(method, strong, passes_by(method, strong, plan.method, epochs)) for method in plan.methods]
    for role, model, passes in truths:
        yield Work(f"{part}: train {role}", model.title, seeds, rows, passes, length)
    yield Work(f"{part}: label", weak.title, seeds, rows, 1, length)
    for method, model, passes in students:
        yield Work(f"{part}: train {method}", model.title, seeds, rows, passes, length)
    # A frozen body sees the validation split once, any other at each point of the curve.
    curves = Counter((model, 1 if _frozen(model) else CURVE_POINTS) for _, model, _ in truths + students)
    for (model, points), times in curves.items():
        yield Work(f"{part}: curve", model.title, seeds * times, settings.validation_rows, points, length)
    for model, times in Counter(model for _, model, _ in truths + students).items():
        yield Work(f"{part}: evaluate", model.title, seeds * times, settings.test_rows, 1, length)


def _generated(plan: Plan, seeds: int) -> Iterator[Work]:
    """Prompts are counted before slices are taken; of a generated token as of a forward pass of one."""
    settings = plan.toxicity
    tokens, length = settings.max_new_tokens, settings.max_length
    arms = ((WEAK, settings.weak), (CEILING, settings.strong), ("naive", settings.strong))
    for role, model in arms:
        passes = training_passes(model, settings.epochs)
        yield Work(f"{TOXICITY}: train {role}", model.title, seeds, settings.train_rows, passes, length)
    yield Work(f"{TOXICITY}: write", settings.weak.title, seeds, settings.train_rows, 1, length + tokens)
    for role, model in arms:
        each = length + tokens
        yield Work(f"{TOXICITY}: sample {role}", model.title, seeds, settings.test_rows, settings.samples, each)


def _frozen(model: Model) -> bool:
    return model.layers == model.train_from_layer
