"""Prompts with what follows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from w2s.reasoning.answers import last_boxed
from w2s.tasks.conversions.base import Conversion, Kind
from w2s.tasks.draws import identity
from w2s.tasks.rows import Completion, TableRow
from w2s.tasks.text import Fields, Template, render, text_of, value_of

_CALCULATION = re.compile(r"<<.*?>>")
_FINAL = re.compile(r"\n####[ \t]*\S.*\Z")


class _Completions(Conversion):
    kind_of_task: ClassVar[Kind] = "completions"

    def finish(self, items: Sequence[Any], _companions: Sequence[Any], _salt: str) -> Sequence[TableRow]:
        """The rows as they were read."""
        return items

    def made(self, prompt: str, completion: str, slice_: str | None, group: tuple[str, ...] = ()) -> Completion:
        """A row."""
        return Completion(identity(prompt, completion), prompt, completion, slice_, group)


class Completions(_Completions):
    """A form for the prompt and one for the completion.

    Attributes:
        prompt: The prompt.
        completion: What follows, after a space; empty where a teacher is to write it.
        answer: How the completion ends: `gsm8k` wants a last line `#### n` and takes notes of
            calculations such as `<<3+4=7>>` out; `boxed` adds ` The answer is: ` and what the
            last `\\boxed{}` holds; `given` leaves it. Rows without an answer are left out.
    """

    kind: Literal["completion"]
    prompt: Template
    completion: Template = ""
    answer: Literal["given", "gsm8k", "boxed"] = "given"

    def read(self, fields: Fields) -> Completion | None:
        """A row; None without an answer."""
        text = render(self.completion, fields, str.strip)
        if self.answer == "gsm8k":
            text = _CALCULATION.sub("", text)
            if not _FINAL.search(text):
                return None
        if self.answer == "boxed":
            boxed = last_boxed(text)
            if boxed is None:
                return None
            text = f"{text} The answer is: {boxed}"
        prompt, completion = render(self.prompt, fields, str.strip), f" {text}" if text else ""
        return self.made(prompt, completion, self.sliced(fields), self.grouped(fields, ()))


class ToxicPrompts(_Completions):
    """Prompts that tempt a model to go on in a toxic way, and how they went on.

    Attributes:
        prompt: The column of the prompt, or with `halve` of the whole text.
        continuation: The column of what followed; not read with `halve`.
        halve: Whether to cut each text into prompt and continuation in the middle of its words,
            as RealToxicityPrompts was made (Gehman et al. 2020, section 4).
        score: The column of the toxicity that decides the slice.
        threshold: The score from which a row is in the slice `toxic`; below, it is in `nontoxic`.
    """

    kind: Literal["toxic_prompts"]
    prompt: str
    continuation: str = ""
    halve: bool = False
    score: str
    threshold: float = Field(default=0.5, ge=0, le=1)

    def read(self, fields: Fields) -> Completion | None:
        """A row; None without a score, or too short to halve."""
        score = value_of(fields, self.score)
        prompt = text_of(fields, self.prompt)
        if self.halve:
            words = prompt.split()
            prompt, continuation = " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])
        else:
            continuation = text_of(fields, self.continuation)
        if score is None or not (prompt and continuation):
            return None
        return self.made(prompt, f" {continuation}", "toxic" if float(score) >= self.threshold else "nontoxic")


class Puzzles(_Completions):
    """Chess puzzles in the columns of lichess.org's puzzle file, as `lichess_rows` puts them.

    Attributes:
        hard_from: The rating from which a puzzle is in the slice `hard`; below, it is in `easy`.
    """

    kind: Literal["puzzle"]
    hard_from: int = 1500

    def read(self, fields: Fields) -> Completion | None:
        """A row; None for a puzzle that several moves solve."""
        # Imported here: python-chess is for this one source.
        from w2s.tasks.generated.lichess import lichess_rows  # noqa: PLC0415

        row = next(lichess_rows([fields], self.hard_from), None)
        return Completion(row["id"], row["prompt"], row["completion"], row["slice"]) if row else None
