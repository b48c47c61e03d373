"""Pairs of solutions to prefer between, without ground truth."""

from __future__ import annotations

from collections.abc import Sequence

from w2s.reasoning.answers import stated_answer
from w2s.reasoning.selection import vote
from w2s.tasks.draws import shuffle

TRUST, OVERRULE = 0.6, 0.8


def contrast(
    weak: str,
    samples: Sequence[str],
    *,
    salt: str,
    key: str,
    trust: float = TRUST,
    overrule: float = OVERRULE,
    limit: int = 1,
) -> list[tuple[str, str]]:
    """Pairs (chosen, rejected) of one question, from its samples and the weak model's solution.

    With a*, c the vote of the samples, p the weak answer:
      none                                 if c < trust or a* is empty
      (weak, a sample that says another)   if p = a*; none where all samples agree: too easy
      (a sample that says a*, weak)        if p != a* and c >= overrule
      none                                 otherwise

    Source: Yang et al. 2024, "Weak-to-Strong Reasoning", stage II, as in the published code: two sources that agree
    are trusted from 0.6, and the samples overrule the weak model from 0.8.

    Args:
        weak: The weak model's solution.
        samples: The strong model's, at least one.
        salt: Draws among the samples.
        key: Names the question, so that its draw depends on no other.
        trust: The vote's share from which it is believed, in [0, 1].
        overrule: The share from which it is believed against the weak model, in [trust, 1].
        limit: Pairs at most; the published code takes 1 of GSM8K and 3 of MATH.

    Returns:
        Pairs of distinct texts, at most `limit`.

    Raises:
        ValueError: There is no sample.
    """
    answers = [stated_answer(sample) for sample in samples]
    winner = vote(answers)
    if winner.confidence < trust or not winner.answer:
        return []
    says = dict.fromkeys(s for s, answer in zip(samples, answers, strict=True) if answer == winner.answer)
    others = dict.fromkeys(s for s, answer in zip(samples, answers, strict=True) if answer != winner.answer)
    if stated_answer(weak) == winner.answer:
        return [(weak, other) for other in shuffle(salt, key, list(others))[:limit]]
    if winner.confidence >= overrule:
        return [(sample, weak) for sample in shuffle(salt, key, list(says))[:limit]]
    return []
