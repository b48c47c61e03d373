"""Generators of rows by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from w2s.errors import InvalidArgument
from w2s.tasks.origins import GeneratedOrigin


def generated_rows(origin: GeneratedOrigin) -> Iterator[dict[str, Any]]:
    """As many rows as are asked for.

    Raises:
        InvalidArgument: There is no such generator, or it has no such rows.
    """
    if origin.name not in GENERATORS:
        raise InvalidArgument("task.source", f"there is no generator {origin.name!r}, but {', '.join(GENERATORS)}")
    return itertools.islice(GENERATORS[origin.name](origin), origin.rows)


def _arithmetic(origin: GeneratedOrigin) -> Iterator[dict[str, Any]]:
    from w2s.tasks.generated.arithmetic import EASY, HARD, MEDIUM, arithmetic_rows  # noqa: PLC0415

    difficulties = {difficulty.name: difficulty for difficulty in (EASY, MEDIUM, HARD)}
    wanted = origin.settings.get("difficulty")
    if wanted not in difficulties:
        raise InvalidArgument("task.source.settings.difficulty", f"must be one of {', '.join(difficulties)}")
    return arithmetic_rows(difficulties[wanted], origin.seed)


GENERATORS: dict[str, Callable[[GeneratedOrigin], Iterator[dict[str, Any]]]] = {"arithmetic": _arithmetic}
"""Rows without end by the generator's name."""
