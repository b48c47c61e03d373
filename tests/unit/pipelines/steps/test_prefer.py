"""A teacher's preferences become labels of pairs, once."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from pipelines.steps.prefer import prefer
from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import PAIRS_SCHEMA
from w2s.artifacts.tables import align, read_labels, read_pairs, write_pairs
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc

DIGEST = "sha256:" + "a" * 64
TEACHER = {"teacher": "teachers/small", "digest": DIGEST, "revision": "r1"}


class Supervisor(supervisor_pb2_grpc.SupervisorServiceServicer):
    """Scores an answer by its length; an ensemble gives probabilities alone."""

    def __init__(self):
        self.asked = []
        self.broken_at = ""
        self.ensemble = False

    def Compare(self, request, context):  # noqa: N802
        assert (request.teacher, request.required_digest) == (TEACHER["teacher"], DIGEST)
        self.asked.append((len(request.pairs), request.length_normalized))
        response = supervisor_pb2.CompareResponse()
        for pair in request.pairs:
            if pair.id == self.broken_at:
                context.abort(grpc.StatusCode.INTERNAL, "out of memory")
            found = response.preferences.add(id=pair.id, probability_a=1.0)
            if not self.ensemble:
                found.score_a, found.score_b = len(pair.completion_a), len(pair.completion_b)
        return response


@pytest.fixture
def supervisor(serve):
    return serve(supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server, Supervisor())


@pytest.fixture
def pairs(store):
    rows = [
        {"id": f"p{n}", "prompt": "say", "first": "a" * (1 + n % 3), "second": "bb", "label": n % 2} for n in range(150)
    ]
    with store.write("datasets", "pairs", data_schema=PAIRS_SCHEMA, config={}) as draft:
        write_pairs(draft.path, rows)
    return draft.ref


@pytest.fixture
def item(pairs):
    def make(**margin):
        teacher = {"model": {"model": {"uri": "file:///m"}}}
        return {
            "item": "labels:0", "dataset": pairs.model_dump(), "teacher": teacher, "margin": margin, "nonce": "",
        }  # fmt: skip

    return make


def sigmoid(margin):
    return 1 / (1 + np.exp(-margin))


def test_labels_are_the_sigmoid_of_scaled_margins(supervisor, store, pairs, item):
    made = prefer(item(scale=50.0), TEACHER)
    labels = read_labels(store, ArtifactRef(**made))
    assert labels.teachers == [("teachers/small", "r1", DIGEST)]
    assert {parent.role: parent.uri for parent in labels.manifest.parents}["teacher"] == "file:///m"
    found = align(labels, read_pairs(store, pairs))
    # Lengths 1, 2 and 3 against 2, in turn.
    np.testing.assert_allclose(found[:3, 0], [sigmoid(m / 50) for m in (-1, 0, 1)], rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    # The same again asks nobody.
    assert prefer(item(scale=50.0), TEACHER) == made
    assert sorted(supervisor.asked) == [(22, False), (64, False), (64, False)]


def test_another_reading_makes_other_labels(supervisor, store, item):
    made = [prefer(item(), TEACHER), prefer(item(length_normalized=True), TEACHER)]
    assert made[0] != made[1]
    assert {normalized for _, normalized in supervisor.asked} == {False, True}


def test_a_retried_step_goes_on_where_it_was(supervisor, store, item):
    supervisor.broken_at = "p140"
    with pytest.raises(SystemExit):
        prefer(item(), TEACHER)
    supervisor.broken_at, supervisor.asked = "", []
    assert len(read_labels(store, ArtifactRef(**prefer(item(), TEACHER))).ids) == 150
    assert supervisor.asked == [(22, False)]


def test_an_ensemble_that_is_of_one_mind_is_no_infinite_margin(supervisor, store, item):
    supervisor.ensemble = True
    labels = read_labels(store, ArtifactRef(**prefer(item(), TEACHER)))
    assert np.isfinite(labels.probabilities).all()
    assert (labels.probabilities[:, 0] == 1).all()
