"""What the hub's branches were when a run was admitted, for all of its attempts."""

from __future__ import annotations

from collections.abc import Mapping

from w2s.models.spec import BaseRef


def commit_key(ref: BaseRef) -> str:
    """What a hub model's commit is kept under."""
    return f"{ref.uri}@{ref.revision}"


def at_commit(ref: BaseRef, commits: Mapping[str, str]) -> BaseRef:
    """A reference that means the same bytes for ever: of a hub model, with its commit as the revision."""
    return ref.model_copy(update={"revision": commits[commit_key(ref)]}) if ref.revision else ref
