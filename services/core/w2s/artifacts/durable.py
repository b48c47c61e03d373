"""Changes to local folders that survive a crash of the machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, where they are not there."""
    missing = list(itertools.takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Waits until a folder and all below it are on the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def move(path: Path, target: Path) -> None:
    """Renames within a file system: it is there under its new name, or raises and is under the old."""
    path.rename(target)
    sync(target.parent)


def replace(path: Path, target: Path, aside: Path) -> None:
    """As `move`, in place of a file or a folder.

    Args:
        path: What to rename.
        target: Its new name.
        aside: Where what has that name is put until it is removed: a name in the same file
            system that nobody reads or has taken. Readers may see neither for a moment.
    """
    with contextlib.suppress(FileNotFoundError):
        target.rename(aside)
    move(path, target)
    _erase(aside)


def discard(path: Path, aside: Path) -> bool:
    """Removes a file or a folder, of which nobody sees a part.

    Args:
        path: What to remove.
        aside: Where it is put first, as in `replace`.

    Returns:
        Whether there was one.
    """
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    sync(path.parent)
    _erase(aside)
    return True


def _erase(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
