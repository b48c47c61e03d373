"""Specs survive KFP, and names fit where they go."""

from __future__ import annotations

import json

import pytest

from pipelines.steps.compare import publication
from pipelines.steps.items import as_json, from_json, normalised, succeeded
from pipelines.steps.teach import teacher_id, teacher_spec
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2


def test_a_spec_survives_numbers_as_doubles():
    spec = trainer_pb2.RunSpec(
        model=trainer_pb2.ModelSpec(layers=0, train_from_layer=0, max_length=128),
        training=trainer_pb2.TrainingConfig(seed=2**31, epochs=3, learning_rate=2e-5),
        early_stopping=trainer_pb2.EarlyStopping(),
    )
    doubled = json.loads(json.dumps(as_json(spec)), parse_int=float)
    again = from_json(doubled, trainer_pb2.RunSpec())
    assert again == spec
    assert again.HasField("early_stopping")
    assert normalised(again) == normalised(spec)


def test_failed_results_are_left_out():
    assert succeeded([{"status": "failed"}, {"status": "succeeded", "run": 1}]) == [{"status": "succeeded", "run": 1}]


@pytest.mark.parametrize("title", ["boolq_relevance", "t" * 80])
def test_a_teacher_is_told_apart_by_seed_and_digest_in_63_characters(title):
    found = teacher_id(title, 12, "sha256:0123456789abcdef")
    assert found.endswith("-s12-01234567")
    assert len(found) <= 63
    assert "_" not in found


@pytest.mark.parametrize("reading", ["classifier", "reward", "language_model", ""])
def test_a_teacher_is_read_as_it_is_said(reading):
    spec = from_json(teacher_spec({"uri": "hf://o/m", "revision": "r"}, reading), supervisor_pb2.TeacherSpec())
    assert spec.model.WhichOneof("reading") == (reading or None)
    assert spec.model.model.revision == "r"


def test_published_names_fit_and_stay_apart():
    assert publication("boolq", "gpt2/0", "gpt2-xl", "naive") == "boolq-gpt2-0-gpt2-xl-naive"
    long = [publication("a" * 80, method) for method in ("naive", "probe")]
    assert len(set(long)) == 2
    assert all(len(name) == 63 for name in long)
