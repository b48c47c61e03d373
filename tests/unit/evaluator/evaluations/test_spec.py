from __future__ import annotations

import pytest

from w2s.errors import InvalidArgument
from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.rpc.convert import spec_message, to_model
from w2s_evaluator.evaluations.spec import EvaluationSpec

MATH, TOXICITY = pb.ANSWER_SCORER_MATH, pb.ANSWER_SCORER_TOXICITY


def spec(**fields):
    message = pb.EvaluationSpec(**fields)
    message.model.uri = "file:///models/a"
    return message


def read(message):
    return to_model(message, EvaluationSpec, "spec")


def test_what_is_left_out_is_its_default():
    found = read(spec(generation=pb.Generation(scorers=[MATH]), margin=pb.MarginReading()))
    generation = found.generation
    assert (generation.samples, generation.max_new_tokens, generation.temperature, generation.top_p) == (1, 128, 0, 1)
    assert (found.margin.scale, found.margin.length_normalized) == (1, False)
    assert (found.replicates, found.bootstrap_seed, found.benchmarks) == (2000, 0, None)
    assert read(spec(benchmarks=pb.Benchmarks(tasks=["arc"]))).benchmarks.shots is None
    assert read(spec(benchmarks=pb.Benchmarks(tasks=["arc"], shots=0))).benchmarks.shots == 0


def test_a_spec_comes_back_as_it_was_sent():
    generation = pb.Generation(
        samples=4, max_new_tokens=7, temperature=0.5, top_p=0.9, seed=2**32 - 1, stop=["\n"], scorers=[TOXICITY, MATH],
        pass_at=[1, 4], chat_template=True,
    )  # fmt: skip
    sent = spec(generation=generation, replicates=100, bootstrap_seed=5)
    assert spec_message(read(sent), pb.EvaluationSpec) == sent


@pytest.mark.parametrize(
    ("field", "fields", "problem"),
    [
        ("samples", {"samples": 257}, "256"),
        ("max_new_tokens", {"max_new_tokens": 8193}, "8192"),
        ("temperature", {"temperature": -1}, "greater"),
        ("temperature", {"samples": 2}, "above 0 for more than one sample"),
        ("top_p", {"top_p": 0}, "greater"),
        ("seed", {"seed": 2**32}, "less"),
        ("stop", {"stop": [""]}, "empty text"),
        ("scorers", {"scorers": []}, "at least 1|required"),
        ("scorers", {"scorers": [MATH, MATH]}, "distinct"),
        ("scorers[0]", {"scorers": [0]}, "ANSWER_SCORER_MATH"),
        ("pass_at", {"pass_at": [2]}, r"in \[1, samples = 1\]; ask for more samples"),
        ("pass_at", {"pass_at": [1, 1]}, "distinct"),
        ("pass_at", {"pass_at": [1], "scorers": [TOXICITY]}, "add exact_match, math or move"),
    ],
)
def test_generation_out_of_range_is_refused_by_field(field, fields, problem):
    with pytest.raises(InvalidArgument, match=problem) as caught:
        read(spec(generation=pb.Generation(**{"scorers": [MATH], **fields})))
    assert caught.value.field == f"spec.generation.{field}"


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("spec.margin.scale", {"margin": pb.MarginReading(scale=-1)}),
        ("spec.margin.scale", {"margin": pb.MarginReading(scale=float("inf"))}),
        ("spec.margin.scale", {"margin": pb.MarginReading(scale=float("nan"))}),
        ("spec.benchmarks.tasks", {"benchmarks": pb.Benchmarks()}),
        ("spec.benchmarks.tasks", {"benchmarks": pb.Benchmarks(tasks=["a", "a"])}),
        ("spec.benchmarks.shots", {"benchmarks": pb.Benchmarks(tasks=["a"], shots=65)}),
        ("spec.replicates", {"replicates": 99}),
        ("spec.bootstrap_seed", {"bootstrap_seed": -1}),
    ],
)
def test_what_is_out_of_range_is_refused_by_field(field, fields):
    with pytest.raises(InvalidArgument) as caught:
        read(spec(**fields))
    assert caught.value.field == field
