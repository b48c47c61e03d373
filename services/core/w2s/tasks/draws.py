"""Seeded choices for a row that depend on the row alone, not on the rows before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def identity(*parts: object) -> str:
    """An id for what a row says: 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]


def order(salt: str, key: str) -> str:
    """What to sort keys by for an order that the salt draws: 64 hex digits."""
    return hashlib.sha256(f"{salt}\0{key}".encode()).hexdigest()


def coin(salt: str, key: str) -> bool:
    """A fair coin."""
    return bool(hashlib.sha256(f"{salt}/coin\0{key}".encode()).digest()[0] & 1)


def pick(salt: str, key: str, choices: Sequence[T]) -> T:
    """One of the choices, each as likely as the others to within n / 2^48."""
    return choices[int(order(f"{salt}/pick", key)[:12], 16) * len(choices) >> 48]


def shuffle(salt: str, key: str, choices: Sequence[T]) -> list[T]:
    """The choices in another order."""
    places = sorted(range(len(choices)), key=lambda place: order(f"{salt}/shuffle/{place}", key))
    return [choices[place] for place in places]
