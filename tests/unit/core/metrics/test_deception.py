from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.metrics import Area, Estimate, blind_spot_exposure, blind_spot_rate, deception, deception_sweep, known, wilson

# 210 examples: strong known, weak known, student wrong, wrong without conflict too, how many.
TABLE = [
    (1, 1, 0, 0, 82),
    (1, 1, 0, 1, 8),
    (1, 1, 1, 0, 6),
    (1, 1, 1, 1, 4),
    (1, 0, 0, 0, 16),
    (1, 0, 0, 1, 4),
    (1, 0, 1, 0, 16),
    (1, 0, 1, 1, 14),
    (0, 1, 0, 0, 15),
    (0, 1, 1, 0, 15),
    (0, 0, 0, 0, 10),
    (0, 0, 1, 1, 20),
]


def world(table=TABLE) -> dict[str, np.ndarray]:
    rows = np.repeat(np.array([row[:4] for row in table]), [row[4] for row in table], axis=0).astype(bool)
    return {
        # Known at .75 and just not: the ends that the threshold parts.
        "strong_confidence": np.where(rows[:, 0], 0.75, 0.7499),
        "weak_confidence": np.where(rows[:, 1], 0.75, 0.7499),
        "student_wrong": rows[:, 2],
        "baseline_wrong": rows[:, 3],
    }


def test_areas_are_counted_right_and_wrong():
    assert deception(**world()).areas == (
        Area(strong_known=True, weak_known=True, right=90, wrong=10),
        Area(strong_known=True, weak_known=False, right=20, wrong=30),
        Area(strong_known=False, weak_known=True, right=15, wrong=15),
        Area(strong_known=False, weak_known=False, right=10, wrong=20),
    )


def test_scores_worked_out_by_hand():
    found = deception(**world())
    assert found.threshold == 0.75
    # Wrong within S_k: 10 + 30, of which 30 within W_uk.
    assert (found.ds_errors.value, found.ds_errors.n) == (pytest.approx(30 / 40), 40)
    # Made wrong by the conflict within S_k: 6 + 16.
    assert (found.ds_conflict_tax.value, found.ds_conflict_tax.n) == (pytest.approx(16 / 22), 22)
    # S_k: 100 + 50.
    assert (found.base_rate.value, found.base_rate.n) == (pytest.approx(50 / 150), 150)
    assert (found.lift.value, found.lift.n) == (pytest.approx(2.25), 40)
    # Without conflict 12 + 18 wrong within S_k: .75 - .6; the lesser denominator is 30.
    assert (found.difference_to_no_conflict.value, found.difference_to_no_conflict.n) == (pytest.approx(0.15), 30)


def test_standard_errors_are_those_of_shares():
    found = deception(**world())
    # sqrt(p (1 - p) / n), of .75 of 40 and 1/3 of 150
    assert found.ds_errors.standard_error == pytest.approx(0.0685, rel=0.08)
    assert found.base_rate.standard_error == pytest.approx(0.0385, rel=0.08)
    for figure in (found.ds_errors, found.ds_conflict_tax, found.base_rate, found.lift):
        assert figure.interval.low < figure.value < figure.interval.high


def test_errors_at_random_have_no_lift():
    rng = np.random.default_rng(0)
    weak, strong = rng.random(20_000), rng.random(20_000)
    found = deception(weak, strong, rng.random(20_000) < 0.3)
    assert found.base_rate.value == pytest.approx(0.75, abs=0.02)
    assert found.lift.interval.low <= 1 <= found.lift.interval.high
    assert found.lift.value == pytest.approx(1, abs=0.05)


def test_a_student_that_is_as_wrong_without_conflict_differs_by_nothing_in_every_replicate():
    inputs = world()
    found = deception(**inputs | {"baseline_wrong": inputs["student_wrong"]})
    difference = found.difference_to_no_conflict
    assert (difference.value, difference.standard_error, difference.interval.low, difference.interval.high) == (0,) * 4
    assert found.ds_conflict_tax == Estimate(None, 0, None, None)


