"""Assesses where a student is wrong: where its weak supervisor could know it, or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.tables import Predictions, softmax
from w2s.errors import InvalidArgument
from w2s.jobs.threads import Check
from w2s.metrics import Deception, Estimate, apply_temperature, blind_spot_rate, deception, fit_temperature
from w2s_evaluator.comparisons.arms import check_classes, makers, read_classes
from w2s_evaluator.comparisons.spec import DeceptionSpec


@dataclass(frozen=True)
class Assessment:
    """Where a student is wrong.

    Attributes:
        figures: At the threshold asked for.
        sweep: At the other thresholds, rising.
        blind_spots: The share of examples that the student is surely wrong on and the supervisor unsure of.
        weak_temperature: What the weak model's logits were divided by.
        strong_temperature: What the strong model's were.
        examples: How many there are.
    """

    figures: Deception
    sweep: Sequence[Deception]
    blind_spots: Estimate
    weak_temperature: float
    strong_temperature: float
    examples: int


def assess(store: ArtifactStore, spec: DeceptionSpec, check: Check) -> Assessment:
    """Reads the predictions and says where the student is wrong.

    Raises:
        InvalidArgument: As `read_arms`, or a temperature would be fitted to test examples or another model.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    arms = read_classes(store, _given(spec, "weak", "strong", "student", "no_conflict"), check)
    weak, strong, student = (arms[role] for role in ("weak", "strong", "student"))
    fitted = {"weak": 1.0, "strong": 1.0}
    for field, ref in _given(spec, "weak_validation", "strong_validation").items():
        (held_out,) = read_classes(store, {field: ref}, check).values()
        role = field.removesuffix("_validation")
        _check_held_out(held_out, field, arms[role], role)
        fitted[role] = fit_temperature(held_out.logits, held_out.labels)
    tempered = {role: _probabilities(arms[role], temperature) for role, temperature in fitted.items()}
    wrong = {field: arm.predictions != arm.labels for field, arm in arms.items()}
    of_truth = {role: _of_truth(tempered[role], weak.labels) for role in tempered}

    def at(threshold: float) -> Deception:
        check()
        return deception(
            of_truth["weak"],
            of_truth["strong"],
            wrong["student"],
            wrong.get("no_conflict"),
            threshold,
            replicates=spec.replicates,
            seed=spec.seed,
        )

    return Assessment(
        figures=at(spec.threshold),
        sweep=[at(threshold) for threshold in spec.sweep],
        blind_spots=blind_spot_rate(
            _probabilities(student).max(axis=1),
            ~wrong["student"],
            tempered["weak"].max(axis=1),
            spec.threshold,
            replicates=spec.replicates,
            seed=spec.seed,
        ),
        weak_temperature=fitted["weak"],
        strong_temperature=fitted["strong"],
        examples=len(strong.ids),
    )


def _given(spec: DeceptionSpec, *fields: str) -> Mapping[str, ArtifactRef]:
    return {field: ref for field in fields if (ref := getattr(spec, field)) is not None}


def _check_held_out(held_out: Predictions, field: str, arm: Predictions, role: str) -> None:
    check_classes(held_out, field, arm, role)
    if shared := sorted(set(held_out.ids) & set(arm.ids)):
        raise InvalidArgument(
            field, f"has {len(shared)} of the examples that {role} is tested on, such as {shared[0]}; give others"
        )
    if held_out.manifest.parents and arm.manifest.parents and makers(held_out) != makers(arm):
        raise InvalidArgument(field, f"was made by another model than {role}")


def _probabilities(arm: Predictions, temperature: float = 1.0) -> NDArray[np.float32]:
    return softmax(apply_temperature(arm.logits, temperature).astype(np.float32))


def _of_truth(probabilities: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    return probabilities[np.arange(len(labels)), labels]
