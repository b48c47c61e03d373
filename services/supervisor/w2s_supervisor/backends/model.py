"""Teachers that transformers runs in this process."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from w2s.artifacts.schemas import LANGUAGE_MODEL_SCHEMA, REWARD_SCHEMA, label_names
from w2s.artifacts.tables import softmax
from w2s.errors import Internal, InvalidArgument, W2SError
from w2s.models.batches import token_batches
from w2s.models.engine import Engine, Item
from w2s.models.inputs import Completion, Piece, Row, Sampling
from w2s.models.sources import ModelSources, Pinned
from w2s.models.spec import ClassifierReading, LanguageModelReading, Reading, RewardReading
from w2s.models.vetting import weight_bytes
from w2s_supervisor.backends.digest import digest_of
from w2s_supervisor.backends.protocol import Ability, Backend, Identity, Labelled, Lane, Scored
from w2s_supervisor.batching import Batcher, Result
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.pool import Prepared
from w2s_supervisor.settings import SupervisorSettings
from w2s_supervisor.spec import ModelBackend
from w2s_supervisor.threads import Threads

_LABELS = frozenset({Ability.LABEL})
_SCORES = frozenset({Ability.SCORE, Ability.COMPARE})
_MIN_CLASSES = 2
_CPU_TOKENS, _GPU_TOKENS = 1024, 16384
_NOT_FINITE = "the model gives numbers that are not finite for this input"


class ModelAnswers(Backend):
    """An engine behind its queue.

    Args:
        engine: The model.
        batcher: Its queue.
        threads: Where texts are tokenized and tokens are generated.
        token_budget: Padded tokens a batch that a bulk caller makes.
        rewards: Scores are rewards, not log-likelihoods.
    """

    def __init__(self, engine: Engine, batcher: Batcher, threads: Threads, token_budget: int, *, rewards: bool) -> None:
        self._engine = engine
        self._rewards = rewards
        self._batcher = batcher
        self._threads = threads
        self._budget = token_budget
        self.needs_pairs = engine.needs_pairs

    async def label(self, rows: Sequence[Row], lane: Lane) -> list[Labelled | W2SError]:
        """As `Backend.label`."""
        encoded = await self._threads.text(self._engine.encode_rows, rows)
        results = iter(await self._ask([item for row in encoded if isinstance(row, list) for item in row], lane))
        parts = [row if isinstance(row, W2SError) else [next(results) for _ in row] for row in encoded]
        whole: list[list[Result] | W2SError] = [_first_error(part) for part in parts]
        good = [part for part in whole if isinstance(part, list)]
        labels = iter(_labelled(await self._threads.text(self._engine.logits, good)) if good else ())
        return [part if isinstance(part, W2SError) else next(labels) for part in whole]

    async def score(self, completions: Sequence[Completion], lane: Lane) -> list[Scored | W2SError]:
        """As `Backend.score`."""
        encoded = await self._threads.text(self._engine.encode_completions, completions)
        results = iter(await self._ask([item for item in encoded if not isinstance(item, W2SError)], lane))
        answers = [item if isinstance(item, W2SError) else next(results) for item in encoded]
        return [answer if isinstance(answer, W2SError) else self._scored(answer) for answer in answers]

    async def generate(self, *samplings: Sampling) -> AsyncGenerator[Piece, None]:
        """As `Backend.generate`; others' batches take turns with its steps."""
        together = await self._threads.model(lambda: self._engine.batches)
        first = 0
        for batch in [samplings] if together else [(sampling,) for sampling in samplings]:
            decoder = await self._threads.model(self._engine.decoder, *batch)
            while not decoder.done:
                for piece in await self._threads.model(decoder.step):
                    yield replace(piece, sample=first + piece.sample)
            first += sum(sampling.samples for sampling in batch)

    async def close(self) -> None:
        """Frees the model's memory, whoever still holds on to this."""
        await self._batcher.close()
        del self._engine
        await self._threads.load(_collect)

    async def _ask(self, items: Sequence[Item], lane: Lane) -> list[Result | W2SError]:
        if lane is not Lane.BULK:
            return await self._batcher.ask(items, wait=lane is Lane.STREAM) if items else []
        # Equal sequences are computed once; which ones share a batch depends on them alone.
        unique = list(dict.fromkeys(items))
        lengths = [item.length for item in unique]
        batches = [[unique[index] for index in batch] for batch in token_batches(lengths, self._budget)]
        results = await asyncio.gather(*map(self._batcher.ask_batch, batches))
        found = {
            item: result
            for batch, answers in zip(batches, results, strict=True)
            for item, result in zip(batch, answers, strict=True)
        }
        return [found[item] for item in items]

    def _scored(self, answer: NDArray[np.float32]) -> Scored | W2SError:
        if not np.isfinite(answer).all():
            return Internal(_NOT_FINITE)
        return Scored(reward=float(answer[0])) if self._rewards else Scored(token_log_likelihoods=answer)


