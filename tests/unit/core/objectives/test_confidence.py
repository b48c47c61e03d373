from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from w2s.objectives import (
    auxiliary_confidence_loss,
    confidence_targets,
    cross_entropy,
    harden_to_prior,
    linear_ramp,
    row_cross_entropy,
    step_ramp,
)

# Four rows: p_0 = 0.8, 0.6, 0.4, 0.3, and weak labels whose mean w_1 is 0.25.
PROBABILITIES = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.4, 0.6], [0.3, 0.7]])
WEAK = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.9, 0.1], [0.5, 0.5]])
# Their lower quartile, 0.3 + 0.75 x 0.1 = 0.375, is the threshold.
HARDENED = [0, 0, 0, 1]


def published_rule(p0: np.ndarray, pi1: float) -> list[int]:
    """The classes of openai/weak-to-strong's loss.py: 0 iff p_0 >= quantile_{pi_1}(p_0)."""
    ranked = np.sort(p0.astype(np.float64))
    position = pi1 * (len(p0) - 1)
    low, high = int(np.floor(position)), int(np.ceil(position))
    threshold = ranked[low] + (position - low) * (ranked[high] - ranked[low])
    return [0 if p >= threshold else 1 for p in p0.astype(np.float64)]


def binary(p0) -> torch.Tensor:
    p0 = torch.as_tensor(p0)
    return torch.stack([p0, 1 - p0], dim=1)


@pytest.mark.parametrize(
    ("progress", "warmup", "weight"),
    [(0, 0.2, 0), (0.1, 0.2, 0.5), (0.2, 0.2, 1), (0.7, 0.2, 1), (0, 0, 1), (0.25, 1, 0.25)],
)
def test_ramp_rises_linearly_to_one(progress, warmup, weight):
    assert linear_ramp(progress, warmup) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("progress", "weight"),
    # As published: a slow start, and at s_0 = 0.1 a jump from 0.1 to 1.
    [(0, 0), (0.05, 0.05), (0.1, 0.1), (0.100001, 1), (1, 1)],
)
def test_published_ramp_jumps(progress, weight):
    assert step_ramp(progress, 0.1) == pytest.approx(weight)


@given(
    st.lists(st.integers(0, 16), min_size=2, max_size=12).filter(lambda ps: len(set(ps)) > 1),
    st.integers(0, 64),
)
def test_two_classes_follow_the_published_rule_with_ties_at_the_threshold(sixteenths, sixtyfourths):
    # Such fractions are exact in fp32, so that ties are ties in both computations.
    p0, pi1 = np.array(sixteenths, dtype=np.float32) / 16, sixtyfourths / 64
    hardened = harden_to_prior(binary(p0), torch.tensor([1 - pi1, pi1]), ties=binary(p0))
    assert hardened.argmax(dim=1).tolist() == published_rule(p0, pi1)


@given(st.integers(0, 2**32 - 1), st.integers(2, 64))
def test_two_classes_follow_the_published_rule_on_random_batches(seed, rows):
    rng = np.random.default_rng(seed)
    p0, w1 = rng.random(rows, dtype=np.float32), rng.random(rows, dtype=np.float32)
    expected = published_rule(p0, float(w1.mean(dtype=np.float64)))
    # A row within rounding of the threshold may fall on either side.
    assume(np.diff(np.sort(p0)).min() > 1e-5)
    hardened = harden_to_prior(binary(p0), binary(1 - w1).mean(dim=0), ties=binary(p0)).argmax(dim=1).tolist()
    assert hardened == expected


def test_each_class_is_thresholded_at_its_own_prior():
    # Thresholds: median of .3 .4 .5 .6 = .45; upper quartiles of .2 .3 .3 .4 and .2 .2 .2 .4 = .325 and .25.
    # Margins: (.05 -.025 -.05), (-.05 .075 -.05), (.15 -.125 -.05), (-.15 -.025 .15).
    own = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.6, 0.2, 0.2], [0.3, 0.3, 0.4]])
    hardened = harden_to_prior(own, torch.tensor([0.5, 0.25, 0.25]), ties=own)
    assert hardened.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_a_class_that_the_prior_gives_nothing_wins_no_row():
    # Quantiles .6 of .6 .5 .3 .2 .35 = .41, .4 of .3 .4 .6 .7 .35 = .38, 1 of p_2 = .3: the last row's margins are
    # -.06, -.03 and 0.
    own = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.35, 0.35, 0.3]])
    hardened = harden_to_prior(own, torch.tensor([0.4, 0.6, 0.0]), ties=own)
    assert hardened.argmax(dim=1)[-1] == 1
    assert hardened[:, 2].sum() == 0


@given(st.permutations(range(4)), st.integers(0, 2**32 - 1))
def test_more_classes_have_no_order(order, seed):
    rng = np.random.default_rng(seed)
    own, weak = (torch.tensor(rng.dirichlet(np.ones(4), size=9)) for _ in range(2))
    hardened = harden_to_prior(own, weak.mean(dim=0), ties=own)
    assert torch.equal(harden_to_prior(own[:, order], weak[:, order].mean(dim=0), ties=own), hardened[:, order])


