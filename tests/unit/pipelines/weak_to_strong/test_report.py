"""A weak-to-strong report says what it was given."""

from __future__ import annotations

import json

import pytest

from pipelines.reporting.pgr import PgrFigure, format_pgr, pgr_figure
from pipelines.reporting.write import html, markdown, write
from pipelines.weak_to_strong.collect import collect
from pipelines.weak_to_strong.figures import Bin, Curve, Failure, Report, Result, Supervision
from pipelines.weak_to_strong.report import document, figures, summarise
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition
from w2s.evaluator.v1 import evaluator_pb2

OK = PgrFigure(value=0.5, low=0.25, high=0.75, status="OK")
NOISE = PgrFigure(value=None, low=None, high=None, status="GAP_BELOW_NOISE")


def result(seed, pgr=OK, **changes):
    values = {
        "dataset": "<script>alert(1)</script>",
        "weak": "w",
        "student": "s",
        "method": "naive",
        "seed": seed,
        "weak_accuracy": 0.6,
        "student_accuracy": 0.7,
        "ceiling_accuracy": 0.8,
        "agreement": 0.9,
        "agreement_supervisor_right": 0.95,
        "agreement_supervisor_wrong": None,
        "pgr": pgr,
    }
    return Result(**{**values, **changes})


@pytest.fixture
def report():
    bins = [Bin(confidence=0.7, accuracy=0.6, n=5)]
    points = {"loss": [(1, 0.7), (2, 0.6)], "eval_accuracy": [(2, 0.7)]}
    return Report(
        results=[result(0), result(1, NOISE)],
        summary=[result(None, pgr_median=0.5)],
        failures=[Failure(weak="w", student="s", method="probe", seed=0, reason="diverged <b>")],
        supervision=[Supervision(weak="w", seed=0, teacher="teachers/a", label_accuracy=0.6, reliability=bins)],
        curves=[Curve(method="naive", model="s", seed=0, points=points)],
        provenance={"pipeline": "weak-to-strong", "settings": {}},
    )


def test_the_files_are_written(report, tmp_path):
    write(document(report), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "report.json", "report.html", "summary.json", "summary.csv", "methods.csv", "students.csv", "supervision.csv",
        "failures.csv",
        *(f"{name}.{kind}" for name in ("accuracy", "pgr", "agreement", "curves", "labels") for kind in ("png", "svg")),
    }  # fmt: skip
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["results"][0]["pgr"] == {"value": 0.5, "low": 0.25, "high": 0.75, "status": "OK"}
    assert written["results"][1]["pgr"]["value"] is None


def test_what_a_report_is_given_is_escaped(report):
    page = html(document(report))
    assert "&lt;script&gt;" in page
    assert "diverged &lt;b&gt;" in page


def test_a_meaningless_pgr_is_shown_by_its_status():
    assert format_pgr(NOISE) == "GAP_BELOW_NOISE"
    assert format_pgr(OK) == "0.50 [0.25, 0.75]"


def test_metrics_leave_a_meaningless_pgr_out(report):
    assert figures(report)["pgr_naive"] == 0.5
    report.summary[0].pgr = NOISE
    assert "pgr_naive" not in figures(report)
    assert figures(report)["accuracy_naive"] == 0.7


def test_a_pgr_message_without_a_value_has_no_numbers():
    message = evaluator_pb2.Pgr(status=evaluator_pb2.PGR_STATUS_UNDEFINED_GAP)
    assert pgr_figure(message) == PgrFigure(value=None, low=None, high=None, status="UNDEFINED_GAP")
    message = evaluator_pb2.Pgr(value=0.5, interval=pb.Interval(low=0.1, high=0.9), status=evaluator_pb2.PGR_STATUS_OK)
    assert pgr_figure(message) == PgrFigure(value=0.5, low=0.1, high=0.9, status="OK")


@pytest.fixture
def grid(report):
    """Two gaps: one strong model taught by two weak ones."""
    other = [result(seed, weak="w2", weak_accuracy=0.65) for seed in (0, 1)]
    summary = [*report.summary, result(None, weak="w2", weak_accuracy=0.65, pgr=NOISE)]
    return report.model_copy(update={"results": [*report.results, *other], "summary": summary})


def test_several_gaps_are_told_apart(grid):
    rows = summarise(grid).rows
    assert [row[:2] for row in rows] == [
        [gap, model] for gap in "12" for model in ("weak supervisor", "naive", "strong ceiling")
    ]
    assert [row[2] for row in rows if row[1] == "weak supervisor"] == [0.6, 0.65]
    assert (rows[1][4], rows[4][4:]) == ("0.50 [0.25, 0.75]", ["", "GAP_BELOW_NOISE"])
    assert "No PGR is given where it would mean nothing: naive (GAP_BELOW_NOISE)." in document(grid).lead


def test_metrics_of_several_gaps_are_means_and_the_median_of_what_is_ok(grid):
    found = figures(grid)
    assert found["accuracy_weak"] == pytest.approx(0.625)
    assert found["pgr_naive"] == 0.5
    assert found["students_failed"] == 1


def test_what_failed_is_said_in_every_form(report):
    assert "| probe | 0 | w | s | diverged <b> |" in markdown(document(report))
    assert "failed: probe, seed 0: diverged <b>" in summarise(report).caption


def test_a_report_of_failures_alone_is_none(plan):
    of = {"method": "naive", "weak": 0.0, "strong": 0.0, "seed": 3.0}
    failed = {"of": of, "status": "failed", "reason": "diverged at step 3"}
    with pytest.raises(FailedPrecondition, match="every student failed; the first because diverged at step 3"):
        collect(plan(), {}, [], [], [failed])
