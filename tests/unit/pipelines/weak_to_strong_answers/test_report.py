"""A report on written answers names every gap, and what failed."""

from __future__ import annotations

import pytest

from pipelines.reporting.marks import Mark
from pipelines.reporting.pgr import PgrFigure
from pipelines.reporting.write import html
from pipelines.weak_to_strong_answers.collect import Failure, Report, Student
from pipelines.weak_to_strong_answers.report import document, figures

OK = PgrFigure(value=0.5, low=0.25, high=0.75, status="OK")
NOISE = PgrFigure(value=None, low=None, high=None, status="GAP_BELOW_NOISE")


def student(method, weak, value, pgr=OK, seed=None):
    marks = [Mark(value=share, low=share - 0.1, high=share + 0.1) for share in (weak, value, 0.75)]
    return Student(
        method=method,
        weak_model=f"body, {int(weak * 20)} layers",
        strong_model="body",
        seed=seed,
        seeds=1,
        weak=marks[0],
        student=marks[1],
        ceiling=marks[2],
        pgr=pgr,
        examples=40,
    )


@pytest.fixture
def report():
    rows = [student("naive", 0.25, 0.5), student("bootstrapping", 0.25, 0.625), student("naive", 0.7, 0.7, NOISE)]
    return Report(
        task="arithmetic_easy",
        metric="math",
        summary=rows,
        students=[row.model_copy(update={"seed": 0}) for row in rows],
        failures=[Failure(method="bootstrapping", weak_model="a", strong_model="b", seed=1, reason="wrote nothing")],
        provenance={"pipeline": "weak-to-strong-answers", "settings": {}},
    )


def test_figures_are_those_of_the_widest_gap(report):
    assert figures(report) == {
        "students_failed": 1.0,
        "math_weak": 0.25,
        "math_ceiling": 0.75,
        "math_naive": 0.5,
        "math_bootstrapping": 0.625,
        "pgr_naive": 0.5,
        "pgr_bootstrapping": 0.5,
    }


def test_the_page_says_what_its_figures_cannot(report):
    made = document(report)
    page = html(made)
    assert "0.625 [0.525, 0.725]" in page
    assert "GAP_BELOW_NOISE" in page
    assert "wrote nothing" in page
    assert "The questions are generated" in page
