from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2s.objectives import cross_entropy, product_loss, product_targets

# Student probabilities (.8 .2) and (.25 .75); weak labels (.5 .5) and (.9 .1).
LOGITS = torch.tensor([[0.8, 0.2], [0.25, 0.75]]).log()
WEAK = torch.tensor([[0.5, 0.5], [0.9, 0.1]])


def test_targets_are_the_normalised_product():
    # .4 : .1 = .8 : .2, and .225 : .075 = .75 : .25.
    torch.testing.assert_close(product_targets(LOGITS, WEAK), torch.tensor([[0.8, 0.2], [0.75, 0.25]]))


def test_loss_worked_out_by_hand():
    # .8 ln 1/.8 + .2 ln 1/.2 = .1785149 + .3218876; .75 ln 4 + .25 ln 4/3 = 1.0397208 + .0719205.
    assert product_loss(LOGITS, WEAK).tolist() == pytest.approx([0.5004024, 1.1116413], abs=1e-6)


def test_powers_weigh_the_two():
    # w^2 p^0: .81 : .01; w^0 p^2: .0625 : .5625 = .1 : .9.
    weak_only = product_targets(LOGITS, WEAK, alpha=2.0, beta=0.0)
    torch.testing.assert_close(weak_only[1], torch.tensor([0.81, 0.01]) / 0.82)
    torch.testing.assert_close(product_targets(LOGITS, WEAK, alpha=0.0, beta=2.0)[1], torch.tensor([0.1, 0.9]))


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3), st.floats(0.1, 3))
def test_is_the_published_quotient_where_that_exists(seed, alpha, beta):
    rng = np.random.default_rng(seed)
    p, w = rng.dirichlet(np.ones(3), size=5), rng.dirichlet(np.ones(3), size=5)
    product = p**beta * w**alpha
    expected = torch.tensor(product / product.sum(axis=1, keepdims=True))
    torch.testing.assert_close(product_targets(torch.tensor(p).log(), torch.tensor(w), alpha, beta), expected)


def test_uniform_weak_labels_leave_the_student_where_it_is():
    logits = torch.tensor([[2.0, -1.0, 0.5]], requires_grad=True)
    product_loss(logits, torch.full((1, 3), 1 / 3)).sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 3))


def test_both_sure_of_opposite_classes_is_no_division_by_zero():
    # In fp32 p = (1, 0) and w = (0, 1): the quotient is 0/0. Only class 1 has w > 0.
    logits = torch.tensor([[200.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    weak = torch.tensor([[0.0, 1.0]])
    assert product_targets(logits, weak).tolist() == [[0.0, 1.0]]
    loss = product_loss(logits, weak)
    loss.sum().backward()
    assert loss.tolist() == [200.0]
    assert torch.isfinite(logits.grad).all()


def test_zeros_of_the_weak_labels_are_ignored_at_power_zero():
    torch.testing.assert_close(product_targets(LOGITS, torch.eye(2), alpha=0.0), LOGITS.exp())


def test_no_gradient_flows_through_the_targets():
    logits, again = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    product_loss(logits, WEAK).mean().backward()
    cross_entropy(again, torch.tensor([[0.8, 0.2], [0.75, 0.25]])).backward()
    torch.testing.assert_close(logits.grad, again.grad)
