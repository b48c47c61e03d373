"""What an experiment on written answers will do and cost, before it does."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.estimate import Work, training_passes
from pipelines.methods import BOOTSTRAPPING
from pipelines.weak_to_strong_answers.plan import CEILING, WEAK, Plan


def outline(plan: Plan) -> Iterator[Work]:
    """The work of a plan, in the order in which it is done; writing counts a pass a token."""
    seeds, rows, tests = len(plan.seeds), plan.data.train_rows, plan.data.test_rows
    length, tokens, epochs = plan.train.max_length, plan.write.max_new_tokens, plan.train.epochs
    weak = list(dict.fromkeys(model for model, _ in plan.models.gaps))
    strong = list(dict.fromkeys(model for _, model in plan.models.gaps))
    yield Work("prepare", "", seeds, sum(plan.data.sizes.model_dump().values()))
    for role, models in ((WEAK, weak), (CEILING, strong)):
        for model in models:
            yield Work(f"train {role}", model.title, seeds, rows, training_passes(model, epochs), length)
    for model in weak:
        yield Work("write answers", model.title, seeds, rows, tokens, length)
    for method in plan.methods:
        for _, student in plan.models.gaps:
            for between in plan.method.bootstrapping_models if method == BOOTSTRAPPING else []:
                passes = training_passes(between, epochs) + tokens
                yield Work(f"{method}: train, and write", between.title, seeds, rows, passes, length)
            yield Work(f"train {method}", student.title, seeds, rows, training_passes(student, epochs), length)
    evaluated = len(weak) + len(strong) + len(plan.methods) * len(plan.models.gaps)
    yield Work("evaluate", "", seeds * evaluated, tests, tokens, length)
