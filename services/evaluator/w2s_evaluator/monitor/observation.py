"""An observation, what is wrong with one that is refused, and what its sender is told."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from w2s_evaluator.monitor.spec import StudentSpec

MAX_ID = 256
MAX_CHARACTERS = 100_000
# How far a clock may be ahead of ours.
_AHEAD_S = 300.0
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Observation:
    """What a student answered to one input.

    Attributes:
        id: Names the observation.
        text: The input.
        text_pair: Its second text; empty for none.
        probabilities: One for each class, in [0, 1], summing to 1.
        time: When the student answered, UTC; None for now.
    """

    id: str
    text: str
    text_pair: str
    probabilities: tuple[float, ...]
    time: datetime | None = None

    @property
    def hash(self) -> int:
        """A number in [0, 2^64) that depends on the id alone."""
        return hash_of(self.id)

    def seconds(self, now: float) -> float:
        """When the student answered, in seconds since 1970."""
        return now if self.time is None else self.time.timestamp()


@dataclass(frozen=True)
class Acknowledgement:
    """What became of some observations.

    Attributes:
        accepted: How many are new and counted.
        duplicates: How many were seen before.
        sampled: How many accepted ones will be labelled.
        shed: How many accepted ones would have been, had they not come faster than the rate.
        refused: The id and the reason of each that was not taken.
    """

    accepted: int
    duplicates: int
    sampled: int
    shed: int
    refused: list[tuple[str, str]]


def hash_of(id_: str) -> int:
    """A number in [0, 2^64) for an id, the same in every process."""
    return int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8).digest(), "big")


def problem_of(observation: Observation, spec: StudentSpec, now: float) -> str:
    """Why an observation cannot be taken; empty where it can.

    Args:
        observation: What came.
        spec: How its student is watched.
        now: The time, in seconds since 1970.
    """
    return (
        _problem_of_texts(observation)
        or _problem_of_probabilities(observation.probabilities, len(spec.label_names))
        or _problem_of_time(observation.seconds(now), now, spec.window.age)
    )


def _problem_of_texts(observation: Observation) -> str:
    if not 0 < len(observation.id) <= MAX_ID:
        return f"the id must have from 1 to {MAX_ID} characters, got {len(observation.id)}"
    characters = len(observation.text) + len(observation.text_pair)
    if not observation.text or characters > MAX_CHARACTERS:
        return f"the texts must have from 1 to {MAX_CHARACTERS:,} characters, got {characters:,}"
    if not all(map(_storable, (observation.id, observation.text, observation.text_pair))):
        return "the id and the texts must hold no NUL and no half of a surrogate pair"
    return ""


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    # PostgreSQL's texts hold none.
    return "\0" not in text


def _problem_of_probabilities(probabilities: tuple[float, ...], classes: int) -> str:
    if len(probabilities) != classes:
        return f"the student has {classes} classes, got {len(probabilities)} probabilities"
    if not all(0 <= p <= 1 for p in probabilities):
        return f"the probabilities must be in [0, 1], got {next(p for p in probabilities if not 0 <= p <= 1)}"
    total = math.fsum(probabilities)
    return "" if abs(total - 1) <= _TOLERANCE else f"the probabilities must sum to 1, got {total:.6g}"


def _problem_of_time(seconds: float, now: float, age: float) -> str:
    if seconds > now + _AHEAD_S:
        return f"its time is {seconds - now:.0f} s in the future; set the clock, or leave the time unset"
    if seconds < now - age:
        return f"its time is {now - seconds:.0f} s ago, and the window holds {age:g} s"
    return ""


def current_seconds() -> float:
    """Now, in seconds since 1970."""
    return time.time()


def moment(seconds: float) -> datetime:
    """A time in seconds since 1970 as a UTC time."""
    return datetime.fromtimestamp(seconds, UTC)
