from __future__ import annotations

import random

import numpy as np
import torch

from w2s_trainer.loop.randomness import load_states, save_states, seed_apart


def draws():
    return random.gauss(0, 1), float(np.random.normal()), torch.rand(2).tolist()


def test_every_generator_goes_on_where_it_was(tmp_path):
    seed_apart(3, 1)
    # A normal number leaves a second one behind, which the state holds, too.
    draws()
    save_states(tmp_path, 0, 1)
    expected = draws()
    seed_apart(4, 0)
    load_states(tmp_path, 0, 1)
    assert draws() == expected


def test_the_first_process_is_seeded_as_one_alone_and_the_others_apart():
    found = []
    for seed, rank in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]:
        seed_apart(seed, rank)
        found.append(torch.initial_seed())
    assert found[0] == 0
    assert found[3] == 1
    assert len(set(found)) == 5
