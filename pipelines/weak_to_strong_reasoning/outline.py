"""What a reasoning experiment will do and cost, before it does."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.estimate import Work, training_passes
from pipelines.weak_to_strong_reasoning.plan import HYBRID, ICL_ONLY, WEAK_ONLY, Plan


def outline(plan: Plan) -> Iterator[Work]:
    """The work of a plan, in the order in which it is done; writing counts a pass a token."""
    seeds, rows, tests = len(plan.seeds), plan.data.train_rows, plan.data.test_rows
    weak, strong = plan.models.weak, plan.models.strong
    length, tokens = plan.train.max_length, plan.write.max_new_tokens
    yield Work("prepare", "", seeds, sum(plan.data.sizes.model_dump().values()))
    for role, model in (("weak", weak), ("ceiling", strong)):
        yield Work(f"train {role}", model.title, seeds, rows, training_passes(model, plan.train.epochs), length)
    yield Work("write weak solutions, and mark them", weak.title, seeds * 2, rows, tokens, length)
    yield Work("write in context", strong.title, seeds, rows, tokens, length * (1 + plan.stage.shots))
    twice = plan.stage.iterations > 1
    arms = dict.fromkeys([*plan.stage.arms, HYBRID, *((WEAK_ONLY, ICL_ONLY) if twice else ())])
    for arm in arms:
        # Of what both agree on there is less, and of the hybrid each twice: at most so many.
        most = rows * (2 if arm == HYBRID else 1)
        yield Work(f"train {arm}", strong.title, seeds, most, training_passes(strong, plan.train.epochs), length)
    if twice:
        yield Work("write again, and mark", strong.title, seeds * 3, rows, tokens, length)
        yield Work(
            f"train {HYBRID}_2", strong.title, seeds, rows * 2, training_passes(strong, plan.train.epochs), length
        )
    yield Work("sample", strong.title, seeds * plan.write.samples, rows, tokens, length)
    for name in plan.preference.objectives:
        passes = 2 * training_passes(strong, plan.preference.epochs)
        yield Work(f"train {name}", strong.title, seeds, rows * plan.preference.pairs, passes, length)
    evaluated = 3 + len(arms) + twice + len(plan.preference.objectives)
    yield Work("evaluate", strong.title, seeds * evaluated, tests, tokens, length)