class ModelOpener:
    """Finds, verifies and loads models.

    Args:
        sources: Where weights may come from.
        threads: Where the work is done.
        device: Where models run.
        settings: How they run, and how their queues are.
        metrics: Told what their queues do.
    """

    def __init__(
        self,
        sources: ModelSources,
        threads: Threads,
        device: torch.device,
        settings: SupervisorSettings,
        metrics: SupervisorMetrics,
    ) -> None:
        self._sources = sources
        self._threads = threads
        self._device = device
        self._settings = settings
        self._token_budget = settings.token_budget or (_GPU_TOKENS if device.type == "cuda" else _CPU_TOKENS)
        self._metrics = metrics

    async def identify(self, spec: ModelBackend, field: str) -> Identity:
        """As `Opener.identify`."""
        return await self._threads.load(self._identify, spec, field)

    async def prepare(self, spec: ModelBackend, identity: Identity) -> Prepared:
        """Fetches the weights, known to be those that were registered.

        Raises:
            DataLoss: They are others now.
            InvalidArgument, NotFound, FailedPrecondition, Unavailable: As `ModelSources.fetch`.
        """
        return await self._threads.load(self._prepare, spec, identity)

    async def open(self, spec: ModelBackend, path: Path, teacher: str) -> Backend:
        """Loads prepared weights; the teacher's name is what its queue's metrics are under.

        Raises:
            InvalidArgument: They cannot be loaded, or not be read so.
            ResourceExhausted: The device has too little memory.
        """
        settings = self._settings
        engine = await self._threads.load(self._load, spec, path)
        batcher = Batcher(
            lambda batch: self._threads.model(engine.run, batch),
            token_budget=self._token_budget,
            max_waiting=settings.max_waiting,
            max_delay_s=settings.batch_delay_ms / 1000,
            observer=self._metrics.queue(teacher),
        )
        return ModelAnswers(engine, batcher, self._threads, self._token_budget, rewards=engine.rewards)

    def _load(self, spec: ModelBackend, path: Path) -> Engine:
        # A second of transformers, and 140 MB: those whose teachers are all elsewhere do without.
        from w2s.models.loading import load_engine  # noqa: PLC0415

        return load_engine(path, self._reading(spec), self._device, self._settings.dtype, "model")

    def _reading(self, spec: ModelBackend) -> Reading | None:
        """How a model is read; None of those that say it themselves."""
        own = self._schema(spec) == LANGUAGE_MODEL_SCHEMA
        return LanguageModelReading() if own and spec.reading is None else spec.reading

    def _identify(self, spec: ModelBackend, field: str) -> Identity:
        pinned, reading = self._sources.pin(spec.model, f"{field}.model"), self._reading(spec)
        if (schema := self._schema(spec)) == LANGUAGE_MODEL_SCHEMA:
            if not isinstance(reading, LanguageModelReading):
                raise InvalidArgument(f"{field}.model", "is a language model that the trainer made: read it as one")
        elif schema is not None:
            return self._own_identity(pinned, schema, reading, field)
        if reading is None:
            raise InvalidArgument(field, "one of classifier, reward and language_model must say how the model is read")
        names = self._label_names(pinned, reading, field)
        return Identity(pinned.revision, _digest(pinned, reading), names, _abilities(reading), pinned.digest)

    def _own_identity(self, pinned: Pinned, schema: str, reading: Reading | None, field: str) -> Identity:
        """Who a model is that the trainer made, and that says itself how it is read."""
        if reading is not None:
            kind = "reward model" if schema == REWARD_SCHEMA else "classifier"
            raise InvalidArgument(f"{field}.model", f"is a {kind} that the trainer made: leave the reading out")
        if schema == REWARD_SCHEMA:
            return Identity(pinned.revision, pinned.digest, (), _abilities(RewardReading()), pinned.digest)
        names = tuple(label_names(self._sources.store.manifest(pinned.uri), f"{field}.model"))
        return Identity(pinned.revision, pinned.digest, names, _LABELS, pinned.digest)

    def _schema(self, spec: ModelBackend) -> str | None:
        """What a model holds that the trainer made; None of others."""
        if not self._sources.is_artifact(spec.model.uri):
            return None
        return self._sources.store.manifest(spec.model.uri).data_schema

    def _label_names(self, pinned: Pinned, reading: Reading, field: str) -> tuple[str, ...]:
        if isinstance(reading, LanguageModelReading):
            return reading.prompt.label_names if reading.prompt else ()
        if isinstance(reading, RewardReading):
            return ()
        own = f"{field}.classifier.label_names"
        return reading.label_names or _own_names(self._sources.config(pinned, f"{field}.model"), own)

    def _prepare(self, spec: ModelBackend, identity: Identity) -> Prepared:
        pinned = Pinned(spec.model.uri, identity.revision, identity.source_digest)
        path = self._sources.fetch(pinned)
        dtype = self._settings.dtype
        half = dtype == "bfloat16" or (dtype == "auto" and self._device.type == "cuda")
        return Prepared(path, weight_bytes(path, 2 if half else 4))


