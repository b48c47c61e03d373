"""Many questions at once: those that depend on each other, and those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from w2s.errors import Unavailable, W2SError
from w2s_supervisor.backends.text_generation.failures import RowError

T = TypeVar("T")


async def together(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All answers in the order of the questions; the first error is raised and ends the others."""
    tasks = [asyncio.create_task(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
