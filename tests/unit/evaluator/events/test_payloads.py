from __future__ import annotations

import pytest

from w2s.errors import InvalidArgument
from w2s_evaluator.events.payloads import probabilities_of, texts_of

NAMES = ("harmless", "harmful")


def tensor(name, data, **fields):
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data, **fields}


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"instances": ["a", "b"]}, [("a", ""), ("b", "")]),
        ({"instances": [{"text": "a"}, {"text": "b", "text_pair": "c"}]}, [("a", ""), ("b", "c")]),
        ({"inputs": [tensor("text", ["a", "b"])]}, [("a", ""), ("b", "")]),
        ({"inputs": [tensor("input-0", ["a"])]}, [("a", "")]),
        ({"inputs": [tensor("text_pair", ["c"]), tensor("text", ["a"])]}, [("a", "c")]),
    ],
)
def test_both_protocols_give_their_texts(body, texts):
    assert texts_of(body) == texts


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "request"),
        ([], "request"),
        ({}, "request"),
        ({"instances": "a"}, "instances"),
        ({"instances": []}, "request"),
        ({"instances": ["a", 1]}, "instances[1].text"),
        ({"instances": [{"text": "a", "text_pair": None}]}, "instances[0].text_pair"),
        ({"inputs": [tensor("text", ["a", 2])]}, "inputs.text[1]"),
        ({"inputs": [tensor("one", ["a"]), tensor("two", ["b"])]}, "inputs"),
        ({"inputs": [tensor("text", ["a"]), tensor("text_pair", ["b", "c"])]}, "inputs.text_pair"),
        ({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}, "text"),
    ],
)
def test_a_request_without_texts_is_refused_by_field(body, field):
    with pytest.raises(InvalidArgument) as caught:
        texts_of(body)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "body",
    [
        {"predictions": [[0.25, 0.75], [1, 0]]},
        {"predictions": [{"probabilities": [0.25, 0.75], "label": 1}, {"probabilities": [1.0, 0.0]}]},
        {"predictions": [{"harmful": 0.75, "harmless": 0.25}, {"0": 1, "1": 0}]},
        {"outputs": [tensor("probabilities", [0.25, 0.75, 1, 0])]},
        {"outputs": [tensor("label", [1, 0]), tensor("probabilities", [[0.25, 0.75], [1.0, 0.0]])]},
        {"outputs": [tensor("output-0", [0.25, 0.75, 1.0, 0.0])]},
    ],
)
def test_both_protocols_give_their_probabilities(body):
    assert probabilities_of(body, NAMES) == [(0.25, 0.75), (1.0, 0.0)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "response"),
        ({"predictions": {"a": 1}}, "predictions"),
        ({"predictions": [[0.5, 0.5], [1.0]]}, "predictions[1]"),
        ({"predictions": [["0.5", "0.5"]]}, "predictions[0]"),
        ({"predictions": [[True, False]]}, "predictions[0]"),
        ({"predictions": [[0.5, 0.5], [10**400, 0]]}, "predictions[1]"),
        ({"outputs": [tensor("probabilities", [10**400, 0])]}, "outputs.probabilities"),
        ({"predictions": [{"harmless": 1.0}]}, "predictions[0]"),
        ({"predictions": [1]}, "predictions[0]"),
        ({"outputs": [tensor("probabilities", [0.5, 0.5, 1.0])]}, "outputs.probabilities"),
        ({"outputs": [tensor("probabilities", [])]}, "outputs.probabilities"),
        ({"outputs": [tensor("one", [1]), tensor("two", [1])]}, "outputs"),
    ],
)
def test_a_response_without_probabilities_is_refused_by_field(body, field):
    with pytest.raises(InvalidArgument) as caught:
        probabilities_of(body, NAMES)
    assert caught.value.field == field
