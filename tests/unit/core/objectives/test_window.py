from __future__ import annotations

import pytest
import torch

from w2s.objectives import confidence_window_loss, median_radius, row_cross_entropy

# Confidences .75, .6, .9.
LOGITS = torch.tensor([[0.25, 0.75], [0.6, 0.4], [0.9, 0.1]]).log()
WEAK = torch.tensor([[0.5, 0.5], [0.3, 0.7], [0.1, 0.9]])


def test_only_rows_near_chance_count_and_the_mean_is_over_all():
    # Within .5 + .15 is the second row alone: .3 ln 1/.6 + .7 ln 1/.4 = .1532477 + .6414035.
    losses = confidence_window_loss(LOGITS, WEAK, radius=0.15)
    assert losses.tolist() == pytest.approx([0, 0.7946512, 0], abs=1e-6)
    assert losses.mean().item() == pytest.approx(0.7946512 / 3, abs=1e-6)


def test_the_bound_itself_is_outside():
    logits = torch.zeros(1, 2)
    assert confidence_window_loss(logits, WEAK[:1], radius=0.0).tolist() == [0]
    assert confidence_window_loss(logits, WEAK[:1], radius=0.01).tolist() == pytest.approx([0.6931472], abs=1e-6)


def test_a_radius_of_more_than_a_half_is_cross_entropy():
    # As published for runs on the ground truth.
    sure = torch.tensor([[50.0, -50.0]])
    assert torch.equal(confidence_window_loss(sure, WEAK[:1], radius=0.51), row_cross_entropy(sure, WEAK[:1]))


def test_more_classes_have_their_own_chance():
    # Confidences .45 and .55 around 1/3 + .15 = .4833.
    logits = torch.tensor([[0.45, 0.3, 0.25], [0.55, 0.25, 0.2]]).log()
    assert (confidence_window_loss(logits, torch.full((2, 3), 1 / 3), radius=0.15) > 0).tolist() == [True, False]


def test_rows_outside_have_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    confidence_window_loss(logits, WEAK, radius=0.15).sum().backward()
    assert logits.grad[[0, 2]].abs().sum() == 0
    # softmax - w of the row inside
    torch.testing.assert_close(logits.grad[1], torch.tensor([0.3, -0.3]))


def test_a_window_without_rows_is_a_loss_of_zero():
    logits = LOGITS.clone().requires_grad_()
    loss = confidence_window_loss(logits, WEAK, radius=0.0).mean()
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_bf16_logits_at_their_extremes_are_outside_and_finite():
    logits = torch.tensor([[3e4, -3e4]], dtype=torch.bfloat16, requires_grad=True)
    loss = confidence_window_loss(logits, torch.tensor([[0.0, 1.0]]), radius=0.15)
    loss.sum().backward()
    assert loss.tolist() == [0]
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("first", "radius"),
    # |w_1 - .5| = 0, .2, .4; and 0, .1, .2, .4, of which the lower middle one is .1.
    [([0.5, 0.3, 0.9], 0.2), ([0.5, 0.4, 0.3, 0.9], 0.1)],
)
def test_median_radius_is_that_of_the_weak_labels(first, radius):
    first = torch.tensor(first)
    assert median_radius(torch.stack([first, 1 - first], dim=1)) == pytest.approx(radius)
