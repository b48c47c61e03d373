"""Asks the supervisor's teachers, each question at the version that an evaluation is pinned to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from w2s.artifacts import Parent
from w2s.client import connect
from w2s.client.labels import label_examples
from w2s.client.patience import patiently, refusal
from w2s.errors import FailedPrecondition, NotFound, W2SError
from w2s.jobs.threads import Check
from w2s.models.inputs import Sampling
from w2s.models.predict import Tick
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc

T = TypeVar("T")

# Answers that one Generate call may ask for.
MAX_SAMPLES = 64
_PAIRS, _CHARACTERS = 64, 500_000
_TIMEOUT_S, _GENERATE_TIMEOUT_S = 300.0, 3600.0
_PATIENCE_S, _FIRST_DELAY_S, _MAX_DELAY_S = 600.0, 0.2, 5.0


class Teachers:
    """The supervisor's teachers.

    Args:
        address: The supervisor's gRPC target; empty when none is configured.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def get(self, name: str) -> pb.Teacher:
        """What the supervisor knows of a teacher.

        Raises:
            FailedPrecondition: No supervisor is configured.
            NotFound: It knows none of that name.
            Unavailable: It does not answer.
        """
        if not self._address:
            raise FailedPrecondition("set supervisor_address (W2S_SUPERVISOR_ADDRESS) to evaluate teachers")
        with self._stub() as stub, _translated():
            teacher: pb.Teacher = stub.GetTeacher(pb.GetTeacherRequest(name=name), timeout=30)
        return teacher

    def probabilities(
        self, teacher: Parent, examples: Sequence[tuple[str, str, str]], tick: Tick
    ) -> NDArray[np.float32]:
        """Class probabilities of examples (id, text, text_pair), shape [N, C]; errors as `label_examples`."""
        found, _ = label_examples(
            self._address, examples, teacher=teacher.uri, required_digest=teacher.digest, tick=tick
        )
        return found

    def margins(
        self, teacher: Parent, pairs: Sequence[tuple[str, str, str, str]], tick: Tick, *, length_normalized: bool
    ) -> NDArray[np.float64]:
        """How much better the first answers are than the second, shape [N].

        The difference of their scores, or ln(p / (1 - p)) where only the probability p is known.

        Args:
            teacher: Who is asked.
            pairs: (id, prompt, first, second), N >= 1.
            tick: Told (done, total) after each call; may raise to stop the work.
            length_normalized: As in the supervisor's CompareRequest.

        Raises:
            FailedPrecondition: The teacher is another now, or cannot judge one of them.
            Unavailable: The supervisor does not answer.
        """
        margins: list[float] = []
        with self._stub() as stub:
            for batch in _batches(pairs):
                request = pb.CompareRequest(
                    pairs=[
                        pb.CompletionPair(id=id_, prompt=prompt, completion_a=first, completion_b=second)
                        for id_, prompt, first, second in batch
                    ],
                    teacher=teacher.uri,
                    required_digest=teacher.digest,
                    length_normalized=length_normalized,
                )
                response: pb.CompareResponse = _patiently(partial(stub.Compare, request, timeout=_TIMEOUT_S))
                margins += [_margin(preference, teacher.uri) for preference in response.preferences]
                tick(len(margins), len(pairs))
        return np.array(margins)

    def answers(self, teacher: Parent, samplings: Sequence[Sampling], check: Check) -> list[list[str]]:
        """A teacher's continuations of prompts, all together at most `MAX_SAMPLES`.

        Args:
            teacher: Who is asked.
            samplings: How to continue each, alike but for the prompt; of several prompts greedily, since a call has
                one seed.
            check: May raise to stop the work.

        Raises:
            FailedPrecondition: The teacher is another now, or cannot read a prompt.
            Unavailable: The supervisor does not answer.
        """
        sampling = samplings[0]
        request = pb.GenerateRequest(
            prompts=[one.prompt for one in samplings],
            teacher=teacher.uri,
            required_digest=teacher.digest,
            samples=sampling.samples,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=sampling.stop,
        )
        with self._stub() as stub:
            return _patiently(lambda: _read(stub.Generate(request, timeout=_GENERATE_TIMEOUT_S), request, check), check)

    @contextmanager
    def _stub(self) -> Iterator[supervisor_pb2_grpc.SupervisorServiceStub]:
        with connect(self._address) as channel:
            yield supervisor_pb2_grpc.SupervisorServiceStub(channel)


def _read(call: Any, request: pb.GenerateRequest, check: Check) -> list[list[str]]:
    texts = [[""] * request.samples for _ in request.prompts]
    try:
        for piece in call:
            check()
            texts[piece.prompt][piece.sample] += piece.text
    finally:
        call.cancel()
    return texts


def _patiently(ask: Callable[[], T], check: Check = lambda: None) -> T:
    """Asks again while the supervisor is busy, slow or away: it answers the same, and makes nothing."""
    try:
        return patiently(
            ask, patience_s=_PATIENCE_S, first_delay_s=_FIRST_DELAY_S, max_delay_s=_MAX_DELAY_S, check=check
        )
    except grpc.RpcError as error:
        raise _error(error) from error


def _batches(pairs: Sequence[tuple[str, str, str, str]]) -> Iterator[list[tuple[str, str, str, str]]]:
    """Pairs as one call may carry them."""
    batch: list[tuple[str, str, str, str]] = []
    characters = 0
    for pair in pairs:
        size = sum(map(len, pair))
        if batch and (len(batch) == _PAIRS or characters + size > _CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(pair)
        characters += size
    yield batch


def _margin(preference: pb.Preference, teacher: str) -> float:
    if preference.HasField("error"):
        raise FailedPrecondition(f"{teacher} cannot compare {preference.id}: {preference.error.message}")
    if preference.HasField("score_a"):
        return preference.score_a - preference.score_b
    # All votes for one side are no infinite margin.
    shares = np.clip([preference.probability_a, 1 - preference.probability_a], np.finfo(np.float32).tiny, None)
    return float(np.log(shares[0]) - np.log(shares[1]))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise _error(error) from error


def _error(error: grpc.RpcError) -> W2SError:
    found = refusal(error, "supervisor")
    missing = isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.NOT_FOUND
    return NotFound(found.message) if missing else found
