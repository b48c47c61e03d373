"""Makes a task's splits and writes them as datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA, PAIRS_SCHEMA
from w2s.artifacts.tables import write_completions, write_examples, write_pairs
from w2s.errors import DataLoss
from w2s.tasks.balance import balance
from w2s.tasks.conversions import Kind
from w2s.tasks.reading import Reading, read_task
from w2s.tasks.rows import Row, TableRow
from w2s.tasks.split import deal, normal, shared_texts, split_components, split_texts
from w2s.tasks.task import Task

_Write = Callable[[Path, Sequence[dict[str, Any]]], None]
_TABLES: dict[Kind, tuple[str, _Write]] = {
    "classification": (EXAMPLES_SCHEMA, write_examples),
    "pairs": (PAIRS_SCHEMA, write_pairs),
    "completions": (COMPLETIONS_SCHEMA, write_completions),
}


class SplitSizes(BaseModel):
    """Rows of each split.

    Attributes:
        weak_train: The teacher learns here, on ground truth.
        transfer: The teacher labels it; students learn from those labels, the ceiling from
            its ground truth.
        validation: Settings are chosen here.
        test: Figures are reported here; the same rows for every seed, and never in another
            split of any seed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weak_train: int = Field(default=1200, ge=1)
    transfer: int = Field(default=1200, ge=1)
    validation: int = Field(default=400, ge=1)
    test: int = Field(default=600, ge=1)


def prepare(task: Task, sizes: SplitSizes, seed: int) -> dict[str, Sequence[TableRow]]:
    """Reads, splits and converts a task.

    Args:
        task: The task.
        sizes: Rows of each split; balancing leaves fewer.
        seed: Decides which rows outside the test split go where.

    Returns:
        The rows by split: weak_train, transfer, validation and test.

    Raises:
        FailedPrecondition: The source has too few rows.
        InvalidArgument, Unavailable: As `read_task`.
        DataLoss: A text is in two splits, or the source is damaged.
    """
    return split_reading(task, read_task(task), sizes, seed)


def split_reading(task: Task, reading: Reading, sizes: SplitSizes, seed: int) -> dict[str, Sequence[TableRow]]:
    """Splits and converts what was read of a task; as `prepare`."""
    # The test split comes first and knows no seed: no seed can train or tune on its rows.
    wanted = {name: getattr(sizes, name) for name in ("test", "weak_train", "transfer", "validation")}
    name = task.split_as or task.name
    salts = {part: f"{name}/{part}/{seed}" for part in wanted} | {"test": f"{name}/test"}
    parts = _split(task, reading, wanted, salts)
    companions = deal(reading.companions, wanted, salts)
    splits: dict[str, Sequence[TableRow]] = {
        part: task.conversion.finish(items, companions[part], salts[part]) for part, items in parts.items()
    }
    if task.balanced:
        splits = {part: balance([r for r in rows if isinstance(r, Row)], salts[part]) for part, rows in splits.items()}
    shared = shared_texts(splits)
    if shared:
        raise DataLoss(f"{len(shared)} texts of {task.name} are in two splits, such as {min(shared)!r}")
    return splits


def _split(task: Task, reading: Reading, wanted: Mapping[str, int], salts: Mapping[str, str]) -> dict[str, list[Any]]:
    split = split_components if task.split_by == "component" else split_texts
    if reading.held_out is None:
        return split(reading.items, dict(wanted), dict(salts))
    test = split(reading.held_out, {"test": wanted["test"]}, dict(salts))
    # All of what is held out, so that a larger test split later is not trained on either.
    taken = {normal(text) for item in reading.held_out for text in item.texts}
    free = [item for item in reading.items if not taken & {normal(text) for text in item.texts}]
    reading.counts.in_test = len(reading.items) - len(free)
    return test | split(free, {part: size for part, size in wanted.items() if part != "test"}, dict(salts))


def write_splits(store: ArtifactStore, task: Task, sizes: SplitSizes, seed: int, key: str) -> dict[str, ArtifactRef]:
    """Prepares a task and writes each split as a dataset artifact, `<key>-<split>`.

    Splits that the store has already are not made again. What became of the source's rows is in
    each manifest's `counts`.

    Returns:
        The references by split.
    """
    keys = {name: f"{key}-{name.replace('_', '-')}" for name in SplitSizes.model_fields}
    found = {name: ref for name, k in keys.items() if (ref := store.find("datasets", k))}
    if len(found) == len(keys):
        return found
    reading = read_task(task)
    schema, write = _TABLES[task.kind]
    for name, rows in split_reading(task, reading, sizes, seed).items():
        config = {
            "task": task.model_dump(mode="json"),
            "split": name,
            "sizes": sizes.model_dump(),
            "label_names": list(task.label_names),
            "counts": reading.counts.as_dict(),
            "source_revision": reading.revision,
        }
        with store.write("datasets", keys[name], data_schema=schema, config=config, seed=seed) as draft:
            write(draft.path, [row.columns for row in rows])
        assert draft.ref is not None
        found[name] = draft.ref
    return found
