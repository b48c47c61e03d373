"""What runs leave in the artifact store, and whose it is."""

from __future__ import annotations

from contextlib import suppress

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.manifest import Kind
from w2s.errors import AlreadyExists, NotFound
from w2s.jobs import Job
from w2s_trainer.spec import RunSpec


def model_of(store: ArtifactStore, key: str, spec: RunSpec) -> ArtifactRef | None:
    """The model that a run of a spec has made under a key, or None when there is none.

    Raises:
        AlreadyExists: A run with another spec has made it.
    """
    found = store.find("models", key)
    if found is not None and store.manifest(found.uri).config.get("run") != spec.model_dump(mode="json"):
        raise AlreadyExists(f"{found.uri} was made by another spec; use another request_id, or delete that model")
    return found


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
