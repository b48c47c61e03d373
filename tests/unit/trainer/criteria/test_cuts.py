"""What holds for every criterion: the mean does not depend on how a batch is cut, and gradients go to outputs alone."""

from __future__ import annotations

import pytest
import torch

ROWS = 7
CONFLICT = {"conflict": {"weight": 0.7}}
SFT = {"conflict": {"term": "CONFLICT_TERM_SFT"}}
CLASSES = {
    "cross_entropy": {},
    "auxiliary_confidence": {"alpha_max": 0.6},
    "product_confidence": {},
    "confidence_window": {"radius": 0.3},
}
PREFERENCES = [
    ("dpo", {}),
    ("dpo", {"length_normalized": True, "label_smoothing": 0.1, "sft_weight": 0.3, **CONFLICT}),
    ("dpo", SFT),
    ("simpo", CONFLICT),
    ("simpo", SFT),
    ("orpo", {}),
]
CASES = [
    *CLASSES.items(),
    ("reward_modeling", {"harden": True, "margin": 0.5, "centering": 0.1, **CONFLICT}),
    ("sft", {}),
    ("sft", {"averaging": "AVERAGING_COMPLETIONS"}),
    ("language_modeling", {}),
    *PREFERENCES,
]


def batch(name):
    """Outputs that want a gradient, and targets, of seven rows."""
    draw = torch.Generator().manual_seed(3)

    def numbers(*shape):
        return torch.randn(*shape, generator=draw)

    counts = torch.randint(1, 9, (ROWS, 2), generator=draw).float()
    if name in CLASSES:
        outputs = numbers(ROWS, 3)
        targets = {"targets": numbers(ROWS, 3).softmax(dim=-1), "truth": torch.arange(ROWS) % 3}
    elif name == "reward_modeling":
        outputs = numbers(2 * ROWS, 1)
        targets = {"preferences": torch.rand(ROWS, generator=draw), "truth": torch.arange(ROWS) % 2}
    elif name in ("sft", "language_modeling"):
        outputs, targets = -numbers(ROWS).exp(), {"counts": counts[:, 0]}
    else:
        outputs = -numbers(2 * ROWS).exp()
        targets = {"counts": counts, "correct": torch.arange(ROWS) % 2 == 0, "reference": -numbers(ROWS, 2).exp()}
    return outputs.requires_grad_(), targets


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_batch_has_the_same_loss_and_gradient_however_it_is_cut(criterion_of, mean_of, name, settings):
    found = criterion_of(**{name: settings})
    outputs, targets = batch(name)
    whole = mean_of(found, outputs, targets, [list(range(ROWS))], progress=0.1)
    cut = mean_of(found, outputs, targets, [[5, 1], [0], [6, 4, 3, 2]], progress=0.1)
    assert cut.item() == pytest.approx(whole.item(), rel=1e-6)
    gradients = [torch.autograd.grad(loss, outputs)[0] for loss in (whole, cut)]
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_terms_weights_and_measures_are_float32_rows_whatever_the_outputs_are(criterion_of, name, settings):
    found = criterion_of(**{name: settings})
    outputs, targets = batch(name)
    outputs = outputs.bfloat16()
    prepared = {**targets, **found.prepare(outputs.detach(), targets, 0.5)}
    terms, measures = found.terms(outputs, prepared, 0.5), found.measures(outputs, prepared)
    for values in [*terms.values(), *measures.values(), found.weights(targets)]:
        assert (values.dtype, values.shape) == (torch.float32, (ROWS,))
    assert not any(values.requires_grad for values in measures.values())
    assert all(values.requires_grad for values in terms.values())


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_no_gradient_reaches_what_a_student_is_compared_with(criterion_of, name, settings):
    found = criterion_of(**{name: settings})
    outputs, targets = batch(name)
    compared = {key: targets[key].requires_grad_() for key in ("reference",) if key in targets}
    prepared = found.prepare(outputs, targets, 0.5)
    assert not any(values.requires_grad for values in prepared.values())
    sum(found.terms(outputs, {**targets, **prepared}, 0.5).values()).sum().backward()
    assert outputs.grad.abs().sum() > 0
    assert all(values.grad is None for values in compared.values())


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_ground_truth_that_is_not_known_is_not_measured(criterion_of, name, settings):
    found = criterion_of(**{name: settings})
    outputs, targets = batch(name)
    known = set(found.measures(outputs, targets))
    blind = {key: values for key, values in targets.items() if key not in ("truth", "correct")}
    assert set(found.measures(outputs, blind)) == known - {"truth_accuracy"}
    assert ("truth_accuracy" in known) == (name not in ("sft", "language_modeling"))


def test_only_the_auxiliary_confidence_loss_reads_a_whole_batch(criterion_of):
    whole = {name for name, settings in CASES if criterion_of(**{name: settings}).whole_batch}
    assert whole == {"auxiliary_confidence"}
