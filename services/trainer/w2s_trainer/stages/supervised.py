"""Datasets with the labels to train on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from w2s.artifacts import ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA, PAIRS_SCHEMA, expect_schema
from w2s.artifacts.tables import (
    CompletionDataset,
    Dataset,
    PairDataset,
    align,
    align_known,
    parent,
    read_completions,
    read_dataset,
    read_labels,
    read_pairs,
)
from w2s.errors import InvalidArgument
from w2s.objectives.cross_entropy import one_hot
from w2s_trainer.data import confident_rows, holdout
from w2s_trainer.spec import ConfidenceFilter

Table = Dataset | PairDataset | CompletionDataset
T = TypeVar("T", bound=Table)

_READERS: dict[str, Callable[[ArtifactStore, ArtifactRef, str], Table]] = {
    EXAMPLES_SCHEMA: read_dataset,
    PAIRS_SCHEMA: read_pairs,
    COMPLETIONS_SCHEMA: read_completions,
}


@dataclass(frozen=True)
class Supervised:
    """A dataset, and what a model is to learn of it.

    Attributes:
        table: N examples.
        targets: Label distributions, shape [N, C], fp32; None of completions.
        truth: True classes, shape [N], int64; None of completions.
        parents: What it was read from.
        unlabeled: Examples that were left out for want of a label.
        filtered: Examples that the confidence filter left out.
    """

    table: Table
    targets: Tensor | None
    truth: Tensor | None
    parents: tuple[Parent, ...]
    unlabeled: int = 0
    filtered: int = 0

    def subset(self, rows: list[int]) -> Supervised:
        """Some of the examples."""
        chosen = torch.as_tensor(rows, dtype=torch.int64)
        return replace(
            self,
            table=_take(self.table, rows),
            targets=None if self.targets is None else self.targets[chosen],
            truth=None if self.truth is None else self.truth[chosen],
        )

    def blind(self) -> Supervised:
        """The same without labels or ground truth: every example is said to be of the first class."""
        if self.targets is None:
            return self
        first = torch.zeros(len(self.targets), dtype=torch.int64)
        return replace(self, targets=one_hot(first, self.targets.shape[1]), truth=None)

    def filtered_by(self, settings: ConfidenceFilter) -> Supervised:
        """Without the examples that a filter leaves out; errors as `confident_rows`."""
        if self.targets is None:
            raise InvalidArgument("filter", "needs labels that are probabilities, and completions have none")
        kept = confident_rows(self.targets, self.truth, settings)
        return replace(self.subset(kept), filtered=len(self.table) - len(kept))

    def split(self, fraction: float, seed: int) -> tuple[Supervised, Supervised]:
        """What is trained on and what is held out; errors as `holdout`.

        Examples that read alike are on the same side, whatever their ids: they count as one.
        """
        alike: dict[Hashable, list[int]] = {}
        for row, content in enumerate(_contents(self.table)):
            alike.setdefault(content, []).append(row)
        groups = list(alike.values())
        sides = holdout([self.table.ids[rows[0]] for rows in groups], fraction, seed)
        trained, held = (self.subset(sorted(row for at in side for row in groups[at])) for side in sides)
        return trained, held

    def apart_from(self, other: Supervised) -> Supervised:
        """Without the examples that read as one of another dataset's."""
        there = set(_contents(other.table))
        return self.subset([row for row, content in enumerate(_contents(self.table)) if content not in there])

    @property
    def identity(self) -> str:
        """sha256 in hex over which examples of `parents` these are, and what is to be learnt of them."""
        digest = hashlib.sha256(json.dumps(list(self.table.ids)).encode())
        if self.targets is not None:
            digest.update(self.targets.numpy().tobytes())
        return digest.hexdigest()


def read(
    store: ArtifactStore,
    dataset: ArtifactRef,
    labels: ArtifactRef | None = None,
    *,
    skip_unlabeled: bool = False,
    field: str = "dataset",
) -> Supervised:
    """Reads a dataset with labels, or with its ground truth.

    Args:
        store: Where both are.
        dataset: Examples, pairs or completions.
        labels: Labels of it, or completions that stand in for its own; None for ground truth.
        skip_unlabeled: Leaves out examples without a label.
        field: The dataset's field, to name in errors.

    Raises:
        InvalidArgument: They do not belong together.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    table = _read(store, dataset, field)
    parents: tuple[Parent, ...] = (parent(field, table),)
    if isinstance(table, CompletionDataset):
        return _written(store, table, labels, parents, skip_unlabeled)
    truth = torch.from_numpy(table.labels.astype(np.int64))
    if labels is None:
        return Supervised(table, one_hot(truth, len(table.label_names)), truth, parents)
    known = read_labels(store, labels)
    parents = (*parents, parent("labels", known))
    if not skip_unlabeled:
        return Supervised(table, torch.from_numpy(align(known, table)), truth, parents)
    rows, probabilities = align_known(known, table)
    whole = Supervised(table, None, truth, parents).subset([int(row) for row in rows])
    return replace(whole, targets=torch.from_numpy(probabilities), unlabeled=len(table) - len(rows))


def _read(store: ArtifactStore, ref: ArtifactRef, field: str) -> Table:
    manifest = expect_schema(store, ref, tuple(_READERS), field)
    return _READERS[manifest.data_schema](store, ref, field)


def _written(
    store: ArtifactStore,
    table: CompletionDataset,
    labels: ArtifactRef | None,
    parents: tuple[Parent, ...],
    skip_unlabeled: bool,
) -> Supervised:
    """Completions, those of a teacher in place of the dataset's own where there are labels."""
    if labels is None:
        return Supervised(table, None, None, parents)
    written = read_completions(store, labels, "labels")
    found = dict(zip(written.ids, written.completions, strict=True))
    rows = [row for row, id_ in enumerate(table.ids) if id_ in found]
    if not rows or (len(rows) < len(table) and not skip_unlabeled):
        missing = next(id_ for id_ in table.ids if id_ not in found)
        raise InvalidArgument(
            "labels", f"{len(table) - len(rows)} examples of the dataset have none, such as {missing}"
        )
    chosen = _take(table, rows)
    chosen = replace(chosen, completions=[found[id_] for id_ in chosen.ids])
    return Supervised(chosen, None, None, (*parents, parent("labels", written)), unlabeled=len(table) - len(rows))


def _contents(table: Table) -> list[Hashable]:
    """What a model reads of each example; of a pair, in whatever order."""
    if isinstance(table, Dataset):
        return list(zip(table.texts, table.pairs or [""] * len(table), strict=True))
    if isinstance(table, CompletionDataset):
        return list(zip(table.prompts, table.completions, strict=True))
    pairs = zip(table.prompts, table.firsts, table.seconds, strict=True)
    return [(prompt, frozenset(both)) for prompt, *both in pairs]


def _take(table: T, rows: list[int]) -> T:
    columns = {field.name: getattr(table, field.name) for field in fields(table)}
    # What has a row for each example; the rest, such as class names, is the dataset's.
    per_row = {"ids", "texts", "pairs", "prompts", "firsts", "seconds", "completions", "labels"}
    chosen: dict[str, Any] = {}
    for name in per_row & columns.keys():
        column = columns[name]
        chosen[name] = column[rows] if isinstance(column, np.ndarray) else column and [column[row] for row in rows]
    return replace(table, **chosen)
