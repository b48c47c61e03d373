"""What a delta learning experiment will do and cost, before it does."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.delta_learning.plan import SFT, STUDENT, TIED, Plan
from pipelines.estimate import Work, training_passes


def outline(plan: Plan) -> Iterator[Work]:
    """The work of a plan, in the order in which it is done; writing counts a pass a token."""
    seeds, rows, tests = len(plan.seeds), plan.data.train_rows, plan.data.test_rows
    length, tokens = plan.train.max_length, plan.write.max_new_tokens
    student, teachers = plan.models.student, plan.models.teachers
    yield Work("prepare", "", seeds, sum(plan.data.sizes.model_dump().values()))
    for model in [*teachers, student]:
        epochs = plan.warm.student_epochs if model is student else plan.warm.teacher_epochs
        if epochs:
            yield Work("warm up", model.title, seeds, plan.data.warm_rows, training_passes(model, epochs), length)
        yield Work("mark", model.title, seeds, tests, tokens, length)
    for model in teachers:
        yield Work("write", model.title, seeds, rows, tokens, length)
    for arm in plan.arms:
        kinds = {chosen for chosen, _ in plan.rungs} if arm in (SFT, TIED) else plan.rungs
        epochs = plan.train.epochs if arm == SFT else plan.preference.epochs
        passes = training_passes(student, epochs) * (1 if arm == SFT else 2)
        yield Work(f"train {arm}", f"{STUDENT}: {student.title}", seeds * len(kinds), rows, passes, length)
        yield Work(f"mark {arm}", f"{STUDENT}: {student.title}", seeds * len(kinds), tests, tokens, length)
