"""The threads that work for the event loop: one for texts, one for models, one for loading."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

import torch

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# How long a thread in Python code may keep others from theirs: loading a teacher is much
# Python, and each step of a forward pass asks for its turn.
_SWITCH_S = 0.0005
# A loading thread gives way to those that answer.
_LOADER_NICE = 10


class Threads:
    """Runs work off the event loop, each kind in order in a thread of its own.

    Tokenizers are not safe to share between threads; models gain nothing from it.
    """

    def __init__(self) -> None:
        sys.setswitchinterval(_SWITCH_S)
        # torch keeps the number of CPU threads for each thread, and gives new ones the latest.
        cores = torch.get_num_threads()
        self._text = ThreadPoolExecutor(1, "text", torch.set_num_threads, (1,))
        self._model = ThreadPoolExecutor(1, "model", torch.set_num_threads, (cores,))
        self._loader = ThreadPoolExecutor(1, "load", _give_way)

    async def text(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Runs work on texts and small arrays."""
        return await asyncio.get_running_loop().run_in_executor(self._text, work, *args)

    async def model(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Runs a model."""
        return await asyncio.get_running_loop().run_in_executor(self._model, work, *args)

    async def load(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Reads, verifies and builds a model."""
        return await asyncio.get_running_loop().run_in_executor(self._loader, work, *args)

    def close(self) -> None:
        """Waits for the work in hand and ends the threads."""
        for pool in (self._loader, self._model, self._text):
            pool.shutdown(cancel_futures=True)


def _give_way() -> None:
    # On Linux a thread has a nice value of its own.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOADER_NICE)
    torch.set_num_threads(1)
