"""Arms of a comparison that take turns step by step, each in a process of its own.

A machine that is shared is fast in one minute and slow in the next. What is compared therefore
runs in the same seconds, one optimiser step of each arm after the other, and never at once.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any


class Turn:
    """An arm's side: says that a step or a round has ended, and waits for its next turn."""

    def __init__(self) -> None:
        self._messages = os.fdopen(os.dup(1), "w")
        # What libraries print is no message.
        os.dup2(2, 1)
        self._seconds: list[float] = []
        self._pass_on({})
        self._since = time.perf_counter()

    def step(self) -> None:
        """An optimiser step has ended."""
        self._seconds.append(time.perf_counter() - self._since)
        self._pass_on({})
        self._since = time.perf_counter()

    def round(self, **found: Any) -> None:
        """A training has ended.

        Args:
            found: What it found, as JSON can say it; the seconds of its steps and the peak
                memory of the process are added. The first step warms up, and is left out.
        """
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds, self._seconds = self._seconds[1:], []
        self._pass_on({"seconds": seconds, "peak_rss_mib": peak, **found})

    def _pass_on(self, message: dict[str, Any]) -> None:
        print(json.dumps(message), file=self._messages, flush=True)
        if not sys.stdin.readline():
            sys.exit("whoever compares has ended")


class Arm:
    """The other side of a `Turn`.

    Args:
        module: What runs it.
        arguments: Its arguments.
        environment: Its environment.
    """

    def __init__(self, module: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", module, *arguments]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        # Until it has imported what it needs.
        self._listen()

    def take(self) -> dict[str, Any]:
        """Gives it a turn; what a round found where one has ended, else nothing."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return self._listen()

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _listen(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._process.args} ended with {self._process.wait()}"
        message: dict[str, Any] = json.loads(line)
        return message


def compare(arms: Mapping[str, Arm], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What each arm found in each round, its steps in turn with those of the others."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    try:
        for _ in range(rounds):
            going = dict(arms)
            while going:
                for name, arm in list(going.items()):
                    if result := arm.take():
                        found[name].append(result)
                        del going[name]
    finally:
        for arm in arms.values():
            arm.end()
    return found
