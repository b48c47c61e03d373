from __future__ import annotations

import pytest
import torch

from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.trainable import build_classifier, build_reward_model
from w2s_trainer.spec import Objective
from w2s_trainer.stages.encode import Encoder
from w2s_trainer.stages.supervised import read

IDS = [f"{n:03}" for n in range(200)]


@pytest.fixture
def encoder(weights, tmp_path):
    """Makes the encoder of a linear probe, one text a batch, and the list of what it has been told."""

    def make(*, bfloat16=False):
        spec = ModelSpec(base=BaseRef(uri="encoder"), max_length=64, linear_probe=True)
        trainable, told = build_classifier(spec, weights("encoder"), ["no", "yes"]), []
        objective = Objective.model_validate({"cross_entropy": {}})
        settings = {"cache": tmp_path, "budget": 1, "bfloat16": bfloat16, "reference": None}
        return Encoder(
            trainable.module, trainable.tokenizer, spec, objective, **settings, tick=lambda *far: told.append(far)
        ), told

    return make


@pytest.fixture(scope="module")
def data(inputs):
    return read(inputs.store, inputs.examples("encoded", ids=IDS, second=None))


def test_a_pass_is_told_of_in_few_ticks_evenly_and_at_its_end(encoder, data):
    encode, told = encoder()
    for _ in range(2):
        encode(data)
    once = [(done, 200) for done in range(4, 201, 4)]
    assert told == [*once, *once]


def test_frozen_features_are_of_the_precision_that_training_has(encoder, data):
    exact, rough = (encoder(bfloat16=bfloat16)[0](data).micro([0, 1]).inputs["features"] for bfloat16 in (False, True))
    assert 0 < (exact - rough).abs().max() < 0.1
    assert torch.equal(encoder()[0](data).micro([0, 1]).inputs["features"], exact)


def test_a_reward_models_frozen_body_reads_each_text_once(weights, inputs, tmp_path):
    """The rewards of its features are those of its tokens, whose second reading is kept."""
    data = read(inputs.store, inputs.pairs("rewarded", ids=IDS[:6]))
    told = []
    rewards = []
    for frozen in (True, True, False):
        torch.manual_seed(0)
        spec = ModelSpec(base=BaseRef(uri="encoder"), max_length=64, linear_probe=frozen)
        trainable = build_reward_model(spec, weights("encoder"))
        torch.nn.init.ones_(trainable.module.head.weight)
        objective = Objective.model_validate({"reward_modeling": {}})
        settings = {"cache": tmp_path, "budget": 64, "bfloat16": False, "reference": None}
        encode = Encoder(
            trainable.module.eval(),
            trainable.tokenizer,
            spec,
            objective,
            **settings,
            tick=lambda *far: told.append(far),
        )
        with torch.no_grad():
            rewards.append(trainable.module(**encode(data).micro([4, 0]).inputs))
    assert rewards[0].shape == (4, 1)
    assert torch.equal(rewards[0], rewards[1])
    assert torch.allclose(rewards[0], rewards[2], atol=1e-5)
    assert told[-1][0] == told[-1][1] == 12