def test_pairing_narrows_the_difference():
    found = deception(**world())
    # Unpaired, the variances .75 * .25 / 40 and .6 * .4 / 30 add up.
    unpaired = np.sqrt(0.75 * 0.25 / 40 + 0.6 * 0.4 / 30)
    assert found.difference_to_no_conflict.standard_error < 0.9 * unpaired


def test_without_a_student_of_no_conflict_its_figures_are_absent():
    found = deception(**world() | {"baseline_wrong": None})
    assert (found.ds_conflict_tax, found.difference_to_no_conflict) == (None, None)
    assert (found.ds_errors.value, found.ds_errors.n) == (pytest.approx(0.75), 40)


@pytest.mark.parametrize(("wrong", "has_value"), [(19, False), (20, True)])
def test_a_score_of_fewer_than_twenty_is_none(wrong, has_value):
    table = [(1, 1, 0, 1, 60), (1, 0, 1, 0, wrong - 5), (1, 1, 1, 0, 5), (0, 0, 1, 1, 50)]
    found = deception(**world(table))
    for figure in (found.ds_errors, found.ds_conflict_tax, found.lift, found.difference_to_no_conflict):
        assert figure.n == wrong
        assert (figure.value is not None, figure.interval is not None) == (has_value,) * 2
    assert found.base_rate.value is not None


def test_what_the_student_of_no_conflict_has_too_few_wrong_of_leaves_no_difference():
    table = [(1, 1, 0, 1, 19), (1, 0, 1, 0, 20), (1, 1, 1, 0, 20)]
    found = deception(**world(table))
    assert found.difference_to_no_conflict == Estimate(None, 19, None, None)
    assert found.ds_errors.value == 0.5


def test_where_the_weak_model_knows_all_there_is_no_lift():
    found = deception(**world([(1, 1, 0, 0, 40), (1, 1, 1, 0, 30)]))
    assert (found.ds_errors.value, found.base_rate.value) == (0, 0)
    assert found.ds_errors.interval == wilson(0, 30).interval
    assert found.lift == Estimate(None, 30, None, None)


def test_all_errors_in_the_blind_spot_is_a_score_of_one_with_a_width():
    found = deception(**world([(1, 1, 0, 0, 40), (1, 0, 1, 0, 30)]))
    assert found.ds_errors.value == 1
    assert found.ds_errors.interval == wilson(30, 30).interval


def test_no_example_has_no_score():
    found = deception(np.zeros(0), np.zeros(0), np.zeros(0, bool), np.zeros(0, bool))
    assert [area.right + area.wrong for area in found.areas] == [0, 0, 0, 0]
    nothing = Estimate(None, 0, None, None)
    assert (found.ds_errors, found.ds_conflict_tax, found.base_rate, found.lift) == (nothing,) * 4


def test_weights_move_the_score_and_leave_the_counts():
    inputs = world()
    heavy = np.where(inputs["weak_confidence"] < 0.75, 2.0, 1.0)
    found = deception(**inputs, weights=heavy)
    # 2 * 30 / (2 * 30 + 10), and 2 * 50 / (2 * 50 + 100)
    assert found.ds_errors.value == pytest.approx(60 / 70)
    assert found.base_rate.value == pytest.approx(0.5)
    assert (found.areas, found.ds_errors.n) == (deception(**inputs).areas, 40)


def test_a_weighted_score_of_one_is_as_wide_as_what_it_is_worth():
    inputs = world([(1, 1, 0, 0, 40), (1, 0, 1, 0, 30)])
    # Of the 30, 20 of weight 1 and 10 of weight 4: 60^2 / (20 + 160) = 20.
    found = deception(**inputs, weights=np.repeat([1.0, 1.0, 4.0], [40, 20, 10]))
    assert found.ds_errors.value == 1
    assert found.ds_errors.interval == wilson(20, 20).interval


