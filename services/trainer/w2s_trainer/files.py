"""What runs leave in the artifact store."""

from __future__ import annotations

from contextlib import suppress

from w2s.artifacts import ArtifactStore
from w2s.artifacts.manifest import Kind
from w2s.errors import NotFound
from w2s.jobs import Job


class RunFiles:
    """The files of runs, by the runs' ids.

    Args:
        store: Where runs keep their checkpoints, and the models that they make.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def remove_checkpoints(self, run_id: str) -> None:
        """Removes what a run that has ended had done so far."""
        self._store.workspace("models", run_id).clear()

    def remove_models(self, run: Job) -> None:
        """Removes the models that a run has made, and the labels that its hops gave."""
        hops = [f"{run.id}-hop-{number}" for number in range(len(run.spec["hops"]))]
        made: list[tuple[Kind, str]] = [("labels", key) for key in hops]
        made += [("models", key) for key in (*hops, run.id)]
        for kind, key in made:
            # A run that failed may have made some of them.
            with suppress(NotFound):
                self._store.delete(kind, key)
