from __future__ import annotations

import numpy as np
import pytest

from w2s.artifacts.tables import Dataset, write_predictions
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb

from .conftest import scrape

N = 100
SURE = 1 / (1 + np.exp(-1))


@pytest.fixture(scope="session")
def predicted(store):
    """Writes predictions on examples of class 0 that are right where told."""

    def write(key, right, ids=None):
        ids = ids or [str(n) for n in range(len(right))]
        truth = np.zeros(len(right), dtype=np.int32)
        dataset = Dataset(None, ids, ids, None, truth, ["no", "yes"], None)
        logits = np.where(np.array(right, dtype=bool)[:, None], [1.0, 0.0], [0.0, 1.0]).astype(np.float32)
        with store.write("predictions", f"compared-{key}", data_schema="w2s.predictions/1", config={}) as draft:
            write_predictions(draft.path, dataset, logits)
        return common.PredictionsRef(uri=draft.ref.uri, digest=draft.ref.digest)

    return write


def first(count):
    """The first `count` of N right."""
    return [n < count for n in range(N)]


def last(count):
    return first(count)[::-1]


def test_comparison_by_hand(evaluator, predicted):
    weak, student, ceiling = predicted("w50", first(50)), predicted("s70", first(70)), predicted("c90", first(90))
    found = evaluator.Compare(weak=[weak], student=[student], ceiling=[ceiling])

    assert (found.weak.value, found.student.value, found.ceiling.value) == (0.5, 0.7, 0.9)
    assert (found.metric, found.direction) == ("accuracy", pb.DIRECTION_HIGHER_IS_BETTER)
    assert found.weak.interval.low < 0.5 - found.weak.standard_error < 0.5 < found.weak.interval.high
    assert (found.examples, found.weak.n) == (N, N)
    assert found.pgr.status == pb.PGR_STATUS_OK
    assert found.pgr.value == pytest.approx(0.5)  # (0.7 - 0.5) / (0.9 - 0.5)
    assert 0.3 < found.pgr.interval.low < 0.5 < found.pgr.interval.high < 0.7
    # Both are right on 50 examples and wrong on 30; on 20 only the student is right.
    agreement = found.agreement
    assert (agreement.overall.value, agreement.overall.n) == (0.8, 100)
    assert (agreement.supervisor_right.value, agreement.supervisor_right.n) == (1.0, 50)
    assert (agreement.supervisor_wrong.value, agreement.supervisor_wrong.n) == (0.6, 50)
    assert (found.mcnemar.only_student, found.mcnemar.only_supervisor) == (20, 0)
    assert found.mcnemar.p_value == pytest.approx(2 / 2**20)
    # Every answer has the confidence sigmoid(1).
    supervisor, student = found.supervisor_calibration, found.student_calibration
    assert (supervisor.mean_confidence, supervisor.accuracy) == pytest.approx((SURE, 0.5), rel=1e-6)
    errors = (supervisor.expected_calibration_error, student.expected_calibration_error)
    assert errors == pytest.approx((SURE - 0.5, SURE - 0.7), rel=1e-5)


def test_comparison_over_seeds_is_of_means(evaluator, predicted):
    arms = {"weak": (40, 60), "student": (50, 80), "ceiling": (80, 90)}
    refs = {role: [predicted(f"{role}-{n}", first(n)) for n in counts] for role, counts in arms.items()}
    found = evaluator.Compare(**refs)

    assert (found.weak.value, found.student.value, found.ceiling.value) == pytest.approx((0.5, 0.65, 0.85))
    assert found.pgr.value == pytest.approx(0.15 / 0.35)
    assert [seed.value for seed in found.seeds] == pytest.approx([0.1 / 0.4, 0.2 / 0.3])
    assert found.median_pgr == pytest.approx((0.1 / 0.4 + 0.2 / 0.3) / 2)
    assert found.agreement.overall.n == 2 * N
    assert found == evaluator.Compare(**refs, replicates=2000)
    assert found != evaluator.Compare(**refs, seed=1)


@pytest.mark.parametrize(
    ("weak", "ceiling", "status"),
    [
        (first(50), last(50), pb.PGR_STATUS_UNDEFINED_GAP),
        (first(60), last(50), pb.PGR_STATUS_UNDEFINED_GAP),
        (first(50), last(52), pb.PGR_STATUS_GAP_BELOW_NOISE),
        (first(50), first(50), pb.PGR_STATUS_SAME_MODEL),
    ],
)
def test_pgr_without_a_gap_has_a_status_and_no_value(evaluator, predicted, weak, ceiling, status):
    keys = [f"gap-{sum(right)}-{'first' if right[0] else 'last'}" for right in (weak, ceiling)]
    refs = [predicted(key, right) for key, right in zip(keys, (weak, ceiling), strict=True)]
    pgr = evaluator.Compare(weak=[refs[0]], student=[predicted("s70", first(70))], ceiling=[refs[1]]).pgr

    assert (pgr.status, pgr.HasField("value"), pgr.HasField("interval")) == (status, False, False)


