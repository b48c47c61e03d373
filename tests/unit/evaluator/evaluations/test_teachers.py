from __future__ import annotations

import math

import numpy as np
import pytest

from w2s.artifacts import Parent
from w2s.errors import Cancelled, FailedPrecondition, Unavailable
from w2s.models.inputs import Sampling
from w2s_evaluator.evaluations import teachers as module
from w2s_evaluator.evaluations.teachers import Teachers

DIGEST = "sha256:" + "1" * 64


@pytest.fixture
def teachers(supervisor, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_DELAY_S", 0.01)
    return Teachers(supervisor.target)


def parent(name, digest=DIGEST):
    return Parent(role="teacher", uri=f"teachers/{name}", digest=digest)


def asked(count, **answers):
    return [(f"p{n}", "ask", answers.get("first", "longer"), "short") for n in range(count)]


def never():
    pass


def test_a_margin_is_the_difference_of_scores(teachers, supervisor):
    ticks = []
    found = teachers.margins(parent("compare"), asked(130), lambda *at: ticks.append(at), length_normalized=True)
    np.testing.assert_array_equal(found, [len("longer") - len("short")] * 130)
    assert ticks == [(64, 130), (128, 130), (130, 130)]
    assert all((r.required_digest, r.length_normalized) == (DIGEST, True) for r in supervisor.requests)


def test_long_pairs_share_no_call(teachers, supervisor):
    long = [(f"p{n}", "ask", "x" * 300_000, "y") for n in range(3)]
    teachers.margins(parent("compare"), long, lambda *at: None, length_normalized=False)
    assert [len(request.pairs) for request in supervisor.requests] == [1, 1, 1]


def test_an_ensembles_margin_is_its_log_odds(teachers):
    one = asked(1, first="worse")
    found = teachers.margins(parent("ensemble"), one, lambda *at: None, length_normalized=False)
    assert found[0] == pytest.approx(math.log(0.25 / 0.75))
    sure = teachers.margins(parent("ensemble"), asked(1, first="better"), lambda *at: None, length_normalized=False)
    assert math.isfinite(sure[0])
    assert sure[0] > 50


def test_a_pair_that_the_teacher_cannot_read_is_named(teachers):
    with pytest.raises(FailedPrecondition, match="teachers/compare cannot compare p0: too long"):
        teachers.margins(parent("compare"), asked(1, first="unreadable"), lambda *at: None, length_normalized=False)


def test_answers_come_by_sample_whatever_order_they_are_sent_in(teachers, supervisor):
    sampling = Sampling("ask", samples=3, max_new_tokens=5, temperature=0.5, top_p=0.9, seed=7, stop=("\n",))
    found = teachers.answers(parent("generate"), [sampling], never)
    assert found == [[f"{n} sample of 7" for n in range(3)]]
    (request,) = supervisor.requests
    assert (request.max_new_tokens, request.temperature, request.top_p, list(request.stop)) == (5, 0.5, 0.9, ["\n"])


def test_prompts_of_one_call_are_told_apart(teachers, supervisor):
    samplings = [Sampling(text, samples=2, max_new_tokens=5, seed=7) for text in ("ask", "ask more")]
    found = teachers.answers(parent("generate"), samplings, never)
    assert found == [[f"{n} sample of 7" for n in range(2)]] * 2
    assert list(supervisor.requests[0].prompts) == ["ask", "ask more"]


def test_a_busy_supervisor_is_asked_again(teachers, supervisor):
    supervisor.busy = 2
    assert len(teachers.answers(parent("generate"), [Sampling("ask", seed=0)], never)) == 1
    assert len(supervisor.requests) == 3


def test_a_supervisor_that_answers_too_late_is_asked_again(teachers, supervisor, monkeypatch):
    monkeypatch.setattr(module, "_GENERATE_TIMEOUT_S", 0.3)
    supervisor.hold_at = 1
    assert teachers.answers(parent("generate"), [Sampling("ask", seed=7)], never) == [["0 sample of 7"]]
    assert len(supervisor.requests) == 2


def test_patience_ends(teachers, supervisor, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.0)
    supervisor.busy = 100
    with pytest.raises(Unavailable, match="RESOURCE_EXHAUSTED: too much to do"):
        teachers.answers(parent("generate"), [Sampling("ask", seed=0)], never)


def test_another_version_is_refused(teachers):
    with pytest.raises(FailedPrecondition, match="is another teacher"):
        teachers.answers(parent("generate", "sha256:" + "2" * 64), [Sampling("ask", seed=0)], never)


def test_a_stop_ends_the_waiting(teachers, supervisor):
    supervisor.busy = 10**6

    def check():
        if len(supervisor.requests) > 1:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        teachers.answers(parent("generate"), [Sampling("ask", seed=0)], check)
