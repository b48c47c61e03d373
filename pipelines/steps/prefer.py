"""Has a teacher say which answer of each pair is better, through the supervisor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import log

import numpy as np

from pipelines.keys import content_key
from pipelines.progress import format_line
from pipelines.steps.guard import step
from pipelines.steps.items import Json, from_json
from pipelines.steps.keep import keep
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.manifest import Parent
from w2s.artifacts.schemas import LABELS_SCHEMA
from w2s.artifacts.tables import LabelRow, PairDataset, labels_table, parent, read_pairs, softmax, write_labels
from w2s.client import Endpoints, artifact_root, connect
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition
from w2s.evaluator.v1 import evaluator_pb2
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc

_TIMEOUT_S = 600.0
# Calls at once, which the supervisor batches; and pairs of one call, whose margins are kept together.
_STREAMS = 2
_PAIRS = 64
_LEAST = float(np.finfo(np.float32).tiny)


@step
def prefer(item: Json, teacher: Json) -> Json:
    """Has the teacher label the pairs of an item's `dataset`, pinned to its digest; returns the labels' reference.

    A label is [s(m), s(-m)] with the margin m = (s_1 - s_2) / scale of the teacher's scores of both answers. The
    item's `margin` is an evaluator's MarginReading, so that labels and evaluations read a model alike. What is done
    is kept, so that a retried step goes on with the pairs that are left.
    """
    store = ArtifactStore(artifact_root())
    pairs = read_pairs(store, ArtifactRef(**item["dataset"]))
    reading = from_json(item["margin"], evaluator_pb2.MarginReading())
    version = (teacher["teacher"], teacher["revision"], teacher["digest"])
    key = content_key("prefer", pairs.ref.digest, item["margin"], *version, item["nonce"])
    spec = from_json(item["teacher"], supervisor_pb2.TeacherSpec())
    made_by = Parent(role="teacher", uri=spec.model.model.uri or version[0], digest=version[2])
    config = {
        "teacher": dict(zip(("teacher", "revision", "digest"), version, strict=True)),
        "label_names": pairs.label_names,
        "margin": item["margin"],
    }
    return keep(
        store,
        key,
        LABELS_SCHEMA,
        [parent("dataset", pairs), made_by],
        lambda path: write_labels(
            path, [labels_table(list(_rows(store, key, item["item"], pairs, version, reading)), version)]
        ),
        config=config,
        kind="labels",
    )


def _rows(
    store: ArtifactStore,
    key: str,
    item: str,
    pairs: PairDataset,
    version: tuple[str, str, str],
    reading: evaluator_pb2.MarginReading,
) -> Iterator[LabelRow]:
    kept = store.workspace("labels", key)
    with connect(Endpoints.from_environment().supervisor) as channel, ThreadPoolExecutor(_STREAMS) as pool:
        supervisor = supervisor_pb2_grpc.SupervisorServiceStub(channel)

        def ask(start: int) -> list[float]:
            content = kept.read(f"{start}.json")
            if content is None:
                rows = range(start, min(start + _PAIRS, len(pairs)))
                content = json.dumps(_margins(supervisor, pairs, rows, version, reading)).encode()
                kept.write(f"{start}.json", content)
            found: list[float] = json.loads(content)
            return found

        starts = range(0, len(pairs), _PAIRS)
        for start, margins in zip(starts, pool.map(ask, starts), strict=True):
            logits = np.array([[margin, 0.0] for margin in margins], np.float32)
            for id_, row, shares in zip(pairs.ids[start : start + _PAIRS], logits, softmax(logits), strict=True):
                yield LabelRow(id_, logits=row, probabilities=shares)
            done = pb.Progress(stage="prefer", step=start + len(margins), total_steps=len(pairs))
            print(format_line(item, done), flush=True)


def _margins(
    supervisor: supervisor_pb2_grpc.SupervisorServiceStub,
    pairs: PairDataset,
    rows: range,
    version: tuple[str, str, str],
    reading: evaluator_pb2.MarginReading,
) -> list[float]:
    request = supervisor_pb2.CompareRequest(
        pairs=[
            supervisor_pb2.CompletionPair(
                id=pairs.ids[row],
                prompt=pairs.prompts[row],
                completion_a=pairs.firsts[row],
                completion_b=pairs.seconds[row],
            )
            for row in rows
        ],
        teacher=version[0],
        required_digest=version[2],
        length_normalized=reading.length_normalized,
    )
    found = supervisor.Compare(request, timeout=_TIMEOUT_S).preferences
    return [_margin(preference, version[0]) / (reading.scale or 1.0) for preference in found]


def _margin(preference: supervisor_pb2.Preference, teacher: str) -> float:
    if preference.HasField("error"):
        raise FailedPrecondition(f"{teacher} cannot compare {preference.id}: {preference.error.message}")
    if preference.HasField("score_a"):
        return preference.score_a - preference.score_b
    # An ensemble has no score; all votes for one side are no infinite margin.
    return log(max(preference.probability_a, _LEAST)) - log(max(1 - preference.probability_a, _LEAST))
