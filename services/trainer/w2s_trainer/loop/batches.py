"""Which examples make an optimiser step, and how they are cut into micro-batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from w2s_trainer.loop.contract import Examples, Micro
from w2s_trainer.loop.cuts import cheapest_cut


class OptimizerBatches(Sampler[list[int]]):
    """Batches of row numbers: each epoch a permutation that its seed and number alone decide.

    Args:
        rows: How many rows there are, N >= 1.
        batch_size: Rows a batch; the last one of an epoch may have fewer.
        seed: Seeds the permutations.

    Attributes:
        epoch: The epoch that the next iteration gives, from 0.
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self._rows = rows
        self._batch_size = batch_size
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(self._rows / self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self._seed, self.epoch]).permutation(self._rows).tolist()
        for low in range(0, self._rows, self._batch_size):
            yield order[low : low + self._batch_size]


class Cutter:
    """Makes of an optimiser batch the micro-batches of one process.

    Args:
        examples: Where rows are.
        budget: Padded tokens of a micro-batch; a longer example is one of its own.
        rank: This process's number among all that share a batch.
        world: How many there are.
        whole: A batch that fits is not cut, where all of it is computed twice if it is.
    """

    def __init__(self, examples: Examples, budget: int, rank: int = 0, world: int = 1, *, whole: bool = False) -> None:
        self._examples = examples
        self._budget = max(1, budget // examples.sequences)
        self._rank = rank
        self._world = world
        self._whole = whole

    def __call__(self, rows: Sequence[int]) -> dict[str, Any]:
        """The part of a batch that is this process's, for a data loader.

        Every process gets as many micro-batches, since each takes part in every exchange;
        those it has no rows for repeat one, and count for nothing.

        Returns:
            `micros` and whether each counts (`counted`), `shares`: how many rows each process
            has, and `rows` and `tokens` of the whole batch.
        """
        parts = self._parts(rows)
        cuts = [self.cut(part) for part in parts]
        mine = cuts[self._rank]
        spare = max(map(len, cuts)) - len(mine)
        shortest = min(rows, key=lambda row: self._examples.lengths[row])
        return {
            "micros": [self.micro(micro) for micro in [*mine, *[[shortest]] * spare]],
            "counted": [True] * len(mine) + [False] * spare,
            "shares": [len(part) for part in parts],
            "rows": list(rows),
            "tokens": sum(self._examples.token_counts[row] for row in rows),
        }

    def _parts(self, rows: Sequence[int]) -> list[list[int]]:
        if self._world == 1:
            return [list(rows)]
        # Dealt by length, so that no process waits long for another.
        ordered = sorted(rows, key=lambda row: (-self._examples.lengths[row], row))
        return [ordered[rank :: self._world] for rank in range(self._world)]

    def cut(self, rows: Sequence[int]) -> list[list[int]]:
        """Rows in groups that fit the budget, with little padding."""
        lengths = [self._examples.lengths[row] for row in rows]
        if self._whole and self._world == 1 and max(lengths) * len(rows) <= self._budget:
            return [list(rows)]
        return [[rows[index] for index in micro] for micro in cheapest_cut(lengths, self._budget)]

    def micro(self, rows: Sequence[int]) -> dict[str, Any]:
        """The `rows`, `inputs` and `targets` of a micro-batch."""
        micro: Micro = self._examples.micro(rows)
        return {"rows": list(rows), "inputs": micro.inputs, "targets": micro.targets}


class Rows(Dataset[int]):
    """Row numbers, which a data loader takes for data."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> int:
        return row


def loader(sampler: OptimizerBatches, cutter: Cutter, rows: int, *, pin_memory: bool) -> DataLoader[Any]:
    """A data loader of optimiser batches, cut for one process."""
    return DataLoader(Rows(rows), batch_sampler=sampler, collate_fn=cutter, pin_memory=pin_memory)
