from __future__ import annotations

from math import log

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from w2s.metrics import apply_temperature, fit_temperature


def test_one_margin_is_cooled_to_its_accuracy():
    # Right on 3 of 4 with a margin of 2: sigmoid(2 / T) = .75, so T = 2 / ln 3.
    logits = np.array([[2.0, 0.0]] * 4)
    assert fit_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(2 / log(3))


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_finds_the_temperature_that_labels_were_drawn_with(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=(20_000, 4))
    labels = (logits / true + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.05)


def test_is_the_minimum_that_scipy_finds():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(200, 3)) * 4, rng.integers(3, size=200)

    def loss(log_t: float) -> float:
        return -log_softmax(logits / np.exp(log_t), axis=1)[np.arange(200), labels].mean()

    expected = np.exp(minimize_scalar(loss, bounds=(log(0.05), log(20)), method="bounded", options={"xatol": 1e-9}).x)
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("label", "end"), [(0, 0.05), (1, 20)], ids=["always right", "always wrong"])
def test_ends_at_its_range(label, end):
    assert fit_temperature(np.array([[1.0, 0.0]]), np.array([label])) == pytest.approx(end)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_logits_of_any_size_stay_finite(factor):
    rng = np.random.default_rng(2)
    found = fit_temperature(rng.normal(size=(50, 3)) * factor, rng.integers(3, size=50))
    assert 0.05 <= found <= 20


def test_a_tempered_model_predicts_the_same():
    logits = np.array([[1.0, 3.0], [2.0, 0.5]], dtype=np.float32)
    np.testing.assert_array_equal(apply_temperature(logits, 2.0), [[0.5, 1.5], [1.0, 0.25]])


@pytest.mark.parametrize(
    ("logits", "labels"),
    [(np.zeros((0, 2)), []), (np.zeros(3), [0, 0, 0]), (np.zeros((3, 2)), [0]), (np.array([[np.inf, 0]]), [0])],
)
def test_refuses_what_has_no_temperature(logits, labels):
    with pytest.raises(ValueError, match="logits must be"):
        fit_temperature(logits, np.array(labels, dtype=int))


@pytest.mark.parametrize("temperature", [0, -1, np.nan])
def test_refuses_to_divide_by_nothing(temperature):
    with pytest.raises(ValueError, match="positive"):
        apply_temperature(np.zeros((1, 2)), temperature)


def test_rows_count_alike_where_some_are_surer_than_right():
    # Right on 3 of 4 with a margin of 1, and on 2 of 3 with one of 8: no T is right for both, and the best is between.
    margins, right = np.array([1.0] * 4 + [8.0] * 3), np.array([0, 0, 0, 1, 0, 0, 1])
    logits = np.stack([margins, np.zeros(7)], axis=1)

    def loss(log_t: float) -> float:
        return -log_softmax(logits / np.exp(log_t), axis=1)[np.arange(7), right].mean()

    expected = np.exp(minimize_scalar(loss, bounds=(log(0.05), log(20)), method="bounded", options={"xatol": 1e-9}).x)
    assert 1 / log(3) < expected < 8 / log(2)
    assert fit_temperature(logits, right) == pytest.approx(expected, rel=1e-5)
    # Of huge logits too, whose exponentials would not be finite.
    assert fit_temperature(logits * 1e3, right) == pytest.approx(20)


def test_a_temperature_may_be_below_one():
    np.testing.assert_array_equal(apply_temperature(np.array([[1.0, 3.0]]), 0.5), [[2.0, 6.0]])
