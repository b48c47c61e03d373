"""The loop, on a classifier small enough to work its steps out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.small_training import Calm

from w2s.errors import FailedPrecondition
from w2s.objectives import confidence_targets, row_cross_entropy
from w2s_trainer.loop.course import Curve, Selection
from w2s_trainer.loop.fit import fit


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def close(first, second):
    return all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def by_hand(train, examples, course, loss):
    """The same training as a plain loop over whole batches, without a Trainer."""
    model, _, _ = train(examples, loss, course, name="discarded")
    torch.manual_seed(7)
    model = type(model)(5, examples.targets.shape[1])
    optimizer = torch.optim.AdamW(
        [
            {"params": model.head.parameters(), "lr": course.head_learning_rate},
            {"params": model.body.parameters(), "lr": course.learning_rate},
        ],
        weight_decay=course.weight_decay,
    )
    steps, step = course.steps(len(examples.ids)), 0
    for epoch in range(course.epochs):
        order = np.random.default_rng([course.seed, epoch]).permutation(len(examples.ids)).tolist()
        for low in range(0, len(order), course.batch_size):
            for group, rate in zip(
                optimizer.param_groups, (course.head_learning_rate, course.learning_rate), strict=True
            ):
                group["lr"] = rate * (1 - step / steps)
            micro = examples.micro(order[low : low + course.batch_size])
            logits, targets = model(**micro.inputs), micro.targets["targets"]
            if loss.whole_batch:
                targets = confidence_targets(logits, targets, 0.5)
            optimizer.zero_grad()
            row_cross_entropy(logits, targets).mean().backward()
            optimizer.step()
            step += 1
    return model


@pytest.mark.parametrize("objective", ["cross_entropy", "confidence"])
@pytest.mark.parametrize("budget", [1, 20, 10_000])
def test_any_cut_into_micro_batches_trains_as_a_plain_loop_over_whole_batches(
    objective, budget, request, train, words, course
):
    criterion, examples = request.getfixturevalue(objective), words(classes=3)
    trained, outcome, _ = train(examples, criterion, course(token_budget=budget, weight_decay=0.1))
    expected = by_hand(train, examples, course(token_budget=budget, weight_decay=0.1), criterion)
    assert outcome.steps == 3 * math.ceil(50 / 8)
    assert close(weights(trained), weights(expected))


def test_the_whole_optimiser_batch_sets_the_confidence_targets(train, words, course, confidence):
    train(words(rows=48), confidence, course(token_budget=1))
    assert confidence.seen == 8


def test_the_second_pass_sees_the_dropout_of_the_first(train, words, course, confidence):
    seen = []
    original = confidence.terms

    def terms(outputs, targets, progress):
        seen.append(torch.equal(targets["first"], outputs))
        return original(outputs, targets, progress)

    prepare = confidence.prepare
    confidence.prepare = lambda o, t, p: {**prepare(o, t, p), "first": o}
    confidence.terms = terms
    train(words(), confidence, course(token_budget=12), dropout=0.5)
    assert len(seen) > 50
    assert all(seen)


@pytest.mark.parametrize("at", [1, 6, 7, 8, 14, 20])
@pytest.mark.parametrize("objective", ["cross_entropy", "confidence"])
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(at, objective, request, train, words, course, calm):
    criterion = request.getfixturevalue(objective)
    settings = course(token_budget=20, schedule="cosine", warmup_fraction=0.2)
    whole, _, _ = train(words(), criterion, settings, name="whole", dropout=0.3)
    _, stopped, said = train(words(), criterion, settings, name="cut", dropout=0.3, control=calm(stop_at=at))
    assert stopped.stopped
    assert stopped.steps == at
    assert said[-1][:2] == ("checkpoint", at)
    resumed, outcome, said = train(words(), criterion, settings, name="cut", dropout=0.3)
    assert (outcome.stopped, outcome.steps) == (False, 21)
    assert said[0][1] == at + 1
    assert same(weights(resumed), weights(whole))


def test_asked_to_stop_after_the_last_step_a_training_is_finished(train, words, course, cross_entropy, calm):
    _, outcome, _ = train(words(), cross_entropy, course(), control=calm(stop_at=21))
    assert not outcome.stopped


def test_only_the_last_checkpoints_are_kept(train, words, course, cross_entropy, calm, checkpoints):
    train(words(), cross_entropy, course(), control=calm(save=True))
    assert checkpoints()._names() == ["main-step-000000020", "main-step-000000021"]


def test_what_a_killed_process_left_is_in_no_checkpoint(train, words, course, cross_entropy, calm, checkpoints):
    left = checkpoints().scratch / "checkpoint-1" / ".tmpAbCdEf"
    left.parent.mkdir(parents=True)
    left.write_text("half of the weights")
    train(words(), cross_entropy, course(), control=calm(stop_at=1))
    kept = checkpoints().latest()
    assert kept.name == "main-step-000000001"
    assert not list(kept.rglob(".tmp*"))


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(train, words, course, cross_entropy, calm, checkpoints):
    whole, _, _ = train(words(), cross_entropy, course(), name="whole")
    train(words(), cross_entropy, course(), control=calm(save=True))
    last = checkpoints().latest()
    (last / "trained.safetensors").write_bytes(b"half of it")
    assert checkpoints().latest().name == "main-step-000000020"
    resumed, outcome, _ = train(words(), cross_entropy, course())
    assert outcome.steps == 21
    assert same(weights(resumed), weights(whole))


def test_a_loss_that_is_no_number_stops_before_it_is_trained_on(train, words, course, cross_entropy):
    examples = words()
    examples.features[33] = math.nan
    with pytest.raises(FailedPrecondition, match=r"at step \d+ the loss is nan .* row-33"):
        train(examples, cross_entropy, course(batch_size=4))


def test_a_gradient_that_is_no_number_stops_too(train, words, course, cross_entropy):
    terms = cross_entropy.terms
    # Finite itself, with an infinite slope.
    cross_entropy.terms = lambda o, t, p: {
        "odd": terms(o, t, p)["cross_entropy"] + (o - o.detach()).abs().sqrt().sum(1)
    }
    with pytest.raises(FailedPrecondition, match="gradient's norm nan"):
        train(words(), cross_entropy, course())


def test_reports_losses_rates_and_accuracy(train, words, course, cross_entropy):
    _, outcome, said = train(words(), cross_entropy, course())
    stages = {stage for stage, *_ in said}
    assert stages == {"train"}
    _stage, step, total, figures = said[-1]
    assert (step, total) == (21, 21)
    assert figures.keys() == {
        "loss", "label_accuracy", "examples_per_second", "tokens_per_second", "learning_rate", "grad_norm",
    }  # fmt: skip
    assert figures["loss"] == pytest.approx(outcome.train_loss)
    assert 0 < figures["loss"] < math.log(2)
    assert figures["learning_rate"] == pytest.approx(0.01 / 21)
    assert figures["tokens_per_second"] > figures["examples_per_second"] > 0


def test_the_first_reported_loss_is_that_of_the_untrained_model(train, words, course, cross_entropy):
    examples = words(rows=8)
    _, _, said = train(examples, cross_entropy, course(epochs=1))
    torch.manual_seed(7)
    untrained, _, _ = train(examples, cross_entropy, course(epochs=1, learning_rate=1e-9, head_learning_rate=1e-9))
    micro = examples.micro(list(range(8)))
    expected = row_cross_entropy(untrained(**micro.inputs), micro.targets["targets"]).mean()
    assert said[0][3]["loss"] == pytest.approx(float(expected), abs=1e-6)


def test_curves_are_scored_evenly_and_the_best_weights_are_kept(train, words, course, cross_entropy):
    examples, held = words(), words(seed=1)
    # Held-out labels of chance: somewhere on the way the agreement is greatest.
    held.targets = held.targets[torch.randperm(50)]
    curve = Curve({"label_accuracy": "heldout_agreement"}, held, cross_entropy)
    options = {"curves": [curve], "selection": Selection("heldout_agreement")}
    settings = course(evaluations=7)
    model, outcome, said = train(examples, cross_entropy, settings, **options)
    scored = {step: figures["heldout_agreement"] for stage, step, _, figures in said if stage == "evaluate"}
    assert list(scored) == [3, 6, 9, 12, 15, 18, 21]
    assert outcome.selected_step == max(scored, key=scored.get)
    micro = held.micro(list(range(50)))
    accuracy = (model(**micro.inputs).argmax(1) == held.targets.argmax(1)).float().mean()
    assert float(accuracy) == pytest.approx(max(scored.values()))


def test_patience_ends_a_training_early(train, words, course, cross_entropy):
    held = words(seed=1)
    held.targets = held.targets.flip(1)
    options = {
        "curves": [Curve({"label_accuracy": "heldout_agreement"}, held, cross_entropy)],
        "selection": Selection("heldout_agreement", patience=2),
    }
    _model, outcome, _ = train(words(), cross_entropy, course(epochs=20, evaluations=20), **options)
    # Agreement with flipped labels only falls: the first is the best, and two more are waited for.
    assert (outcome.selected_step, outcome.steps) == (7, 21)


def test_a_training_that_patience_ended_goes_on_no_further_when_it_is_begun_again(
    train, words, course, cross_entropy, calm
):
    held = words(seed=1)
    held.targets = held.targets.flip(1)
    options = {
        "curves": [Curve({"label_accuracy": "heldout_agreement"}, held, cross_entropy)],
        "selection": Selection("heldout_agreement", patience=2),
    }
    settings = course(epochs=20, evaluations=20)
    first, _, _ = train(words(), cross_entropy, settings, control=calm(save=True), **options)
    # Its process was killed before the model was stored.
    second, outcome, _ = train(words(), cross_entropy, settings, control=calm(save=True), **options)
    assert (outcome.selected_step, outcome.steps) == (7, 21)
    assert same(weights(second), weights(first))


def test_the_best_weights_survive_an_interruption(train, words, course, cross_entropy, calm):
    held = words(seed=1)
    held.targets = held.targets.flip(1)
    options = {
        "curves": [Curve({"label_accuracy": "heldout_agreement"}, held, cross_entropy)],
        "selection": Selection("heldout_agreement"),
    }
    settings = course(evaluations=7)
    whole, expected, _ = train(words(), cross_entropy, settings, name="whole", **options)
    train(words(), cross_entropy, settings, name="cut", control=calm(stop_at=10), **options)
    resumed, outcome, _ = train(words(), cross_entropy, settings, name="cut", **options)
    assert outcome.selected_step == expected.selected_step == 3
    assert same(weights(resumed), weights(whole))


def test_what_is_frozen_below_the_first_trained_weight_draws_no_dropout(words, course, cross_entropy, checkpoints):
    examples = words()
    torch.manual_seed(7)
    seen = {"frozen": set(), "trained": set()}
    blocks = {
        name: torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.Dropout(0.5)).requires_grad_(name == "trained")
        for name in seen
    }
    for name, block in blocks.items():
        block[1].register_forward_hook(lambda module, *_, name=name: seen[name].add(module.training))

    class Stack(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = torch.nn.ModuleList(blocks.values())
            self.head = torch.nn.Linear(5, 2)

        def forward(self, features, mask):
            mean = (features * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            return self.head(self.blocks[1](self.blocks[0](mean)))

    model, curve = Stack(), Curve({"label_accuracy": "agreement"}, examples, cross_entropy)
    fit(
        model, [], examples, cross_entropy, course(evaluations=2),
        device=torch.device("cpu"), checkpoints=checkpoints(), control=Calm(), report=lambda *_: None, curves=[curve],
    )  # fmt: skip
    assert seen == {"frozen": {False}, "trained": {True, False}}


def test_rates_are_those_of_training_alone(monkeypatch, train, words, course, cross_entropy):
    clock = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: clock)

    class Timed(type(cross_entropy)):
        """A step takes a second, and scoring half an hour."""

        def terms(self, outputs, targets, progress):
            nonlocal clock
            clock += 1
            return super().terms(outputs, targets, progress)

    class Slow(Timed):
        def measures(self, outputs, targets):
            nonlocal clock
            clock += 1800
            return super().measures(outputs, targets)

    curve = Curve({"label_accuracy": "agreement"}, words(seed=1), Slow())
    # One micro-batch a step.
    _, _, said = train(words(rows=48), Timed(), course(token_budget=10_000, evaluations=9), curves=[curve])
    assert sum(stage == "evaluate" for stage, *_ in said) == 9
    assert {figures["examples_per_second"] for stage, _, _, figures in said if stage == "train"} == {8.0}
