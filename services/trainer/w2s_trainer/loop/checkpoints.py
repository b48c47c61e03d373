"""Where a training's state is kept, so that it goes on after whatever ended it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from w2s.errors import ResourceExhausted

# Less than this left means that a failed write failed for want of space.
_FULL_BYTES = 1 << 20


class Folders(Protocol):
    """Named folders that are there as a whole, and survive a crash, or not at all; see `w2s.artifacts.workspace`."""

    def publish(self, name: str, folder: Path) -> None:
        """Keeps a local folder under a name."""

    def folder(self, name: str) -> Path | None:
        """A local, verified copy; None when there is none, or it is damaged."""

    def names(self) -> list[str]:
        """The names there are."""

    def remove(self, name: str) -> None:
        """Removes one."""


class Checkpoints:
    """The last checkpoints of one stage of a run.

    Args:
        folders: Where they are.
        stage: The stage's name, which no other stage of the run begins with.
        keep: How many are kept, >= 1.
        scratch: A local folder to write them in.
    """

    def __init__(self, folders: Folders, stage: str, keep: int, scratch: Path) -> None:
        self._folders = folders
        self._prefix = f"{stage}-step-"
        self._keep = keep
        self._scratch = scratch

    @property
    def scratch(self) -> Path:
        """The local folder in which a checkpoint is written before it is kept."""
        return self._scratch

    def sweep(self) -> None:
        """Removes what a process that was killed left half written; for before a training, in each of its processes."""
        for folder in self._scratch.glob("checkpoint-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def latest(self) -> Path | None:
        """A local copy of the last checkpoint that is whole, or None."""
        for name in reversed(self._names()):
            if (folder := self._folders.folder(name)) is not None:
                return folder
        return None

    def keep(self, step: int, folder: Path) -> None:
        """Keeps what has been written in a folder, and forgets all but the last ones.

        Raises:
            ResourceExhausted: There is no space left; the checkpoints before are intact.
        """
        with self.writing(step):
            self._folders.publish(f"{self._prefix}{step:09d}", folder)
        for name in self._names()[: -self._keep]:
            self._folders.remove(name)

    @contextmanager
    def writing(self, step: int) -> Iterator[None]:
        """Says so when there is no space left for the checkpoint of a step."""
        try:
            yield
        # torch and safetensors have errors of their own for a write that failed.
        except Exception as error:
            if not self._is_full(error):
                raise
            last = self._names()[-1:]
            kept = f"the checkpoint of step {int(last[0].removeprefix(self._prefix))} is intact" if last else "none"
            raise ResourceExhausted(
                f"no space left on the device for the checkpoint of step {step} ({kept}): "
                "free some, and create the run again with its request_id to go on from there"
            ) from error
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _is_full(self, error: Exception) -> bool:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        existing = next(path for path in (self._scratch, *self._scratch.parents) if path.exists())
        return "No space left" in str(error) or shutil.disk_usage(existing).free < _FULL_BYTES

    def _names(self) -> list[str]:
        return sorted(name for name in self._folders.names() if name.startswith(self._prefix))
