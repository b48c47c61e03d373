"""What the protocol's servers ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from w2s.models.inputs import Completion, Row
from w2s_supervisor.backends.protocol import Labelled, Lane, Scored
from w2s_supervisor.desk import Answer, Target
from w2s_supervisor.teachers import Teacher


class Desk(Protocol):
    """Where teachers are asked; see `w2s_supervisor.desk.Desk`."""

    async def label(self, target: Target, rows: Sequence[Row], lane: Lane, pair_field: str) -> Answer[Labelled]:
        """Labels rows, loading the teacher first where need be."""

    async def score(self, target: Target, completions: Sequence[Completion], lane: Lane) -> Answer[Scored]:
        """Scores completions."""

    async def teacher(self, target: Target) -> Teacher:
        """The teacher that is meant."""

    async def teachers(self) -> Sequence[Teacher]:
        """Every registered teacher."""

    def is_ready(self, teacher_id: str) -> bool:
        """Whether a teacher answers at once here; for an empty id, whether one is active."""

    async def load(self, teacher_id: str) -> None:
        """Takes a teacher into memory."""

    async def unload(self, teacher_id: str) -> None:
        """Takes a teacher out of memory."""
