"""Two processes of one training, on two nodes: they have no folder in common but the store."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from support.small_training import CrossEntropy, checkpoints, course, train, words
from support.two_nodes import ROWS, in_two_processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def ranks(folder):
    return in_two_processes(folder)


def same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)


def alone(folder, name, settings):
    return train(checkpoints(folder, name), words(ROWS), CrossEntropy(), settings)


@pytest.mark.parametrize(("name", "settings"), [("plain", {"max_grad_norm": 0.1}), ("sharded", {})])
def test_two_processes_train_as_one_and_tell_of_all_rows(name, settings, ranks, folder):
    model, _, expected = alone(folder, f"{name}-alone", course(**settings))
    told = ranks[0][name]["said"]
    assert ranks[1][name]["said"] == []
    assert len(told) == len(expected) == 21
    for (_, step, _, figures), (_, same_step, _, wanted) in zip(told, expected, strict=True):
        assert step == same_step
        for figure in ("loss", "label_accuracy", "grad_norm"):
            assert figures[figure] == pytest.approx(wanted[figure], abs=1e-5)
    for key, parameter in model.named_parameters():
        np.testing.assert_allclose(ranks[0][name]["weights"][key], parameter.detach().numpy(), atol=1e-5)


def test_processes_draw_dropout_apart(ranks):
    assert ranks[0]["seed"] == 0 != ranks[1]["seed"]


def test_each_process_goes_on_with_its_own_dropout(ranks):
    assert [rank["cut"]["steps"] for rank in ranks] == [4, 4]
    assert same(ranks[0]["resumed"]["weights"], ranks[1]["resumed"]["weights"])
    assert same(ranks[0]["resumed"]["weights"], ranks[0]["whole"]["weights"])


def test_another_number_of_processes_goes_on_and_says_that_dropout_is_another(ranks, folder, caplog):
    with caplog.at_level(logging.WARNING, "w2s_trainer"):
        _, outcome, _ = alone(folder, "cut", course(token_budget=20))
    assert outcome.steps == 21
    assert "the checkpoint is one of 2 processes, and 1 go on from it" in caplog.text


def test_all_tell_when_one_has_waited_long(ranks):
    assert len(ranks[0]["impatient"]["said"]) == 21
