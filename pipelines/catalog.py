"""Every pipeline there is: KFP's form, the command, presets and registration read this table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pipelines.beyond_accuracy.outline import outline as outline_beyond_accuracy
from pipelines.beyond_accuracy.plan import Plan as BeyondAccuracy
from pipelines.deception.outline import outline as outline_deception
from pipelines.deception.plan import Plan as Deception
from pipelines.delta_learning.outline import outline as outline_delta_learning
from pipelines.delta_learning.plan import Plan as DeltaLearning
from pipelines.delta_theory.outline import outline as outline_delta_theory
from pipelines.delta_theory.plan import Plan as DeltaTheory
from pipelines.estimate import Work
from pipelines.plans import BasePlan
from pipelines.weak_to_strong.outline import outline as outline_weak_to_strong
from pipelines.weak_to_strong.plan import Plan as WeakToStrong
from pipelines.weak_to_strong_answers.outline import outline as outline_answers
from pipelines.weak_to_strong_answers.plan import Plan as Answers
from pipelines.weak_to_strong_reasoning.outline import outline as outline_reasoning
from pipelines.weak_to_strong_reasoning.plan import Plan as Reasoning
from w2s.errors import InvalidArgument


@dataclass(frozen=True)
class Pipeline:
    """A pipeline.

    Attributes:
        title: A few words for people.
        plan: Its settings.
        outline: What a plan will do, and cost.
    """

    title: str
    plan: type[BasePlan]
    outline: Callable[[Any], Iterable[Work]]

    @property
    def dag(self) -> Callable[..., Any]:
        """What KFP runs, which stands beside its plan; half a second's work, for those who run it."""
        package = self.plan.__module__.rpartition(".")[0]
        dag: Callable[..., Any] = getattr(importlib.import_module(f"{package}.dag"), package.rpartition(".")[2])
        return dag


PIPELINES = {
    "beyond-accuracy": Pipeline(
        "Weak-to-strong beyond accuracy: safety, toxicity, law (WTS pilot study 2024)",
        BeyondAccuracy,
        outline_beyond_accuracy,
    ),
    "deception": Pipeline(
        "Weak-to-strong deception, conflict by conflict (Yang et al. 2024)", Deception, outline_deception
    ),
    "delta-learning": Pipeline(
        "Delta learning: preferences between weak answers (Geng et al. 2025)",
        DeltaLearning,
        outline_delta_learning,
    ),
    "delta-theory": Pipeline(
        "Delta learning in logistic regression, with its closed form (Geng et al. 2025)",
        DeltaTheory,
        outline_delta_theory,
    ),
    "weak-to-strong": Pipeline(
        "Weak-to-strong generalization (Burns et al. 2023)", WeakToStrong, outline_weak_to_strong
    ),
    "weak-to-strong-answers": Pipeline(
        "Weak-to-strong generalization in written answers, such as chess moves (Burns et al. 2023)",
        Answers,
        outline_answers,
    ),
    "weak-to-strong-reasoning": Pipeline(
        "Weak-to-strong reasoning, by selection and by preferences (Yang et al. 2024)",
        Reasoning,
        outline_reasoning,
    ),
}


def get_pipeline(name: str) -> Pipeline:
    """The pipeline of that name.

    Raises:
        InvalidArgument: There is none; the message lists those there are.
    """
    if name not in PIPELINES:
        raise InvalidArgument("pipeline", f"{name!r} is unknown; there are {', '.join(sorted(PIPELINES))}")
    return PIPELINES[name]