def test_bad_comparison_is_refused_by_field(evaluator, predicted, data, refused):
    mine, few = predicted("w50", first(50)), predicted("few", [True, False])
    renamed = predicted("renamed", first(50), [f"other-{n}" for n in range(N)])
    dataset = common.PredictionsRef(uri=data["test"].uri)
    valid = {"weak": [mine], "student": [mine], "ceiling": [mine]}
    for field, change in {
        "student[0]": {"student": [renamed]},
        "ceiling[0]": {"ceiling": [few]},
        "weak[0].uri": {"weak": [dataset]},
        "weak[1].digest": {role: [mine, common.PredictionsRef(uri=mine.uri, digest="short")] for role in valid},
        "weak": {"weak": []},
        "request": {"student": [mine, mine]},
        "replicates": {"replicates": 5},
        "seed": {"seed": -1},
        "metric": {"metric": "f1"},
        "publish_as": {"publish_as": "No Name"},
    }.items():
        with refused("INVALID_ARGUMENT", field):
            evaluator.Compare(**{**valid, **change})
    good, bad = pb.CompareRequest(**valid), pb.CompareRequest(**{**valid, "student": [renamed]})
    with refused("INVALID_ARGUMENT", "comparisons[1].student[0]", "has 100 examples"):
        evaluator.CompareAll(comparisons=[good, bad])


def test_bad_assessment_is_refused_by_field(evaluator, predicted, refused):
    mine = predicted("w50", first(50))
    valid = {"weak": mine, "strong": mine, "student": mine}
    for field, change in {
        "weak": {"weak": None},
        "threshold": {"threshold": 1.0},
        "sweep[1]": {"sweep": [0.5, -0.5]},
        "sweep": {"sweep": [0.5] * 33},
        "request": {"weak_validation": mine},
        "weak_validation": {"weak_validation": mine, "strong_validation": mine},
        "no_conflict": {"no_conflict": predicted("few", [True, False])},
    }.items():
        with refused("INVALID_ARGUMENT", field):
            evaluator.AssessDeception(**{**valid, **change})


def test_several_comparisons_have_a_median_over_all_seeds(evaluator, predicted):
    weak, ceiling = predicted("w50", first(50)), predicted("c90", first(90))
    students = [predicted(f"s{count}", first(count)) for count in (60, 70, 90)]
    each = [pb.CompareRequest(weak=[weak], student=[student], ceiling=[ceiling]) for student in students]
    gapless = pb.CompareRequest(weak=[ceiling], student=[weak], ceiling=[weak])
    found = evaluator.CompareAll(comparisons=[*each, gapless])

    assert [one.pgr.value for one in found.comparisons[:3]] == pytest.approx([0.25, 0.5, 1])
    assert found.comparisons[3].pgr.status == pb.PGR_STATUS_UNDEFINED_GAP
    assert (found.median_pgr, found.ok, found.total) == (pytest.approx(0.5), 3, 4)
    assert not evaluator.CompareAll(comparisons=[gapless]).HasField("median_pgr")


def test_published_figures_outlive_a_restart(serve, predicted):
    # Wrong on 50; SURE is above the threshold 0.7, so that both models know what they have right.
    roles = {"weak": first(70), "strong": first(100), "student": last(50)}
    refs = {role: predicted(role, right) for role, right in roles.items()}
    server = serve("evaluator")
    with server.client() as evaluator:
        compared = evaluator.Compare(
            weak=[refs["weak"]], student=[refs["student"]], ceiling=[refs["strong"]], publish_as="boolq"
        )
        found = evaluator.AssessDeception(**refs, threshold=0.7, publish_as="boolq")
    areas = {(a.strong_known, a.weak_known): (a.right, a.wrong) for a in found.figures.areas}
    assert areas == {(True, True): (20, 50), (True, False): (30, 0), (False, True): (0, 0), (False, False): (0, 0)}
    assert (found.figures.score_errors.value, found.figures.base_rate.value) == (0, 0.3)
    assert not found.figures.HasField("score_conflict_tax")
    assert (found.blind_spot_rate.value, found.blind_spot_rate.n) == (0, N)

    before = published(server)
    server.kill()
    server.start()
    assert published(server) == before
    assert before["pgr", "boolq"] == compared.pgr.value == pytest.approx(-0.2 / 0.3)
    assert before["pgr_status", "boolq", "OK"] == 1
    assert before["score", "boolq", "student"] == 0.5
    assert before["deception_score", "boolq", "errors"] == 0
    assert before["deception_score_high", "boolq", "errors"] == found.figures.score_errors.interval.high
    assert before["deception_base_rate", "boolq"] == 0.3
    assert before["deception_area_examples", "boolq", "wrong", "known", "known"] == 50
    assert ("deception_score", "boolq", "conflict_tax") not in before


def published(server):
    """What is exported under names, by gauge and the values of its labels in the order of their names."""
    found = {
        (name.removeprefix("w2s_evaluator_"), *(value for _, value in sorted(labels))): value
        for (name, labels), value in scrape(server.addresses["metrics"]).items()
        if "name" in dict(labels)
    }
    assert not [key for key, value in found.items() if np.isnan(value)]
    return found
