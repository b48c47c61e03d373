"""Makes a task's splits and writes them as datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace

from pydantic import BaseModel, ConfigDict, Field

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import EXAMPLES_SCHEMA
from w2s.artifacts.tables import write_examples
from w2s.errors import DataLoss
from w2s.tasks.sources import read_rows
from w2s.tasks.split import shared_texts, split_components, split_texts
from w2s.tasks.task import Row, Task


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


def prepare(task: Task, sizes: SplitSizes, seed: int) -> dict[str, list[Row]]:
    """Reads, splits and converts a task.

    Args:
        task: The task.
        sizes: Rows of each split.
        seed: Decides which rows outside the test split go where.

    Returns:
        The examples by split: weak_train, transfer, validation and test.

    Raises:
        FailedPrecondition: The source has too few rows.
        DataLoss: A text is in two splits.
    """
    rows = read_rows(task)
    # The test split comes first and knows no seed: no seed can train or tune on its rows.
    wanted = {name: getattr(sizes, name) for name in ("test", "weak_train", "transfer", "validation")}
    salts = {name: f"{task.name}/{name}/{seed}" for name in wanted} | {"test": f"{task.name}/test"}
    split = split_components if task.split_by == "component" else split_texts
    splits = split(rows, wanted, salts)
    if task.conversion == "relevance":
        splits = {name: relevance_pairs(part, salts[name]) for name, part in splits.items()}
    shared = shared_texts(dict(splits))
    if shared:
        raise DataLoss(f"{len(shared)} texts of {task.name} are in two splits, such as {min(shared)!r}")
    return splits


def relevance_pairs(rows: Sequence[Row], salt: str) -> list[Row]:
    """Gives half of the rows the most similar second text of another row, and the label 0.

    Similarity is the cosine of TF-IDF vectors among the rows given, so that a pair never
    crosses splits. A coin from the row's id and the salt decides which rows.
    """
    # Imported here: the thin client image reads the registry without scikit-learn.
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    passages = [row.text_pair or "" for row in rows]
    vectors = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit_transform(passages)
    similarity = (vectors @ vectors.T).toarray()
    similarity[range(len(rows)), range(len(rows))] = -1.0
    nearest = similarity.argmax(axis=1)
    return [
        row if _coin(salt, row.id) else replace(row, text_pair=passages[other], label=0)
        for row, other in zip(rows, nearest, strict=True)
    ]


def write_splits(store: ArtifactStore, task: Task, sizes: SplitSizes, seed: int, key: str) -> dict[str, ArtifactRef]:
    """Prepares a task and writes each split as a dataset artifact, `<key>-<split>`.

    Splits that the store has already are not made again.

    Returns:
        The references by split.
    """
    keys = {name: f"{key}-{name.replace('_', '-')}" for name in SplitSizes.model_fields}
    found = {name: ref for name, k in keys.items() if (ref := store.find("datasets", k))}
    if len(found) == len(keys):
        return found
    for name, rows in prepare(task, sizes, seed).items():
        config = {
            "task": asdict(task),
            "split": name,
            "sizes": sizes.model_dump(),
            "label_names": list(task.label_names),
        }
        with store.write("datasets", keys[name], data_schema=EXAMPLES_SCHEMA, config=config, seed=seed) as draft:
            write_examples(draft.path, [asdict(row) for row in rows])
        assert draft.ref is not None
        found[name] = draft.ref
    return found


def _coin(salt: str, key: str) -> bool:
    return bool(hashlib.sha256(f"{salt}/coin\0{key}".encode()).digest()[0] & 1)
