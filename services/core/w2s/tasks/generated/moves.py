"""Chess moves as text."""

from __future__ import annotations


def normal_move(text: str) -> str:
    """The first move of a text, without marks of check and mate: ` Qh5+ Ke7` is `Qh5`.

    Args:
        text: What a model wrote, or a reference, in standard algebraic notation (SAN).

    Returns:
        Empty when there is no text.
    """
    first, *_ = text.split() or [""]
    return first.rstrip("+#")


def same_move(answer: str, reference: str) -> bool:
    """Whether an answer begins with the reference's move; letter case counts, `b` is not `B`."""
    move = normal_move(answer)
    return move != "" and move == normal_move(reference)
