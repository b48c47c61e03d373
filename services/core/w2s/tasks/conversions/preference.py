"""Pairs of answers of which one is preferred."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from w2s.tasks.conversions.base import Conversion, Kind
from w2s.tasks.draws import coin, identity
from w2s.tasks.rows import Pair
from w2s.tasks.text import Fields, text_of, value_of

_TURN = re.compile(r"\n\n(Human|Assistant): ?")


@dataclass(frozen=True)
class Preference:
    """A preferred and another answer, before their places are drawn.

    Attributes:
        id: Stable and distinct within the task.
        prompt: What is answered.
        chosen: The preferred answer.
        rejected: The other.
        slice: The slice that it is in.
    """

    id: str
    prompt: str
    chosen: str
    rejected: str
    slice: str | None

    @property
    def texts(self) -> tuple[str, ...]:
        """The prompt."""
        return (self.prompt,)


class PreferencePairs(Conversion):
    """Pairs, each answer first in half of them: a coin from the row's id.

    Every prompt is `Human: ...\\n\\nAssistant:` and every answer begins with a space, wherever
    it comes from. Conversations of more than one turn, and equal answers, are left out.

    Attributes:
        form: `transcript` is one text with `\\n\\nHuman: ` and `\\n\\nAssistant: ` before the turns,
            `messages` a list of roles and contents; `answers` are the answers alone.
        chosen: The column of the preferred answer.
        rejected: The column of the other.
        prompt: The column of the prompt; for `answers`.
        dimension: What is preferred, such as `harmless`: where objectives conflict, the other
            dimension's pairs are mixed in, and this one's say what a person rejected.
    """

    kind_of_task: ClassVar[Kind] = "pairs"

    kind: Literal["preference"]
    form: Literal["transcript", "messages", "answers"]
    chosen: str = "chosen"
    rejected: str = "rejected"
    prompt: str = ""
    dimension: str = ""

    def read(self, fields: Fields) -> Preference | None:
        """A preference; None for one that is left out."""
        preferred, other = self._turn(fields, self.chosen), self._turn(fields, self.rejected)
        if preferred is None or other is None:
            return None
        (prompt, chosen), (other_prompt, rejected) = preferred, other
        if prompt != other_prompt or chosen == rejected or not (prompt and chosen and rejected):
            return None
        return Preference(
            id=identity(prompt, chosen, rejected),
            prompt=f"Human: {prompt}\n\nAssistant:",
            chosen=f" {chosen}",
            rejected=f" {rejected}",
            slice=self.sliced(fields),
        )

    def finish(self, items: Sequence[Preference], _companions: Sequence[Any], salt: str) -> list[Pair]:
        """The pairs of a split, each with its places drawn by its id."""
        return [place(item, coin(salt, item.id)) for item in items]

    def _turn(self, fields: Fields, column: str) -> tuple[str, str] | None:
        """A prompt and its answer, trimmed; None for another number of turns."""
        match self.form:
            case "answers":
                return text_of(fields, self.prompt, str.strip), text_of(fields, column, str.strip)
            case "messages":
                messages = [(message["role"], message["content"].strip()) for message in value_of(fields, column)]
                roles = [role for role, _ in messages]
                return (messages[0][1], messages[1][1]) if roles == ["user", "assistant"] else None
            case _:
                parts = _TURN.split(value_of(fields, column))
                return (parts[2].strip(), parts[4].strip()) if parts[1::2] == ["Human", "Assistant"] else None


def place(item: Preference, swap: bool) -> Pair:
    """A pair with the preferred answer first, or second when swapped."""
    answers = (item.rejected, item.chosen) if swap else (item.chosen, item.rejected)
    return Pair(item.id, item.prompt, *answers, label=int(swap), slice=item.slice)
