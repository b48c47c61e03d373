"""A reasoning report says what was selected how precisely, and what its figures cannot say."""

from __future__ import annotations

import json

import pytest

from pipelines.reporting.marks import Mark
from pipelines.reporting.pgr import PgrFigure
from pipelines.reporting.write import html, write
from pipelines.weak_to_strong_reasoning.collect import Contrast, Failure, Report, Selection, Student
from pipelines.weak_to_strong_reasoning.report import document, figures

OK = PgrFigure(value=0.5, low=0.25, high=0.75, status="OK")
SETTINGS = {"models_weak": {"uri": "pkg://weak"}, "models_strong": {"uri": "pkg://strong"}}
NOISE = PgrFigure(value=None, low=None, high=None, status="GAP_BELOW_NOISE")


def student(method, seed=None, pgr=OK):
    weak, own, ceiling = (Mark(value=value, low=value - 0.1, high=value + 0.1) for value in (0.25, 0.5, 0.75))
    return Student(method=method, seed=seed, seeds=1, weak=weak, student=own, ceiling=ceiling, pgr=pgr, examples=40)


def selection(seed, iteration, selected, precision):
    return Selection(
        seed=seed,
        iteration=iteration,
        questions=40,
        selected=selected,
        precision=precision,
        coverage=selected / 40,
        unselected=0.3,
    )


@pytest.fixture
def report():
    return Report(
        task="arithmetic_easy",
        metric="math",
        summary=[student("hybrid"), student("full_weak", pgr=NOISE)],
        students=[student("hybrid", 0), student("full_weak", 0, NOISE)],
        in_context=[(0, 0.4), (1, 0.6)],
        selections=[selection(0, 1, 24, 0.75), selection(1, 1, 8, 0.25), selection(0, 2, 0, None)],
        contrasts=[Contrast(seed=0, pairs=5, questions=4), Contrast(seed=1, pairs=2, questions=2)],
        failures=[Failure(method="orpo", seed=1, reason="no pair <b>")],
        provenance={"pipeline": "weak-to-strong-reasoning", "settings": SETTINGS},
    )


def test_figures_are_means_of_what_there_is(report):
    assert figures(report) == {
        "math_weak": 0.25,
        "math_ceiling": 0.75,
        "math_in_context": 0.5,
        "students_failed": 1.0,
        "pairs": 7.0,
        "math_hybrid": 0.5,
        "pgr_hybrid": 0.5,
        # A gap below noise has no PGR.
        "math_full_weak": 0.5,
        "precision_1": 0.5,
        "coverage_1": pytest.approx(0.4),
    }


def test_the_summary_stands_between_the_weak_model_and_the_ceiling(report):
    rows = document(report).summary.rows
    assert [row[0] for row in rows] == ["weak model", "strong, in context", "hybrid", "full_weak", "ceiling"]
    assert rows[2] == ["hybrid", "0.500 [0.400, 0.600]", "0.50 [0.25, 0.75]", "OK"]
    assert rows[3][2:] == ["", "GAP_BELOW_NOISE"]


def test_few_selected_and_generated_questions_are_said(report):
    said = " ".join(document(report).lead)
    assert "Fewer than 20 questions were selected in 2 case(s)" in said
    assert "generated" in said
    real = " ".join(document(report.model_copy(update={"task": "gsm8k", "selections": []})).lead)
    assert "generated" not in real
    assert "Fewer than" not in real


def test_the_files_are_written_and_what_failed_is_escaped(report, tmp_path):
    made = document(report)
    write(made, tmp_path)
    assert {path.stem for path in tmp_path.glob("*.csv")} == {
        "summary", "students", "selection", "pairs", "failures"
    }  # fmt: skip
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["selections"][2]["precision"] is None
    assert "no pair &lt;b&gt;" in html(made)