def _digest(pinned: Pinned, reading: Reading) -> str:
    """A model says different things when it is read differently: the digest is over both."""
    return digest_of({"model": pinned.digest, type(reading).__name__: reading.model_dump(mode="json")})


def _abilities(reading: Reading) -> frozenset[Ability]:
    if isinstance(reading, ClassifierReading):
        return _LABELS
    if isinstance(reading, RewardReading):
        return _SCORES
    return _SCORES | {Ability.GENERATE} | (_LABELS if reading.prompt else frozenset())


def _own_names(config: dict[str, Any], field: str) -> tuple[str, ...]:
    """The names that a published classifier has for its classes, in the order of its outputs."""
    names = config.get("id2label")
    if not isinstance(names, dict) or len(names) < _MIN_CLASSES or set(names) != set(map(str, range(len(names)))):
        raise InvalidArgument(field, "is required: the model has no names for its classes")
    return tuple(str(names[str(index)]) for index in range(len(names)))


def _first_error(parts: Sequence[Result | W2SError] | W2SError) -> list[Result] | W2SError:
    """A row's arrays, or the error that keeps it from having all of them."""
    if isinstance(parts, W2SError):
        return parts
    good: list[Result] = []
    for part in parts:
        if isinstance(part, W2SError):
            return part
        good.append(part)
    return good


def _labelled(logits: NDArray[np.float32]) -> list[Labelled | W2SError]:
    finite = np.asarray(np.isfinite(logits).all(axis=1))
    rows = zip(finite, logits, softmax(logits), strict=True)
    return [Labelled(row, shares) if fine else Internal(_NOT_FINITE) for fine, row, shares in rows]


def _collect() -> None:
    """Gives memory back: a model is made of cycles that wait for the collector."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
