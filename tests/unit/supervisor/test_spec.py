from __future__ import annotations

import pytest
from pydantic import ValidationError

from w2s.rpc.convert import spec_message, to_model
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_supervisor.spec import EnsembleRule, TeacherSpec

PROMPT = {"template": "{text}?", "answers": [" no", " yes"], "label_names": ["no", "yes"]}
SPECS = [
    {"model": {"model": {"uri": "file:///models/a"}}},
    {"model": {"model": {"uri": "hf://org/name", "revision": "main"}, "classifier": {"max_length": 64}}},
    {"model": {"model": {"uri": "file:///models/a"}, "reward": {"chat_template": True}}},
    {"model": {"model": {"uri": "file:///m"}, "language_model": {"prompt": {**PROMPT, "separator": ""}}}},
    {"text_generation": {"url": "http://tgi:80", "prompt": PROMPT, "class_method": "CLASS_METHOD_PREFILL"}},
    {"ensemble": {"members": ["teachers/a", "teachers/b"], "rule": "ENSEMBLE_RULE_MAJORITY"}},
    {"inference": {"url": "grpc://k:80", "model": "m", "label_names": ["no", "yes"], "timeout_s": 5.0}},
]


@pytest.mark.parametrize("fields", SPECS)
def test_a_spec_survives_the_way_through_its_message_and_the_database(fields):
    spec = TeacherSpec.model_validate(fields)
    message = spec_message(spec, pb.TeacherSpec)
    assert to_model(message, TeacherSpec, "spec").backend == spec.backend
    assert TeacherSpec.model_validate(spec.model_dump(mode="json", exclude_unset=True)) == spec


def test_the_mean_is_the_rule_that_is_not_named():
    assert TeacherSpec.model_validate({"ensemble": {"members": ["teachers/a", "teachers/b"]}}).ensemble.rule is (
        EnsembleRule.MEAN
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "exactly one of"),
        ({**SPECS[0], **SPECS[5]}, "exactly one of"),
        ({"ensemble": {"members": ["teachers/a"]}}, "at least 2"),
        ({"ensemble": {"members": ["teachers/a", "teachers/a"]}}, "must be distinct"),
        ({"ensemble": {"members": ["a", "teachers/b"]}}, "names such as teachers/my-teacher"),
        ({"text_generation": {"url": "http://t", "prompt": {**PROMPT, "template": "no place"}}}, "must hold {text}"),
        ({"text_generation": {"url": "http://t", "prompt": {**PROMPT, "answers": [" a", " a"]}}}, "answers must be"),
        ({"text_generation": {"url": "http://t", "credential": "../secret"}}, "credential"),
        ({"inference": {"url": "grpc://k", "model": "a/b", "label_names": ["n", "y"]}}, "model"),
        ({"inference": {"url": "grpc://k", "model": "m", "label_names": ["n", "n"]}}, "must be distinct"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(fields, problem):
    with pytest.raises(ValidationError, match=problem):
        TeacherSpec.model_validate(fields)
