"""The process that compares answers: reads a JSON pair a line, and prints whether they are equal.

`python -m w2s_evaluator.scorers.judge`; only this process imports sympy.
"""

from __future__ import annotations

import json
import logging
import sys

from math_verify import parse, verify
from math_verify.errors import TimeoutException


def equal(reference: str, answer: str) -> bool:
    """Whether an answer equals the reference.

    math-verify's own limits need the main thread's alarm; whoever waits for this process has its own.
    """
    # Unwrapped, a plain "a" would be no LaTeX and parse to nothing.
    gold, said = (parse(f"${text}$", parsing_timeout=None) for text in (reference, answer))
    return bool(gold and said) and bool(verify(gold, said, timeout_seconds=None))


def main() -> None:
    """Answers until standard input ends."""
    # Each failed parse would be a line.
    logging.disable(logging.CRITICAL)
    print("ready", flush=True)  # noqa: T201 - the protocol
    for line in sys.stdin:
        try:
            found = equal(*json.loads(line))
        # Whatever sympy raises of what a model has written: it is not the answer.
        except (Exception, TimeoutException):
            found = False
        print(json.dumps(found), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
