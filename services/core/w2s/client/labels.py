"""Labels many examples over gRPC, with one teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import grpc
import numpy as np
from numpy.typing import NDArray

from w2s.client.channel import connect
from w2s.client.patience import patiently, refusal
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc

_BATCH = 128
_TIMEOUT_S = 300.0
# For how long a batch is asked for again, once the channel's own retries have failed.
_PATIENCE_S, _PAUSE_S = 600.0, 0.5


def label_examples(
    target: str,
    examples: Sequence[tuple[str, str, str]],
    *,
    teacher: str = "",
    required_digest: str = "",
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[NDArray[np.float32], pb.TeacherVersion]:
    """Soft labels of examples, all by one version of one teacher.

    Args:
        target: The supervisor's gRPC target.
        examples: (id, text, text_pair) with distinct ids, N >= 1; text_pair may be empty.
        teacher: The teacher's name; empty for the active one.
        required_digest: Its digest; empty to pin whichever answers first.
        tick: Told (done, total) after each batch.

    Returns:
        Probabilities, shape [N, C], and the teacher that made them.

    Raises:
        FailedPrecondition: The teacher is not there, was swapped for another, or cannot label one of them.
        Unavailable: The supervisor cannot be reached, or is too busy or slow, for ten minutes.
        W2SError: The supervisor refuses for another reason.
    """
    rows: list[list[float]] = []
    version = pb.TeacherVersion(digest=required_digest)
    with connect(target) as channel:
        stub = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        for start in range(0, len(examples), _BATCH):
            batch = [pb.Example(id=i, text=text, text_pair=pair) for i, text, pair in examples[start : start + _BATCH]]
            request = supervisor_pb2.LabelRequest(examples=batch, teacher=teacher, required_digest=version.digest)
            response = _patiently(stub, request)
            version, teacher = response.teacher, response.teacher.teacher
            failed = [label for label in response.labels if label.HasField("error")]
            if failed:
                raise FailedPrecondition(f"{teacher} cannot label {failed[0].id}: {failed[0].error.message}")
            rows += [list(label.probabilities) for label in response.labels]
            tick(len(rows), len(examples))
    return np.array(rows, dtype=np.float32), version


def _patiently(
    stub: supervisor_pb2_grpc.SupervisorServiceStub, request: supervisor_pb2.LabelRequest
) -> supervisor_pb2.LabelResponse:
    """Asks again while the supervisor is busy or away: what it has answered of other batches is not lost."""
    try:
        return patiently(
            lambda: stub.Label(request, timeout=_TIMEOUT_S),
            patience_s=_PATIENCE_S,
            first_delay_s=_PAUSE_S,
            max_delay_s=_PAUSE_S,
        )
    except grpc.RpcError as error:
        raise refusal(error, "supervisor") from error
