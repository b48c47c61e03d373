"""Many questions at once that do not depend on each other."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from w2s.errors import Unavailable, W2SError
from w2s_supervisor.backends.text_generation.failures import RowError
from w2s_supervisor.backends.together import together

T = TypeVar("T")


async def each(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T | W2SError]:
    """All answers, with a question's own error in its answer's place.

    Raises:
        W2SError: One that concerns all, or the first when the server fails at every question.
    """
    answers = await together([_answer(question) for question in questions])
    failed = [answer for answer in answers if isinstance(answer, Unavailable)]
    if failed and len(failed) == len(answers):
        raise failed[0]
    return answers


async def _answer(question: Coroutine[Any, Any, T]) -> T | W2SError:
    try:
        return await question
    except RowError as error:
        return error.error
