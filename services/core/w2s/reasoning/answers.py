"""Finds the final answer of a solution, and writes it in one way."""

from __future__ import annotations

import re
from decimal import Decimal

_HASHES = re.compile(r"####\s*(.+)")
_SAYS = re.compile(r"\banswer(?:\s+is|\s*[:=])\s*:?\s*(.+)", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?: ?/ ?\d+)?|-?\.\d+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_PLAIN = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)")
_MARKUP = re.compile(r"\\(?:left|right|displaystyle|,|!|;|:)|\\text\{\s*([^{}]*?)\s*\}")


def final_answer(solution: str) -> str:
    """The final answer of a solution: the one that it states, else the last number, else all of it.

    Args:
        solution: Text with or without LaTeX.

    Returns:
        In the form of `stated_answer`.
    """
    return stated_answer(solution) or _plain(_last_number(solution))


def stated_answer(solution: str) -> str:
    """The answer that a solution states: what is boxed last, else what follows `####`, else what it says the answer is.

    One form for selection, voting and scoring, so that a vote and a score never differ in what they read.

    Returns:
        Without dollars, units after a number, thousands separators and a full stop at the end; empty where none is
        stated, as when a solution is cut off (Yang et al. 2024, the published code's extraction).
    """
    return _plain(last_boxed(solution) or _after(_HASHES, solution) or _after(_SAYS, solution))


def last_boxed(text: str) -> str | None:
    """What the last `\\boxed{...}` of a text holds, braces balanced; None without one."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for place in range(start + len("\\boxed"), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start + len("\\boxed{") : place]
    return None


def _after(pattern: re.Pattern[str], solution: str) -> str:
    found = pattern.findall(solution)
    return found[-1] if found else ""


def _last_number(solution: str) -> str:
    found = _NUMBER.findall(solution)
    return found[-1] if found else solution


def _plain(answer: str) -> str:
    text = _MARKUP.sub(lambda match: match.group(1) or "", answer).replace("\\$", "").replace("$", "").strip()
    text = _THOUSANDS.sub("", text.rstrip(". "))
    number = re.match(rf"({_PLAIN.pattern})\s*(?:\\?%|[A-Za-z ]+)?$", text)
    return _shortest(number.group(1)) if number else text


def _shortest(number: str) -> str:
    value = Decimal(number).normalize()
    return f"{value:f}" if value else "0"
