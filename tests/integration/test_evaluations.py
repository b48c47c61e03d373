"""Evaluations of pairs and prompts by real services, killed and not."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from helpers.stored_models import store_language_model, store_reward_model

from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, LANGUAGE_MODEL_SCHEMA, PAIRS_SCHEMA
from w2s.artifacts.tables import read_answers, read_predictions, write_completions, write_pairs
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2

from .conftest import scrape

GENERATION = pb.Generation(
    samples=4,
    max_new_tokens=16,
    temperature=1.0,
    seed=7,
    scorers=[pb.ANSWER_SCORER_EXACT_MATCH, pb.ANSWER_SCORER_TOXICITY],
    pass_at=[2],
)


def referred(ref, kind):
    return kind(uri=ref.uri, digest=ref.digest)


def found_at(predictions):
    return ArtifactRef(uri=predictions.uri, digest=predictions.digest)


@pytest.fixture(scope="module")
def prompts(store):
    """120 prompts, of which every fourth is in a slice."""
    rows = [
        {"id": f"q{n}", "prompt": f"what is {n}?", "completion": str(n), **({"slice": "fourth"} if n % 4 == 0 else {})}
        for n in range(120)
    ]
    with store.write("datasets", "evaluated-prompts", data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
        write_completions(draft.path, rows)
    return referred(draft.ref, common.DatasetRef)


@pytest.fixture(scope="module")
def pairs(store):
    rows = [
        {"id": f"p{n}", "prompt": f"tell {n}", "first": " one", "second": f" two {n}", "label": n % 2}
        for n in range(20)
    ]
    with store.write("datasets", "evaluated-pairs", data_schema=PAIRS_SCHEMA, config={}) as draft:
        write_pairs(draft.path, rows)
    return referred(draft.ref, common.DatasetRef)


@pytest.fixture(scope="module")
def student(store):
    return referred(store_language_model(store, "student-lm"), common.ModelRef)


def test_a_killed_evaluation_goes_on_to_the_same_bytes(serve, store, prompts, student):
    spec = pb.EvaluationSpec(dataset=prompts, model=student, generation=GENERATION)
    server = serve("evaluator", "--threads=1")
    with server.client() as doomed:
        running = doomed.CreateEvaluation(evaluation=pb.Evaluation(spec=spec), request_id="killed-generation")
        doomed.until(running, lambda event: event.progress.stage == "generate" and event.progress.step >= 12)
        server.kill()
    kept = len(store.workspace("predictions", "killed-generation").names())
    assert (kept > 0, store.find("predictions", "killed-generation")) == (True, None)

    server.start("--threads=1")
    with server.client() as restarted:
        ended = restarted.ended(running)
        assert (ended.status.state, ended.status.attempt) == (common.JOB_STATE_SUCCEEDED, 2), ended.status.error.message
        events = list(restarted.WatchEvaluation(name=running.name))
        undisturbed = restarted.ended(
            restarted.CreateEvaluation(evaluation=pb.Evaluation(spec=spec), request_id="undisturbed-generation")
        )
        metrics = scrape(server.addresses["metrics"])
    # What was kept was taken as it was, chunk by chunk, and only then was a prompt answered.
    begun = max(at for at, event in enumerate(events) if event.progress.stage == "load")
    steps = [event.progress.step for event in events[begun + 1 :]]
    assert steps[:kept] == [*range(8, 8 * kept + 1, 8)]
    assert 8 * kept < steps[kept] <= 8 * kept + 8
    assert ended.result.predictions.digest == undisturbed.result.predictions.digest
    assert ended.result.metrics == undisturbed.result.metrics
    assert store.workspace("predictions", "killed-generation").names() == []

    answers = read_answers(store, found_at(ended.result.predictions))
    assert answers.ids == [f"q{n}" for n in range(120)]
    assert len({texts[0] for texts in answers.samples}) > 100
    assert {p.role: p.digest for p in answers.manifest.parents} == {"dataset": prompts.digest, "model": student.digest}
    told = {(m.name, m.slice): m.estimate for m in ended.result.metrics}
    assert told["toxicity", ""].value == pytest.approx(answers.scores["toxicity"].mean(), rel=1e-5)
    assert (told["pass@2", ""].n, told["pass@2", "fourth"].n) == (120, 30)
    assert metrics["w2s_evaluator_evaluation_seconds_count", frozenset()] == 2
    last = metrics["w2s_evaluator_last_evaluation_timestamp_seconds", frozenset()]
    assert last == pytest.approx(undisturbed.status.end_time.ToDatetime().timestamp(), abs=24 * 3600)


def test_a_teacher_answers_and_judges_as_the_same_model_does_here(
    serve, store, oracle, publish, model_root, model_server, prompts, pairs
):
    teacher = publish("lm", "evaluated-lm", language_model=supervisor_pb2.LanguageModelReading())
    with store.write("models", "teacher-lm", data_schema=LANGUAGE_MODEL_SCHEMA, config={}) as draft:
        shutil.copytree(model_root / "lm", draft.path, dirs_exist_ok=True)
    server = serve("evaluator", "--threads=1", f"--supervisor-address={model_server.target}")
    sources = {
        "model": {"model": referred(draft.ref, common.ModelRef)},
        "teacher": {"teacher": pb.TeacherSource(teacher=teacher.name, required_digest=teacher.version.digest)},
    }
    margin = pb.MarginReading(length_normalized=True, scale=2)
    generation = pb.Generation(samples=2, max_new_tokens=4, temperature=1, scorers=[pb.ANSWER_SCORER_EXACT_MATCH])
    with server.client() as client:
        judged = {role: client.evaluate(dataset=pairs, margin=margin, **source) for role, source in sources.items()}
        answered = {
            role: client.evaluate(dataset=prompts, generation=generation, **source) for role, source in sources.items()
        }
    for evaluation in (*judged.values(), *answered.values()):
        assert evaluation.status.state == common.JOB_STATE_SUCCEEDED, evaluation.status.error.message
    here, there = (read_predictions(store, found_at(judged[role].result.predictions)) for role in sources)
    np.testing.assert_allclose(here.logits, there.logits, atol=1e-5)
    assert len(set(here.predictions.tolist())) > 1
    here, there = (read_answers(store, found_at(answered[role].result.predictions)) for role in sources)
    assert here.samples == there.samples
    assert [p.digest for p in there.manifest.parents if p.role == "teacher"] == [teacher.version.digest]


def test_a_reward_model_judges_pairs(evaluator, store, pairs):
    model = referred(store_reward_model(store, "judge"), common.ModelRef)
    found = evaluator.evaluate(dataset=pairs, model=model)
    assert found.status.state == common.JOB_STATE_SUCCEEDED, found.status.error.message
    assert [metric.name for metric in found.result.metrics] == [
        "accuracy",
        "balanced_accuracy",
        "weighted_f1",
        "auroc",
        "nll",
        "brier",
        "ece",
    ]
    predictions = read_predictions(store, found_at(found.result.predictions))
    assert found.result.accuracy.value == (predictions.predictions == predictions.labels).mean()


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("evaluation.spec.generation", {}),
        ("evaluation.spec.generation.pass_at", {"generation": pb.Generation(scorers=[2], pass_at=[5])}),
        ("evaluation.spec.margin", {"generation": GENERATION, "margin": pb.MarginReading()}),
        ("evaluation.spec.dataset", {"generation": GENERATION, "benchmarks": pb.Benchmarks(tasks=["arc"])}),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_created(evaluator, prompts, student, refused, field, fields):
    spec = pb.EvaluationSpec(dataset=prompts, model=student, **fields)
    with refused("INVALID_ARGUMENT", field):
        evaluator.CreateEvaluation(evaluation=pb.Evaluation(spec=spec), request_id="makes-no-sense")
    with refused("NOT_FOUND"):
        evaluator.GetEvaluation(name="evaluations/makes-no-sense")
