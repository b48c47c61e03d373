"""What two sources agree on, and what one says most often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from w2s.reasoning.answers import stated_answer


def agreeing(weak: Sequence[str], other: Sequence[str]) -> list[int]:
    """The questions that two solutions answer alike.

    keep i iff canonical(weak_i) != "" and canonical(weak_i) == canonical(other_i)

    Source: Yang et al. 2024, "Weak-to-Strong Reasoning", stage I; equality of normalised texts as in the published
    code, since equality as mathematics is not transitive.

    Args:
        weak: One source's solutions, length N.
        other: The other's of the same questions, length N.

    Returns:
        Indices, rising.

    Raises:
        ValueError: The lengths differ.
    """
    answers = [(stated_answer(a), stated_answer(b)) for a, b in zip(weak, other, strict=True)]
    return [index for index, (a, b) in enumerate(answers) if a and a == b]


@dataclass(frozen=True)
class Vote:
    """What samples say most often.

    Attributes:
        answer: The winner; the empty answer counts as one, and of equals the first that was said wins.
        confidence: Its share, in (0, 1].
    """

    answer: str
    confidence: float


def vote(answers: Sequence[str]) -> Vote:
    """The majority of answers.

    c = count(a*) / N, a* = argmax_a count(a)

    Source: Yang et al. 2024, stage II; self-consistency of Wang et al. 2023.

    Args:
        answers: Canonical answers of the samples of one question, length N >= 1.

    Raises:
        ValueError: There is none.
    """
    if not answers:
        raise ValueError("a vote needs an answer")
    # Counter keeps the order of first appearance among equals.
    winner, count = Counter(answers).most_common(1)[0]
    return Vote(winner, count / len(answers))
