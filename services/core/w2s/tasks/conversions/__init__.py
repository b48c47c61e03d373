"""How source rows become rows of a table: pure functions of the row, the task and a salt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from w2s.tasks.conversions.base import Kind, longest
from w2s.tasks.conversions.choice import BinaryChoice
from w2s.tasks.conversions.completion import Completions, Puzzles, ToxicPrompts
from w2s.tasks.conversions.crossed import CrossedPairs
from w2s.tasks.conversions.labelled import Labelled, Scored
from w2s.tasks.conversions.preference import PreferencePairs
from w2s.tasks.conversions.relevance import Relevance

AnyConversion = Annotated[
    Labelled
    | Scored
    | Relevance
    | BinaryChoice
    | PreferencePairs
    | CrossedPairs
    | Completions
    | ToxicPrompts
    | Puzzles,
    Field(discriminator="kind"),
]

__all__ = ["AnyConversion", "Kind", "longest"]
