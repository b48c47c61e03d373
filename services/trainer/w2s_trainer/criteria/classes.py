"""Criteria of classifiers: each a cross-entropy to the labels, or to what is made of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor

from w2s.errors import InvalidArgument
from w2s.objectives import (
    confidence_targets,
    confidence_window_loss,
    harden,
    linear_ramp,
    product_loss,
    row_cross_entropy,
    step_ramp,
)
from w2s_trainer.criteria.base import RowMean
from w2s_trainer.spec import AuxiliaryConfidence, ConfidenceWindow, CrossEntropy, ProductConfidence, Ramp

_RAMPS = {Ramp.LINEAR: linear_ramp, Ramp.STEP: step_ramp}


class ClassCriterion(RowMean):
    """Logits against `targets`, and for measures `truth` where it is known."""

    rows_of = "targets"

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The component `cross_entropy`."""
        return {"cross_entropy": self._loss(outputs, targets)}

    def measures(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`label_accuracy` and `truth_accuracy`: whether the most probable class is the labels', and the true one."""
        predicted = outputs.argmax(dim=-1)
        classes = {"label_accuracy": targets["targets"].argmax(dim=-1)}
        if "truth" in targets:
            classes["truth_accuracy"] = targets["truth"]
        return {name: (predicted == wanted).float() for name, wanted in classes.items()}

    @abstractmethod
    def _loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor: ...


class CrossEntropyCriterion(ClassCriterion):
    """As `w2s.objectives.cross_entropy`."""

    def __init__(self, settings: CrossEntropy) -> None:
        self._harden = settings.harden

    def _loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        wanted = targets["targets"]
        return row_cross_entropy(logits, harden(wanted) if self._harden else wanted)


class AuxiliaryConfidenceCriterion(ClassCriterion):
    """As `w2s.objectives.auxiliary_confidence_loss`, with its thresholds over the whole batch."""

    whole_batch = True

    def __init__(self, settings: AuxiliaryConfidence) -> None:
        self._settings = settings

    def prepare(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The target `mixed`: labels mixed with the student's own hardened predictions, shape [B, C]."""
        ramp = _RAMPS[self._settings.ramp](progress, self._settings.warmup)
        return {"mixed": confidence_targets(outputs, targets["targets"], self._settings.alpha_max * ramp)}

    def _loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return row_cross_entropy(logits, targets["mixed"])


class ProductConfidenceCriterion(ClassCriterion):
    """As `w2s.objectives.product_loss`."""

    def __init__(self, settings: ProductConfidence) -> None:
        self._settings = settings

    def _loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return product_loss(logits, targets["targets"], self._settings.alpha, self._settings.beta)


class ConfidenceWindowCriterion(ClassCriterion):
    """As `w2s.objectives.confidence_window_loss`.

    Args:
        settings: Its settings.
        radius: The radius where the settings leave it to the labels (`median_radius`).

    Raises:
        InvalidArgument: There is no radius.
    """

    def __init__(self, settings: ConfidenceWindow, radius: float | None) -> None:
        found = radius if settings.radius is None else settings.radius
        if found is None:
            raise InvalidArgument("objective.confidence_window.radius", "is needed without labels")
        self._radius = found

    def _loss(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return confidence_window_loss(logits, targets["targets"], self._radius)
