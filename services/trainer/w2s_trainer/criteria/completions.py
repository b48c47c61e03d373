"""The criterion of language models that learn to write."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from w2s_trainer.criteria.base import RowMean
from w2s_trainer.spec import Averaging


class CompletionCriterion(RowMean):
    """Negative log-likelihood, from summed log-probabilities [B] and `counts` of tokens.

    `w2s.objectives.token_mean_nll` where each token weighs the same, `sequence_mean_nll`
    where each completion does.

    Args:
        averaging: What weighs the same.
    """

    rows_of = "counts"

    def __init__(self, averaging: Averaging) -> None:
        self._by_token = averaging is Averaging.TOKENS

    def weights(self, targets: Mapping[str, Tensor]) -> Tensor:
        """The row's tokens, or 1."""
        return targets["counts"] if self._by_token else super().weights(targets)

    def terms(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """The component `nll`."""
        return {"nll": -outputs.float() if self._by_token else -outputs.float() / targets["counts"]}

    def measures(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`nll`: that of a row's mean token."""
        return {"nll": -outputs.detach().float() / targets["counts"]}
