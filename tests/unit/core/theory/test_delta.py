"""Against the closed form, and figures of a simulation made by other code at d = 500, n = 100,000."""

from __future__ import annotations

import numpy as np
import pytest

from w2s.theory.delta import (
    Setting,
    best_cosine,
    cosines_along,
    draw_vectors,
    limit_cosine,
    preference_step,
    tuning_step,
)

DIMENSIONS, INPUTS = 60, 60_000
TIMES = np.linspace(0, 3, 301)


def run(setting, step, seed=0):
    rng = np.random.default_rng(seed)
    vectors = draw_vectors(setting, DIMENSIONS, rng)
    return cosines_along(vectors, step(vectors, rng.standard_normal((INPUTS, DIMENSIONS))), TIMES)


def test_vectors_have_the_cosines_of_their_setting():
    setting = Setting(0.8, 0.6, 0.3, 0.9)
    v = draw_vectors(setting, 50, np.random.default_rng(1))
    assert [float(w @ v.truth) for w in (v.student, v.chosen, v.rejected)] == pytest.approx([0.8, 0.6, 0.3])
    assert [np.linalg.norm(w) for w in vars(v).values()] == pytest.approx([1] * 4)
    # Errors have cosine rho^2 with each other: 0.81 * sqrt(1 - 0.64) * sqrt(1 - 0.36) + 0.8 * 0.6.
    assert float(v.student @ v.chosen) == pytest.approx(0.8 * 0.6 + 0.81 * 0.6 * 0.8)
    with pytest.raises(ValueError, match="5 dimensions"):
        draw_vectors(setting, 4, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("setting", "best", "limit"),
    [
        (Setting(0.8, 0.6, 0.3), 0.8046, 0.23),
        (Setting(0.8, 0.6, 0.5), 0.8006, 0.09),
        (Setting(0.8, 0.6, 0.6), 0.8, 0.0),
        (Setting(0.8, 0.3, 0.6), 0.8, -0.23),
        (Setting(0.8, 0.3, 0.1), 0.8017, 0.14),
    ],
)
def test_the_closed_form_is_that_of_the_published_analysis(setting, best, limit):
    assert best_cosine(setting) == pytest.approx(best, abs=5e-5)
    assert limit_cosine(setting) == pytest.approx(limit, abs=6e-3)


@pytest.mark.parametrize("chosen", [0.6, 0.9])
@pytest.mark.parametrize("rejected", [0.3, 0.5])
def test_preferences_reach_what_theory_says(chosen, rejected):
    setting = Setting(0.8, chosen, rejected)
    assert run(setting, preference_step).max() == pytest.approx(best_cosine(setting), abs=5e-3)


@pytest.mark.parametrize("setting", [Setting(0.8, 0.6, 0.6), Setting(0.8, 0.3, 0.6)])
def test_ties_and_reversed_pairs_teach_nothing(setting):
    assert run(setting, preference_step).max() <= 0.8 + 2e-3


def test_with_shared_errors_fine_tuning_hurts_and_the_delta_helps():
    setting = Setting(0.8, 0.6, 0.3, shared=0.9)
    assert run(setting, preference_step).max() == pytest.approx(0.845, abs=0.01)
    assert run(setting, tuning_step)[1:].max() < 0.8


def test_with_independent_errors_fine_tuning_is_a_better_ensemble():
    setting = Setting(0.8, 0.6, 0.3)
    assert run(setting, tuning_step).max() > run(setting, preference_step).max()
