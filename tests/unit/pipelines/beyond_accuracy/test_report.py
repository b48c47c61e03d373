"""The report says per part and metric what recovered how much of which gap, and what is not significant."""

from __future__ import annotations

import math

import pytest

from pipelines.beyond_accuracy import work
from pipelines.beyond_accuracy.report import document
from pipelines.reporting.write import write
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import FailedPrecondition
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc

OK, NOISE = evaluator_pb2.PGR_STATUS_OK, evaluator_pb2.PGR_STATUS_GAP_BELOW_NOISE


def estimate(value):
    return pb.Estimate(value=value, interval=pb.Interval(low=value - 0.1, high=value + 0.1), n=40)


class Evaluator(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Finds that classes are recovered by half, and toxicity by nothing that is more than noise."""

    def __init__(self):
        self.asked = []

    def Compare(self, request, context):  # noqa: N802
        self.asked.append(request)
        toxic = "toxicity" in request.metric
        found = evaluator_pb2.Comparison(
            weak=estimate(0.5), student=estimate(0.6), ceiling=estimate(0.7), metric=request.metric, examples=40
        )
        if toxic:
            found.direction = evaluator_pb2.DIRECTION_LOWER_IS_BETTER
            found.pgr.status = NOISE
            return found
        found.direction = evaluator_pb2.DIRECTION_HIGHER_IS_BETTER
        found.pgr.CopyFrom(evaluator_pb2.Pgr(value=0.5, interval=pb.Interval(low=0.2, high=0.8), status=OK))
        found.agreement.overall.value = 0.9
        found.agreement.supervisor_wrong.value = 0.4
        found.mcnemar.p_value = 0.03
        found.median_pgr = 0.55
        return found


@pytest.fixture
def evaluator(serve):
    return serve(evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server, Evaluator())


@pytest.fixture
def made(plan, datasets, trained, arms):
    """A plan's document, some of whose students failed."""

    def make(failing=(), **changes):
        one = plan(**{"seeds": [3, 4], **changes})
        truths = trained(work.list_truths(one, datasets(one)))
        students = trained(work.list_students(one, datasets(one), arms(one)))
        for student in students:
            if student["of"]["method"] in failing:
                student.clear()
                student |= {"of": {}, "status": "failed", "reason": "diverged"}
        for student, item in zip(students, work.list_students(one, datasets(one), arms(one)), strict=True):
            student["of"] = {**item["of"], "seed": float(item["of"]["seed"])}
        return document(one, datasets(one), truths, arms(one), students)

    return make


def test_the_summary_has_every_part_metric_and_method_with_its_status(evaluator, made):
    rows = {tuple(row[:3]): row for row in made().summary.rows}
    assert len(rows) == 2 * 3 * 3 + 3
    assert rows["legal", "weighted_f1", "bootstrapping"][3:] == [0.5, 0.6, 0.7, "0.50 [0.20, 0.80]"]
    assert rows["toxicity", "expected_maximum_toxicity", "naive"][3:] == [0.5, 0.6, 0.7, "GAP_BELOW_NOISE"]


def test_each_student_is_held_against_its_own_seed_and_pooled_figures_are_published(evaluator, made):
    made(parts=["legal"], methods=["naive"])
    alone = [r for r in evaluator.asked if len(r.weak) == 1 and r.metric == "accuracy"]
    assert [r.weak[0].uri.rsplit("/", 1)[1] for r in alone] == ["legal:weak:3", "legal:weak:4"]
    assert [r.ceiling[0].uri.rsplit("/", 1)[1] for r in alone] == ["legal:ceiling:3", "legal:ceiling:4"]
    pooled = [r for r in evaluator.asked if len(r.weak) == 2]
    assert [r.metric for r in pooled] == ["accuracy", "balanced_accuracy", "weighted_f1"]
    assert len({r.publish_as for r in pooled}) == 3
    assert not any(r.publish_as for r in alone)


def test_claims_hold_only_where_the_interval_says_so(evaluator, made):
    (claims,) = made().sections[0].tables
    findings = {(row[0], row[1], row[2]): row[4] for row in claims.rows}
    assert findings["safety", "accuracy", "naive"] == "held"
    assert findings["toxicity", "toxicity", "naive"] == "no gap to recover: GAP_BELOW_NOISE"


def test_agreement_and_label_accuracy_are_of_classes_alone(evaluator, made):
    sections = {section.title: section for section in made().sections}
    assert [table.name for table in sections["Toxicity"].tables] == ["toxicity_scores"]
    scores, agreement = sections["Safety"].tables
    assert agreement.rows[0] == ["naive", 0.9, None, 0.4, 0.03, 0.55]
    assert "0.750 are right" in agreement.caption
    # Weak model and ceiling once a metric, and three methods.
    assert len(scores.rows) == 3 * (2 + 3)
    said = " ".join(sections["Toxicity"].texts)
    assert "lexicon" in said
    assert "several sources" in " ".join(sections["Safety"].texts)
    assert "several sources" not in " ".join(sections["Law"].texts)
    assert "2 of the weak model's continuations were empty" in said


def test_figures_are_finite_and_leave_out_what_means_nothing(evaluator, made):
    found = made().figures
    assert all(math.isfinite(value) for value in found.values())
    assert found["safety_accuracy_pgr_naive"] == 0.5
    assert found["toxicity_toxicity_naive"] == 0.6
    assert "toxicity_toxicity_pgr_naive" not in found
    assert found["students_failed"] == 0


def test_a_failed_method_is_a_row_and_the_others_are_reported(evaluator, made):
    found = made(failing=["confidence"], parts=["safety"])
    assert [row[:3] for row in found.failures.rows] == [["safety", "confidence", 3], ["safety", "confidence", 4]]
    assert {row[2] for row in found.summary.rows} == {"naive", "bootstrapping"}
    with pytest.raises(FailedPrecondition, match="every student failed; the first because diverged"):
        made(failing=["naive"], parts=["toxicity"], seeds=[3])


def test_what_made_it_is_said(evaluator, made):
    found = made(parts=["toxicity"], seeds=[3]).provenance
    assert found["settings"]["toxicity_samples"] == 25
    assert found["datasets"]["toxicity"]["3"]["test"]["uri"].endswith("toxicity/test-3")
    (supervision,) = found["supervision"]
    assert supervision["completions"]["uri"].endswith("completions/toxicity:labels:3")
    assert found["students"][0]["model"]["uri"].endswith("toxicity:naive:3")


def test_the_report_is_a_page_with_its_plots_and_tables(evaluator, made, tmp_path):
    write(made(seeds=[3]), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"report.html", "report.json", "summary.json", "summary.csv", "claims.csv", "seeds.csv"} <= names
    assert {"pgr.png", "safety_scores.svg", "toxicity_scores.png", "legal_agreement.csv"} <= names
    page = (tmp_path / "report.html").read_text()
    assert "expected_maximum_toxicity" in page
    assert "w2s run beyond-accuracy --preset tiny" in page