def test_a_sure_student_that_agrees_with_the_prior_keeps_its_classes():
    classes = torch.tensor([0, 0, 0, 1, 1, 2])
    own = torch.softmax(20 * torch.eye(3)[classes] + torch.linspace(0, 1, 18).reshape(6, 3), dim=1)
    hardened = harden_to_prior(own, torch.tensor([1 / 2, 1 / 3, 1 / 6]), ties=own)
    assert hardened.argmax(dim=1).tolist() == classes.tolist()


@pytest.mark.parametrize("classes", [2, 3])
def test_weak_labels_decide_where_the_student_ranks_nothing(classes):
    uniform = torch.full((2, classes), 1 / classes)
    weak = torch.tensor([[0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])[:, :classes]
    assert harden_to_prior(uniform, weak.mean(dim=0), ties=weak).argmax(dim=1).tolist() == [1, 0]


def test_loss_of_a_batch_worked_out_by_hand():
    # With a = 1/2 the targets are (.95 .05), (.85 .15), (.95 .05), (.25 .75):
    # .95 ln 1/.8 + .05 ln 1/.2 = .2924583    .85 ln 1/.6 + .15 ln 1/.4 = .5716454
    # .95 ln 1/.4 + .05 ln 1/.6 = .8960175    .25 ln 1/.3 + .75 ln 1/.7 = .5684994
    loss = auxiliary_confidence_loss(PROBABILITIES.log(), WEAK, alpha=0.5)
    assert loss.item() == pytest.approx(2.3286206 / 4, abs=1e-6)


@pytest.mark.parametrize(("alpha", "targets"), [(0.0, WEAK), (1.0, torch.eye(2)[HARDENED])], ids=["none", "all"])
def test_alpha_mixes_from_the_weak_labels_to_the_hardened_predictions(alpha, targets):
    logits = PROBABILITIES.log()
    torch.testing.assert_close(
        auxiliary_confidence_loss(logits, targets=WEAK, alpha=alpha), cross_entropy(logits, targets)
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_a_batch_in_parts_has_the_loss_and_gradient_of_the_whole(classes):
    torch.manual_seed(0)
    inputs, weak = torch.randn(12, 5), torch.softmax(torch.randn(12, classes), dim=1)
    head = torch.nn.Linear(5, classes)
    whole = auxiliary_confidence_loss(head(inputs), weak, alpha=0.4)
    whole.backward()
    gradient, head.weight.grad = head.weight.grad, None

    with torch.no_grad():
        targets = confidence_targets(torch.cat([head(part) for part in inputs.split(5)]), weak, alpha=0.4)
    losses = [
        row_cross_entropy(head(part), rows).sum() / 12
        for part, rows in zip(inputs.split(5), targets.split(5), strict=True)
    ]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(sum(losses), whole)
    torch.testing.assert_close(head.weight.grad, gradient)


@pytest.mark.parametrize("classes", [2, 3])
def test_parts_with_thresholds_of_their_own_would_differ(classes):
    torch.manual_seed(0)
    logits, weak = torch.randn(12, classes), torch.softmax(torch.randn(12, classes), dim=1)
    apart = [confidence_targets(z, w, 1.0) for z, w in zip(logits.split(4), weak.split(4), strict=True)]
    assert not torch.equal(torch.cat(apart), confidence_targets(logits, weak, 1.0))


def test_a_batch_of_one_row_takes_its_weak_label():
    targets = confidence_targets(torch.tensor([[3.0, -3.0]]), torch.tensor([[0.2, 0.8]]), alpha=1.0)
    assert targets.tolist() == [[0.0, 1.0]]


def test_bf16_logits_at_their_extremes_give_a_finite_loss_and_gradient():
    logits = torch.tensor([[3e38, -3e38], [-3e38, 3e38], [0.0, 0.0]], dtype=torch.bfloat16).requires_grad_()
    loss = auxiliary_confidence_loss(logits / 1e34, torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]), alpha=0.5)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_no_gradient_flows_through_the_hardened_predictions():
    logits = PROBABILITIES.log().requires_grad_()
    auxiliary_confidence_loss(logits, WEAK, alpha=0.5).backward()
    fixed = 0.5 * WEAK.numpy().astype(np.float64) + 0.5 * np.eye(2)[HARDENED]

    def loss(z: np.ndarray) -> float:
        return -(fixed * (z - np.log(np.exp(z).sum(axis=1, keepdims=True)))).sum() / len(z)

    z, step = logits.detach().numpy().astype(np.float64), 1e-5
    bumps = np.eye(z.size).reshape(-1, *z.shape) * step
    slopes = [(loss(z + bump) - loss(z - bump)) / (2 * step) for bump in bumps]
    np.testing.assert_allclose(logits.grad.flatten().numpy(), slopes, atol=1e-6)


def test_a_students_classes_are_ranked_by_its_probabilities_and_not_by_its_logits():
    logits = torch.tensor([[0.0, 1.0], [0.0, 3.0], [4.0, 8.0], [1.0, 0.0]])
    even = torch.full((4, 2), 0.5)
    # z_0 - z_1 is -1, -3, -4 and 1: the upper half are the first row and the last.
    assert confidence_targets(logits, even, 1.0).argmax(dim=1).tolist() == [0, 1, 1, 0]


def test_two_rows_may_have_three_classes():
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])
    hardened = harden_to_prior(probabilities, torch.tensor([0.5, 0.0, 0.5]), ties=probabilities)
    assert hardened.argmax(dim=1).tolist() == [0, 2]