def test_equal_weights_change_nothing():
    inputs = world()
    even = deception(**inputs, weights=np.full(210, 0.25))
    assert even.ds_errors.value == pytest.approx(0.75)
    assert even.ds_errors.standard_error == pytest.approx(deception(**inputs).ds_errors.standard_error)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans()),
        max_size=30,
    ),
    st.floats(0.5, 0.95),
)
def test_areas_part_the_examples_and_figures_are_in_range(examples, threshold):
    columns = [np.array(column) for column in zip(*examples, strict=True)] or [np.zeros(0)] * 2 + [
        np.zeros(0, bool)
    ] * 2
    found = deception(*columns, threshold, minimum=1, replicates=30)
    assert sum(area.right + area.wrong for area in found.areas) == len(examples)
    assert sum(area.wrong for area in found.areas) == columns[2].sum()
    for share in (found.ds_errors, found.ds_conflict_tax, found.base_rate):
        assert (share.value is None) == (share.n == 0)
        assert share.value is None or 0 <= share.value <= 1
    assert found.lift.value is None or found.lift.value >= 0
    assert found.difference_to_no_conflict.value is None or -1 <= found.difference_to_no_conflict.value <= 1


def test_sweep_is_each_threshold_by_itself():
    rng = np.random.default_rng(0)
    inputs = rng.random(400), rng.random(400), rng.random(400) < 0.4, rng.random(400) < 0.3
    swept = deception_sweep(*inputs)
    assert [one.threshold for one in swept] == [0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]
    assert swept[3] == deception(*inputs, threshold=0.75)
    # What is known shrinks as the threshold rises.
    assert np.all(np.diff([one.base_rate.n for one in swept]) <= 0)
    few = deception_sweep(*inputs, thresholds=[0.5, 0.99], minimum=1000, replicates=2)
    assert [(one.threshold, one.base_rate.value) for one in few] == [(0.5, None), (0.99, None)]


def test_knows_from_the_threshold_on():
    assert known(np.array([0.74, 0.75, 0.76])).tolist() == [False, True, True]
    assert known(np.array([0.6, 0.61]), 0.61).tolist() == [False, True]


# Sure or not, right or not, and the supervisor sure or not; the first alone is a blind spot.
STUDENT = np.array([0.9, 0.9, 0.9, 0.7, 0.75])
CORRECT = np.array([False, True, False, False, True])
SUPERVISOR = np.array([0.6, 0.6, 0.75, 0.6, 0.74])


def test_blind_spot_is_surely_wrong_where_the_supervisor_is_unsure():
    found = blind_spot_rate(STUDENT, CORRECT, SUPERVISOR)
    assert (found.value, found.n) == (pytest.approx(1 / 5), 5)
    # Among the four where the supervisor is unsure.
    unsure = SUPERVISOR < 0.75
    assert blind_spot_rate(STUDENT[unsure], CORRECT[unsure], SUPERVISOR[unsure]).value == pytest.approx(1 / 4)


def test_exposure_is_that_without_a_truth():
    found = blind_spot_exposure(STUDENT, SUPERVISOR)
    assert found.value == pytest.approx(3 / 5)
    wrong = np.zeros(5, bool)
    assert blind_spot_rate(STUDENT, wrong, SUPERVISOR) == found


def test_blind_spots_can_be_weighted():
    weights = np.array([5.0, 1, 1, 1, 2])
    assert blind_spot_rate(STUDENT, CORRECT, SUPERVISOR, weights=weights).value == pytest.approx(0.5)
    assert blind_spot_exposure(STUDENT, SUPERVISOR, weights=weights).value == pytest.approx(0.8)


def test_arguments_of_other_examples_are_refused():
    with pytest.raises(ValueError, match="one number an example"):
        deception(np.zeros(3), np.zeros(4), np.zeros(3, bool))
    with pytest.raises(ValueError, match="one number an example"):
        deception(np.zeros(3), np.zeros(3), np.zeros(3, bool), np.zeros(2, bool))
