"""The teachers in memory: loaded beside one another, flipped by one reference."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts import ArtifactStore
from w2s.artifacts.tables import softmax
from w2s.errors import FailedPrecondition, ResourceExhausted
from w2s.models.checkpoint import load
from w2s.models.predict import Predictor
from w2s.models.runtime import pick_device
from w2s.models.spec import Encoding
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.settings import SupervisorSettings
from w2s_supervisor.teachers import Teacher


@dataclass(frozen=True)
class Loaded:
    """A teacher in memory. A call holds on to the one it began with, and with it its memory."""

    teacher: Teacher
    predictor: Predictor

    @property
    def needs_pairs(self) -> bool:
        """Whether every example must have a second text."""
        return bool(self.predictor.checkpoint.model.config.encoding == Encoding.PAIR)


class TeacherPool:
    """Loads teachers, and asks them in one thread of their own.

    Loading has its own thread, so that the active teacher answers meanwhile.
    """

    def __init__(self, store: ArtifactStore, settings: SupervisorSettings, metrics: SupervisorMetrics) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._device = pick_device(settings.device)
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting = 0
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.active: Loaded | None = None

    async def get(self, teacher: Teacher) -> Loaded:
        """A teacher in memory, loaded and verified first where it is not.

        Raises:
            NotFound, FailedPrecondition, DataLoss: Its artifact is gone, another, or damaged.
        """
        async with self._locks.setdefault(teacher.id, asyncio.Lock()):
            loaded = self._loaded.get(teacher.id)
            if loaded is None:
                loaded = await asyncio.get_running_loop().run_in_executor(self._loader, self._load, teacher)
                self._loaded[teacher.id] = loaded
                self._evict()
            self._loaded.move_to_end(teacher.id)
            return loaded

    def is_loaded(self, teacher: Teacher) -> bool:
        """Whether the teacher is in memory."""
        return teacher.id in self._loaded

    def activate(self, loaded: Loaded) -> None:
        """Makes a teacher answer the calls that name none, from the next call on."""
        self.active = loaded
        self._metrics.activated(loaded.teacher)

    async def warm(self, loaded: Loaded) -> None:
        """Has a teacher answer once, and checks what it says.

        Raises:
            FailedPrecondition: Its probabilities are not finite, or not of its classes.
        """
        pairs = ["A second text."] if loaded.needs_pairs else None
        probabilities = await self._run(loaded, ["A text to warm up with."], pairs)
        if probabilities.shape != (1, len(loaded.teacher.label_names)) or not np.isfinite(probabilities).all():
            raise FailedPrecondition(f"{loaded.teacher.name} gives {probabilities.tolist()} for a warm-up text")

    async def label(
        self, loaded: Loaded, texts: Sequence[str], pairs: Sequence[str] | None, *, bounded: bool
    ) -> NDArray[np.float32]:
        """Class probabilities, shape [N, C].

        Args:
            loaded: The teacher.
            texts: First texts, length N >= 1.
            pairs: Second texts, or None.
            bounded: Refuse when too many calls wait; a job's own calls do not count.

        Raises:
            ResourceExhausted: `max_waiting` calls wait already.
        """
        if bounded and self._waiting >= self._settings.max_waiting:
            raise ResourceExhausted(f"{self._waiting} calls wait for the model, which is the limit")
        self._waiting += bounded
        self._metrics.waiting.set(self._waiting)
        try:
            probabilities = await self._run(loaded, texts, pairs)
        finally:
            self._waiting -= bounded
            self._metrics.waiting.set(self._waiting)
        self._metrics.labelled(loaded.teacher, probabilities)
        return probabilities

    def close(self) -> None:
        """Waits for the work in hand and ends the threads."""
        self._loader.shutdown(cancel_futures=True)
        self._model.shutdown(cancel_futures=True)

    async def _run(self, loaded: Loaded, texts: Sequence[str], pairs: Sequence[str] | None) -> NDArray[np.float32]:
        def work() -> NDArray[np.float32]:
            return softmax(loaded.predictor.logits(texts, pairs))

        return await asyncio.get_running_loop().run_in_executor(self._model, work)

    def _load(self, teacher: Teacher) -> Loaded:
        artifact = self._store.read(teacher.uri, teacher.digest)
        checkpoint = load(artifact.path)
        checkpoint.to(self._device)
        return Loaded(teacher, Predictor(checkpoint, token_budget=self._settings.token_budget))

    def _evict(self) -> None:
        """Forgets the teachers used longest ago, never the active one."""
        active = self.active.teacher.id if self.active else None
        for id_ in [id_ for id_ in self._loaded if id_ != active]:
            if len(self._loaded) <= self._settings.max_loaded:
                return
            del self._loaded[id_]
