"""Whether a text belongs to another, with hard negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from w2s.tasks.conversions.labelled import Texts
from w2s.tasks.draws import coin
from w2s.tasks.rows import Row
from w2s.tasks.text import Fields

# Passages that are compared with all others at a time.
_BLOCK = 1024


class Relevance(Texts):
    """Asks whether the second text belongs to the first.

    Half of the rows get the second text of the most similar other row. One row is kept for
    each distinct second text.

    Attributes:
        names: The two classes.
    """

    kind: Literal["relevance"]
    names: tuple[str, str] = ("irrelevant", "relevant")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The two classes."""
        return self.names

    def read(self, fields: Fields) -> Row:
        """A row with the label 1 until its pair is drawn."""
        return self.row(fields, 1)

    def same(self, item: Any) -> object:
        """The second text."""
        return item.text_pair

    def finish(self, items: Sequence[Row], _companions: Sequence[Any], salt: str) -> list[Row]:
        """The rows of a split, half of them with another row's second text and the label 0."""
        passages = [row.text_pair or "" for row in items]
        return [
            row if coin(salt, row.id) else replace(row, text_pair=passages[other], label=0)
            for row, other in zip(items, nearest(passages), strict=True)
        ]


def nearest(passages: Sequence[str]) -> list[int]:
    """The place of each passage's most similar other one, by the cosine of TF-IDF vectors among those given.

    So a pair never crosses splits.
    """
    # Imported here: the thin client image reads the registry without scikit-learn.
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    vectors = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit_transform(passages)
    places: list[int] = []
    for start in range(0, len(passages), _BLOCK):
        similarity = (vectors[start : start + _BLOCK] @ vectors.T).toarray()
        own = range(len(similarity))
        similarity[own, range(start, start + len(similarity))] = -1.0
        places += similarity.argmax(axis=1).tolist()
    return places
