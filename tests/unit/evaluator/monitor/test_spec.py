from __future__ import annotations

import pytest
from google.protobuf import duration_pb2

from w2s.errors import InvalidArgument
from w2s.evaluator.v1 import monitor_pb2 as pb
from w2s.rpc.convert import spec_message, to_model
from w2s_evaluator.monitor.spec import StudentSpec


def message(**fields):
    return pb.StudentSpec(**{"dimension": "topic", "label_names": ["no", "yes"], **fields})


def test_what_is_unset_has_the_defaults_of_the_contract():
    spec = to_model(message(), StudentSpec, "spec")
    assert (spec.threshold, spec.labels_per_second, spec.sampling_rate) == (0.75, 10, 1)
    assert (spec.window.observations, spec.window.age, spec.window.half_life) == (2000, 3600, None)


def test_a_spec_goes_to_its_message_and_back():
    half = duration_pb2.Duration(seconds=1, nanos=500_000_000)
    window = pb.Window(observations=20, age=duration_pb2.Duration(seconds=60), half_life=half)
    sent = message(window=window, teacher="teachers/a", ceiling="teachers/b", inference_service="prod/chat")
    spec = to_model(sent, StudentSpec, "spec")
    assert (spec.window.age, spec.window.half_life) == (60, 1.5)
    back = spec_message(StudentSpec.model_validate(spec.model_dump(mode="json")), pb.StudentSpec)
    assert (back.window, back.teacher, back.ceiling) == (window, "teachers/a", "teachers/b")
    assert to_model(back, StudentSpec, "spec") == spec


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("spec.label_names", {"label_names": ["one"]}),
        ("spec", {"label_names": ["a", "a"]}),
        ("spec.threshold", {"threshold": 1.0}),
        ("spec.labels_per_second", {"labels_per_second": -1}),
        ("spec.labels_per_second", {"labels_per_second": float("inf")}),
        ("spec.sampling_rate", {"sampling_rate": 1.5}),
        ("spec.window.observations", {"window": pb.Window(observations=19)}),
        ("spec.window.half_life", {"window": pb.Window(half_life=duration_pb2.Duration())}),
        ("spec.inference_service", {"inference_service": "chat"}),
        ("spec.no_conflict", {"no_conflict": "chat"}),
    ],
)
def test_what_is_out_of_range_is_named(field, fields):
    with pytest.raises(InvalidArgument) as caught:
        to_model(message(**fields), StudentSpec, "spec")
    assert caught.value.field == field
