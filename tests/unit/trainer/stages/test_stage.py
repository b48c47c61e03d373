from __future__ import annotations

from dataclasses import replace

import pytest

from w2s.models.spec import BaseRef, ModelSpec
from w2s_trainer.spec import EarlyStopping, Objective, TrainingConfig
from w2s_trainer.stages.stage import Stage
from w2s_trainer.stages.supervised import read

IDS = [str(n) for n in range(8)]


@pytest.fixture
def stage(inputs, weights):
    return Stage(
        name="main",
        progress="train",
        model=ModelSpec(base=BaseRef(uri="encoder"), max_length=64),
        weights=weights("encoder"),
        objective=Objective.model_validate({"cross_entropy": {}}),
        training=TrainingConfig(),
        data=read(inputs.store, inputs.examples("staged", ids=IDS)),
    )


def test_the_origin_is_of_all_that_decides_a_training(stage, inputs):
    first = stage.data.subset([0, 1, 2])
    unlike = [
        stage,
        replace(stage, data=first),
        # As many, and others.
        replace(stage, data=stage.data.subset([0, 1, 3])),
        replace(stage, mixed=[first]),
        replace(stage, held_out=first, stopping=EarlyStopping()),
        replace(stage, held_out=first, stopping=EarlyStopping(patience=1)),
        replace(stage, evaluation=read(inputs.store, inputs.examples("scored", ids=IDS[:3]), field="eval_dataset")),
        replace(stage, training=TrainingConfig(seed=1)),
        replace(stage, weights=replace(stage.weights, location="/elsewhere/generative")),
    ]
    assert len({found.origin(sharded=False) for found in unlike}) == len(unlike)
    assert stage.origin(sharded=True) != stage.origin(sharded=False)


def test_the_origin_is_the_same_where_copies_are_in_another_folder(stage):
    elsewhere = replace(stage, weights=replace(stage.weights, location="/another/replica/encoder"))
    assert elsewhere.origin(sharded=False) == stage.origin(sharded=False)


def test_nothing_that_is_held_out_is_mixed_in(stage):
    trained, held = stage.data.split(0.25, 0)
    mixed = replace(stage, data=trained, mixed=[stage.data, held], held_out=held)
    # The second one holds nothing else.
    assert [data.table.ids for data in mixed.learnt] == [trained.table.ids, trained.table.ids]
    assert [data.table.ids for data in replace(mixed, held_out=None).learnt] == [trained.table.ids, IDS, held.table.ids]
