"""Collects a delta learning report's figures from the evaluator's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel

from pipelines.delta_learning.plan import STUDENT, Plan
from pipelines.reporting.provenance import provenance
from pipelines.steps.guard import FAILED
from pipelines.steps.items import Json, succeeded
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.tables import read_answers
from w2s.client import artifact_root
from w2s.errors import FailedPrecondition
from w2s.metrics import estimate_mean


class Change(BaseModel):
    """An arm of a rung, over seeds, against the student that it began with.

    Attributes:
        score: Share of right answers after training, mean of seeds.
        change: Score less that of the student before.
        low: Of the change, a paired 95 % interval over test prompts.
        high: Likewise.
        rows: Pairs, or answers of the control, that were trained on; of the first seed.
        dropped: Prompts left out because both answers are the same.
        benchmarks: Change in each benchmark, mean of seeds.
    """

    arm: str
    chosen: str
    rejected: str
    score: float
    change: float
    low: float
    high: float
    rows: int
    dropped: int
    benchmarks: dict[str, float]

    @property
    def clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


class Base(BaseModel):
    """A teacher or the student before training: its share of right answers, mean of seeds."""

    role: str
    model: str
    score: float


class Failure(BaseModel):
    """An arm that there is not, and why."""

    arm: str
    chosen: str
    rejected: str
    seed: int
    reason: str


class Report(BaseModel):
    """Everything the report shows, and what made it."""

    task: str
    metric: str
    examples: int
    seeds: int
    bases: list[Base]
    changes: list[Change]
    failures: list[Failure]
    provenance: dict[str, Any]

    @property
    def student(self) -> float:
        """The student's score before training."""
        return next(base.score for base in self.bases if base.role == STUDENT)


def collect(plan: Plan, datasets: Json, bases: list[Json], arms: list[Json]) -> Report:
    """Holds every arm against the student that it began with.

    Raises:
        FailedPrecondition: Every arm failed.
    """
    trained = succeeded(arms)
    if not trained:
        raise FailedPrecondition(f"every arm failed; the first because {arms[0]['reason']}")
    store = ArtifactStore(artifact_root())
    titles = [model.title for model in plan.models.teachers]
    marks = {
        (base["of"]["place"], int(base["of"]["seed"])): _marks(store, plan.data.metric, base["evaluation"])
        for base in bases
    }
    kinds = list(dict.fromkeys(_kind(arm) for arm in trained))
    return Report(
        task=plan.data.task,
        metric=plan.data.metric,
        examples=len(next(iter(marks.values()))),
        seeds=len(plan.seeds),
        bases=[
            *(
                Base(role=f"teacher {place + 1}", model=title, score=_mean(marks, str(place)))
                for place, title in enumerate(titles)
            ),
            Base(role=STUDENT, model=plan.models.student.title, score=_mean(marks, STUDENT)),
        ],
        changes=[
            _change(plan, titles, kind, [arm for arm in trained if _kind(arm) == kind], bases, marks) for kind in kinds
        ],
        failures=[
            Failure(
                arm=arm["of"]["arm"],
                chosen=titles[int(arm["of"]["chosen"])],
                rejected=titles[int(arm["of"]["rejected"])],
                seed=int(arm["of"]["seed"]),
                reason=arm["reason"],
            )
            for arm in arms
            if arm["status"] == FAILED
        ],
        provenance=provenance(
            "delta-learning",
            plan,
            datasets=datasets,
            models=[{n: base[n] for n in ("of", "model", "teacher", "written")} for base in bases],
            arms=[{**arm["of"], "run": arm["run"]["run"], "model": arm["run"]["model"]} for arm in trained],
        ),
    )


def _change(
    plan: Plan,
    titles: list[str],
    kind: tuple[str, int, int],
    arms: Sequence[Json],
    bases: list[Json],
    marks: dict[tuple[str, int], np.ndarray],
) -> Change:
    store, (name, chosen, rejected) = ArtifactStore(artifact_root()), kind
    after = {int(arm["of"]["seed"]): _marks(store, plan.data.metric, arm["evaluation"]) for arm in arms}
    # Every seed is tested on the same prompts: a prompt's change is the mean over seeds.
    difference = np.mean([after[seed] - marks[STUDENT, seed] for seed in after], axis=0)
    found = estimate_mean(difference)
    return Change(
        arm=name,
        chosen=titles[chosen],
        rejected=titles[rejected],
        score=float(np.mean(list(after.values()))),
        change=float(difference.mean()),
        low=found.interval.low if found.interval else float(difference.mean()),
        high=found.interval.high if found.interval else float(difference.mean()),
        rows=int(arms[0]["rows"]),
        dropped=int(arms[0]["dropped"]),
        benchmarks=_benchmarks(arms, bases),
    )


def _benchmarks(arms: Sequence[Json], bases: list[Json]) -> dict[str, float]:
    before = {int(b["of"]["seed"]): b["benchmarks"] for b in bases if b["of"]["place"] == STUDENT}
    names = arms[0]["benchmarks"]
    return {
        name: float(np.mean([arm["benchmarks"][name] - before[int(arm["of"]["seed"])][name] for arm in arms]))
        for name in names
    }


def _marks(store: ArtifactStore, metric: str, evaluation: Json) -> np.ndarray:
    """The mark of each test prompt, in the order of their ids."""
    answers = read_answers(store, ArtifactRef(**evaluation["predictions"]))
    order = np.argsort(answers.ids)
    marks: np.ndarray = answers.scores[metric][:, 0].astype(np.float64)[order]
    return marks


def _mean(marks: dict[tuple[str, int], np.ndarray], place: str) -> float:
    return float(np.mean([found.mean() for (where, _), found in marks.items() if where == place]))


def _kind(arm: Json) -> tuple[str, int, int]:
    return arm["of"]["arm"], int(arm["of"]["chosen"]), int(arm["of"]["rejected"])
