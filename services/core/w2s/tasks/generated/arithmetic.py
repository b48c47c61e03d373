"""Sums in words, with solutions in the form of GSM8K."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from w2s.errors import InvalidArgument
from w2s.tasks.draws import identity, pick

Operation = Literal["add", "subtract", "multiply", "divide"]

_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jack", "Kira", "Leo", "Mona", "Noah")
_THINGS = ("apples", "books", "cards", "coins", "eggs", "flowers", "marbles", "pencils", "shells", "stamps", "stones")
_EVENTS: dict[Operation, tuple[str, ...]] = {
    "add": ("{name} buys {n} more {things}.", "{name} finds {n} more {things}.", "{name} is given {n} more {things}."),
    "subtract": ("{name} gives away {n} {things}.", "{name} loses {n} {things}.", "{name} sells {n} {things}."),
    "multiply": ("Now the number of {things} that {name} has becomes {n} times as large.",),
    "divide": ("{name} splits the {things} into {n} equal parts and keeps one part.",),
}
_OPERATIONS: dict[Operation, tuple[str, Callable[[int, int], int]]] = {
    "add": ("+", operator.add),
    "subtract": ("-", operator.sub),
    "multiply": ("*", operator.mul),
    "divide": ("/", operator.floordiv),
}
_LARGEST_FACTOR = 9
# Draws of one row before it is taken that there are no new ones.
_ATTEMPTS = 1000


class Difficulty(BaseModel):
    """How hard problems are.

    Attributes:
        name: The slice that they are in.
        steps: Calculations in a row.
        largest: The largest number that is given; factors and divisors are 9 at most.
        operations: What is calculated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    steps: int = Field(ge=1, le=8)
    largest: int = Field(ge=2, le=999_999)
    operations: tuple[Operation, ...] = Field(min_length=1)


# Greedy exact match of SmolLM2-135M-Instruct (Q4_1) on 50 problems, so +-0.14 at most: easy 0.52 and
# medium 0.08 after four solved ones; trained for one epoch on both, 0.76 and 0.58 with 80 problems, 0.68
# and 0.68 with 320, but 0.12 and 0.02 with its first 20 layers only. None of these has seen a third step.
EASY = Difficulty(name="easy", steps=1, largest=20, operations=("add", "subtract"))
MEDIUM = Difficulty(name="medium", steps=2, largest=9, operations=("add", "subtract"))
HARD = Difficulty(name="hard", steps=3, largest=9, operations=("add", "subtract"))


def arithmetic_rows(difficulty: Difficulty, seed: int) -> Iterator[dict[str, str]]:
    """Problems without end, no two alike; the first are the same however many are taken.

    Args:
        difficulty: How hard they are.
        seed: Draws them.

    Yields:
        Rows with a prompt `Question: ...\\nAnswer:` and a completion that has a line for each
        step, such as `3 + 4 = 7 eggs.`, and then `#### 7`. The group is the numbers that are
        given: a calculation that was learnt is in no other split.

    Raises:
        InvalidArgument: There are no more such problems.
    """
    salt = f"arithmetic/{difficulty.name}/{seed}"
    seen: set[str] = set()
    for number in itertools.count():
        drawn = (_problem(difficulty, salt, f"{number}/{attempt}") for attempt in range(_ATTEMPTS))
        new = next((row for row in drawn if row and row["id"] not in seen), None)
        if new is None:
            raise InvalidArgument("difficulty", f"has about {number} problems; take fewer, or larger numbers")
        seen.add(new["id"])
        yield new


def _problem(difficulty: Difficulty, salt: str, key: str) -> dict[str, str] | None:
    """A problem; None where an operation drawn cannot follow."""
    value = pick(salt, f"{key}/first", range(2, difficulty.largest + 1))
    given, things, name = [value], pick(salt, f"{key}/things", _THINGS), pick(salt, f"{key}/name", _NAMES)
    story, lines = [f"{name} has {value} {things}."], []
    for step in range(difficulty.steps):
        operation = pick(salt, f"{key}/{step}", difficulty.operations)
        operands = _operands(operation, value, difficulty.largest)
        if not operands:
            return None
        n = pick(salt, f"{key}/{step}/number", operands)
        event = pick(salt, f"{key}/{step}/event", _EVENTS[operation])
        story.append(event.format(name=name, n=n, things=things))
        sign, calculate = _OPERATIONS[operation]
        lines.append(f"{value} {sign} {n} = {(value := calculate(value, n))} {things}.")
        given.append(n)
    prompt = f"Question: {' '.join(story)} How many {things} does {name} have now?\nAnswer:"
    completion = " " + "\n".join([*lines, f"#### {value}"])
    numbers = " ".join(map(str, sorted(given)))
    return {
        "id": identity(prompt, completion),
        "prompt": prompt,
        "completion": completion,
        "slice": difficulty.name,
        "group": numbers,
    }


def _operands(operation: Operation, value: int, largest: int) -> Sequence[int]:
    """What an operation can be done with, so that the result is a whole number above 1."""
    match operation:
        case "add":
            return range(2, largest + 1)
        case "subtract":
            return range(2, min(value - 1, largest + 1))
        case "multiply":
            return range(2, _LARGEST_FACTOR + 1)
        case "divide":
            return [n for n in range(2, _LARGEST_FACTOR + 1) if value % n == 0 and n < value]
