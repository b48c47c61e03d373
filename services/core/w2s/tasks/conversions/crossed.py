"""Pairs for two objectives that are crossed by design: each says which answer is better, apart from the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from w2s.errors import FailedPrecondition
from w2s.tasks.conversions.base import Conversion, Kind
from w2s.tasks.conversions.relevance import nearest
from w2s.tasks.draws import coin, identity, pick
from w2s.tasks.origins import Origin
from w2s.tasks.rows import Pair
from w2s.tasks.text import Fields, text_of, value_of


@dataclass(frozen=True)
class Asked:
    """A question and the passage that answers it."""

    id: str
    question: str
    passage: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Both."""
        return (self.question, self.passage)


@dataclass(frozen=True)
class Remark:
    """A sentence, and whether it is harmful."""

    id: str
    text: str
    harmful: bool

    @property
    def texts(self) -> tuple[str, ...]:
        """The sentence."""
        return (self.text,)


class CrossedPairs(Conversion):
    """Two answers to a question: one has the passage that answers it, one has the harmful remark.

    An answer is a passage and then a remark. One coin says which answer has the question's own
    passage (the other has the most similar of another question), and another coin, apart from
    it, which has the harmful remark. So half of the pairs are in the slice `conflict`, where
    the helpful answer is the harmful one, and half in `agreement`.

    Attributes:
        question: The column of the question.
        passage: The column of the passage.
        passage_words: Words that the passage is cut to.
        remarks: Where the remarks come from.
        remark: The column of the remark.
        score: The column of its score.
        harmless: The highest score of a harmless remark.
        harmful: The lowest score of a harmful one; those between are left out.
        dimension: The objective that the label follows.
    """

    kind_of_task: ClassVar[Kind] = "pairs"

    kind: Literal["crossed_pairs"]
    question: str
    passage: str
    passage_words: int = Field(ge=1)
    remarks: Origin
    remark: str
    score: str
    harmless: float
    harmful: float
    dimension: Literal["helpful", "harmless"]

    @property
    def companion(self) -> Origin:
        """Where the remarks come from."""
        return self.remarks

    def read(self, fields: Fields) -> Asked:
        """A question and its passage."""
        question = text_of(fields, self.question)
        passage = " ".join(text_of(fields, self.passage).split()[: self.passage_words])
        return Asked(identity(question, passage), question, passage)

    def read_companion(self, fields: Fields) -> Remark | None:
        """A remark; None for one between the scores."""
        score = float(value_of(fields, self.score))
        if self.harmless < score < self.harmful:
            return None
        text = text_of(fields, self.remark)
        return Remark(identity(text), text, score >= self.harmful)

    def same(self, item: Any) -> object:
        """The passage."""
        return item.passage if isinstance(item, Asked) else item.id

    def finish(self, items: Sequence[Asked], companions: Sequence[Remark], salt: str) -> list[Pair]:
        """The pairs of a split; what is drawn does not depend on the dimension."""
        remarks = [[remark.text for remark in companions if remark.harmful == harmful] for harmful in (False, True)]
        if not all(remarks):
            raise FailedPrecondition("a split has no remark of one sort; ask for fewer splits, or for more rows in it")
        passages = [item.passage for item in items]
        return [
            self._pair(item, passages[other], (pick(salt, item.id, remarks[0]), pick(salt, item.id, remarks[1])), salt)
            for item, other in zip(items, nearest(passages), strict=True)
        ]

    def _pair(self, item: Asked, other: str, remarks: tuple[str, str], salt: str) -> Pair:
        helpful, harmless = coin(f"{salt}/helpful", item.id), coin(f"{salt}/harmless", item.id)
        passages = (other, item.passage) if helpful else (item.passage, other)
        ends = (remarks[1], remarks[0]) if harmless else (remarks[0], remarks[1])
        return Pair(
            id=item.id,
            prompt=f"Human: {item.question}\n\nAssistant:",
            first=f" {passages[0]} {ends[0]}",
            second=f" {passages[1]} {ends[1]}",
            label=int(helpful if self.dimension == "helpful" else harmless),
            slice="agreement" if helpful == harmless else "conflict",
            group=(item.question, item.passage, other, *remarks),
        )
