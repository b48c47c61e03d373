"""Whether an answer is right as mathematics."""

from __future__ import annotations

import atexit
import json
import logging
import selectors
import subprocess
import sys
from collections.abc import Sequence

from w2s.metrics import METRICS
from w2s.reasoning.answers import final_answer
from w2s_evaluator.scorers.protocol import ScorerKind

log = logging.getLogger(__name__)

# A comparison takes milliseconds; sympy can be asked what it would never finish.
TIMEOUT_S = 5.0
# The first one imports sympy.
_START_S = 60.0


class Judge:
    """Compares answers in a process that is killed when it takes too long, and started anew for the next.

    Args:
        timeout_s: Seconds that a comparison may take.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def equal(self, reference: str, answer: str) -> bool:
        """Whether two final answers are equal; one that takes too long to tell is not."""
        process = self._started()
        assert process.stdin
        try:
            process.stdin.write(json.dumps([reference, answer]) + "\n")
            process.stdin.flush()
            said = self._line(process, self._timeout_s)
        except BrokenPipeError:
            said = ""
        if not said:
            log.warning("an answer could not be compared", extra={"seconds": self._timeout_s})
            self.close()
        return said == "true"

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            # By our own interpreter; it ends with its standard input, so with this process too.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "w2s_evaluator.scorers.judge"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._line(self._process, _START_S)
        return self._process

    def _line(self, process: subprocess.Popen[str], timeout_s: float) -> str:
        """A line that the process has printed; empty when it prints none in time."""
        assert process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            # It answers a line with a line: nothing is ever left in the buffer.
            return process.stdout.readline().strip() if selector.select(timeout_s) else ""


class Mathematics:
    """1 where the final answers of solution and reference are equal as mathematics: 1/2, 0.5 and \\frac{1}{2} are."""

    name = ScorerKind.MATH.metric
    direction = METRICS[name]

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def score(self, reference: str, answers: Sequence[str]) -> list[float]:
        """As `AnswerScorer.score`."""
        expected = final_answer(reference)
        finals = [final_answer(answer) for answer in answers]
        equal = {final: self._equal(expected, final) for final in set(finals)}
        return [float(equal[final]) for final in finals]

    def canonical(self, answer: str) -> str:
        """As `Matcher.canonical`."""
        return final_answer(answer)

    def _equal(self, expected: str, final: str) -> bool:
        if not expected or not final:
            return False
        return expected == final or self._judge.equal(expected, final)
