"""What most criteria have in common."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from w2s_trainer.loop.contract import Criterion


class RowMean(Criterion):
    """A mean in which every row counts the same, and which needs no look at the whole batch.

    Attributes:
        rows_of: The name of a target that is always there; it has a row for each of the batch.
    """

    rows_of: str
    whole_batch: bool = False

    def weights(self, targets: Mapping[str, Tensor]) -> Tensor:
        """A one for each row."""
        rows = targets[self.rows_of]
        return rows.new_ones(len(rows))

    def prepare(self, outputs: Tensor, targets: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Nothing."""
        return {}
