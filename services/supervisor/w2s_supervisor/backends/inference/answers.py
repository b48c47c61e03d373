"""A teacher that a server of the protocol answers for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from w2s.errors import FailedPrecondition, InvalidArgument, W2SError
from w2s.models.inputs import Row
from w2s_supervisor.backends.inference.outputs import labels_of
from w2s_supervisor.backends.inference.remote import Output, Remote
from w2s_supervisor.backends.inference.retries import retried
from w2s_supervisor.backends.protocol import Backend, Labelled, Lane
from w2s_supervisor.backends.room import Room
from w2s_supervisor.backends.together import together
from w2s_supervisor.spec import InferenceBackend

_BATCH = 64
_IN_FLIGHT = 8


class InferenceAnswers(Backend):
    """Asks the server, in requests of up to 64 rows.

    Args:
        remote: The model; closed with this.
        spec: How it is asked.
        version: The version that must answer; empty for any.
        on_error: Told each failed request's kind.
        max_waiting: Rows that may wait.
    """

    def __init__(
        self,
        remote: Remote,
        spec: InferenceBackend,
        version: str,
        on_error: Callable[[str], None],
        max_waiting: int,
    ) -> None:
        self._remote = remote
        self._spec = spec
        self._version = version
        self._on_error = on_error
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._room = Room(_IN_FLIGHT, max_waiting)
        self.needs_pairs = bool(spec.pair_input)

    async def label(self, rows: Sequence[Row], lane: Lane) -> list[Labelled | W2SError]:
        """As `Backend.label`; rows that make the server refuse a request are found by halving it."""
        # A second text that the model cannot take would be lost without a word.
        good = [row for row in rows if self._takes(row)]
        with self._room.admit(len(good), lane):
            answers = iter(await self._batches(good, lane))
        refusal = InvalidArgument("text_pair", "is set, and this teacher reads single texts")
        return [next(answers) if self._takes(row) else refusal for row in rows]

    async def close(self) -> None:
        """Ends the connection."""
        await self._remote.close()

    def _takes(self, row: Row) -> bool:
        return self.needs_pairs or not row.pair

    async def _batches(self, rows: Sequence[Row], lane: Lane) -> list[Labelled | W2SError]:
        starts = range(0, len(rows), _BATCH)
        batches = await together(self._batch(rows[start : start + _BATCH], lane) for start in starts)
        return [label for labels in batches for label in labels]

    async def _batch(self, rows: Sequence[Row], lane: Lane) -> list[Labelled | W2SError]:
        async with self._room.turn(lane), self._slots:
            return await self._isolating(rows)

    async def _isolating(self, rows: Sequence[Row]) -> list[Labelled | W2SError]:
        try:
            output = await retried(lambda left_s: self._ask(rows, left_s), self._spec.timeout_s, self._on_error)
        except InvalidArgument as error:
            if len(rows) == 1:
                return [error]
            middle = len(rows) // 2
            return [*await self._isolating(rows[:middle]), *await self._isolating(rows[middle:])]
        return labels_of(output.values, self._spec.logits)

    async def _ask(self, rows: Sequence[Row], timeout_s: float) -> Output:
        inputs = {self._spec.text_input: [row.text for row in rows]}
        if self._spec.pair_input:
            inputs[self._spec.pair_input] = [row.pair for row in rows]
        output = await self._remote.infer(inputs, self._spec.output, timeout_s)
        if self._version and output.version and output.version != self._version:
            raise FailedPrecondition(
                f"the server answers as version {output.version}, and this teacher is {self._version}; "
                "register another teacher"
            )
        shape = (len(rows), len(self._spec.label_names))
        if output.values.shape != shape:
            raise FailedPrecondition(f"output {self._spec.output} has shape {output.values.shape}, not {shape}")
        return output
