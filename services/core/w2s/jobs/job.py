"""What a job is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where a job stands; the values are the names of the proto enum."""

    QUEUED = "JOB_STATE_QUEUED"
    RUNNING = "JOB_STATE_RUNNING"
    SUCCEEDED = "JOB_STATE_SUCCEEDED"
    FAILED = "JOB_STATE_FAILED"
    CANCELLED = "JOB_STATE_CANCELLED"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Progress:
    """How far a job has come: step of total_steps in a stage, and finite figures by name."""

    stage: str
    step: int = 0
    total_steps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A job as it is stored.

    Attributes:
        id: Its id among jobs of its kind.
        kind: The collection it belongs to, such as `runs`.
        spec: What decides its result; JSON.
        extra: What does not, such as a display name; JSON.
        state: Where it stands.
        attempt: Which attempt this is, from 1; 0 before the first.
        result: What it made; JSON, set once it has succeeded.
        error_code: The google.rpc.Code of its failure; 0 for none.
        error_message: Why it failed.
        priority: Those of a higher one begin first.
        size: The slots that it takes, >= 1.
    """

    id: str
    kind: str
    spec: dict[str, Any]
    extra: dict[str, Any]
    state: State
    attempt: int
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    progress: Progress | None
    result: dict[str, Any] | None
    error_code: int
    error_message: str
    priority: int = 0
    size: int = 1


@dataclass(frozen=True)
class Event:
    """One entry of a job's log, numbered from 1 without gaps."""

    sequence: int
    time: datetime
    state: State
    progress: Progress | None
    error_code: int
    error_message: str
