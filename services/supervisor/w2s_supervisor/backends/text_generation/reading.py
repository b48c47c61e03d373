"""The log-probabilities of a given continuation of a prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from w2s.errors import Internal, InvalidArgument
from w2s_supervisor.backends.text_generation.failures import Lacks, RowError
from w2s_supervisor.backends.text_generation.server import Key, TextServer, Token


def boundary(prompt: Sequence[Key], *wholes: Sequence[Key]) -> int:
    """Where the continuations begin: after the longest prefix that the prompt's tokens share with all.

    The last tokens of a prompt may merge with what follows it. By their texts alone one would
    cut a token in two, or count one that the prompt does not have.
    """
    shared = 0
    for keys in zip(prompt, *wholes, strict=False):
        if len(set(keys)) > 1:
            break
        shared += 1
    return shared


async def unreadable(server: TextServer, text: str) -> Lacks | None:
    """Why the server cannot say how probable a given text is; None when it can.

    Args:
        server: The server.
        text: What to try it with.
    """
    try:
        read = await server.read(text)
        keys = await server.keys(text)
    except Lacks as error:
        return error
    except RowError as error:
        if isinstance(error.error, InvalidArgument):
            return Lacks(f"{server.host} does not give log-probabilities of given texts: {error.error.problem}")
        raise
    if [token.key for token in read] != keys:
        return Lacks(f"{server.host} tokenizes a text in one way and reads it in another")
    return None


def continuation(tokens: Sequence[Token], begin: int, host: str) -> NDArray[np.float64]:
    """log p of each token from `begin` on, shape [T], T >= 1, nats.

    Raises:
        RowError: There are none, or one has no finite log-probability.
    """
    if begin == 0:
        raise RowError(InvalidArgument("prompt", "must have a token: the first of a text has no log-probability"))
    values = [token.log_probability for token in tokens[begin:]]
    if not values:
        raise RowError(InvalidArgument("completion", "must have a token of its own"))
    return np.array([known(value, host) for value in values])


def known(value: float | None, host: str) -> float:
    """A log-probability, known to be one.

    Raises:
        RowError: It is missing or not finite.
    """
    if value is None or not math.isfinite(value):
        raise RowError(Internal(f"{host}: the server gives no finite log-probability for a token"))
    return value
