from __future__ import annotations

import shutil
from collections import namedtuple

import pytest
from helpers.run_inputs import sparse_weights

from w2s.errors import ResourceExhausted
from w2s.models.spec import ModelSpec
from w2s_trainer.admission.disk import bytes_needed
from w2s_trainer.admission.models import Base

GIB = 2**30
# Two layers of a 10 x 20 matrix and one vector each, over embeddings of 100 x 10: 1,000 + 400 + 20 numbers.
SHAPES = {"embed.weight": (100, 10)}
SHAPES |= {
    f"layer.{n}.{name}": shape for n in (0, 1) for name, shape in {"up.weight": (20, 10), "norm.weight": (10,)}.items()
}
WEIGHTS = 4 * 1420


@pytest.fixture
def base():
    return Base({"num_hidden_layers": 2}, WEIGHTS, SHAPES)


def model(**fields):
    return ModelSpec.model_validate({"base": {"uri": "pkg://a/b"}, **fields})


@pytest.mark.parametrize(
    ("fields", "trained"),
    [
        ({}, WEIGHTS),
        ({"linear_probe": True}, 0),
        ({"layers": 0}, 0),
        ({"layers": 2, "train_from_layer": 2}, 0),
        ({"train_from_layer": 1}, WEIGHTS / 2),
        ({"layers": 2, "train_from_layer": 1}, WEIGHTS / 2),
        # Rank 3: 3 (20 + 10) for each matrix.
        ({"lora": {"rank": 3, "target_modules": ["up"]}}, 4 * 2 * 90),
        ({"lora": {"rank": 3}}, 4 * (2 * 90 + 3 * 110)),
    ],
)
def test_a_run_keeps_its_model_and_what_trains_three_times_a_checkpoint(base, fields, trained):
    assert bytes_needed([(model(**fields), base)], 2) == WEIGHTS + (2 + 1) * 3 * trained


def test_hops_keep_their_models_and_checkpoint_in_turn(base):
    probe, whole = (model(linear_probe=True), base), (model(), base)
    assert bytes_needed([probe, whole, probe], 1) == 3 * WEIGHTS + (1 + 1) * 3 * WEIGHTS
    assert bytes_needed([(model(), Base({}))], 5) == 0


@pytest.fixture
def free(monkeypatch):
    """Sets what the file system says is free."""
    usage = namedtuple("usage", "total used free")
    return lambda left: monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2 * left, left, left))


def test_a_run_that_finds_no_room_is_refused_with_both_figures(inputs, admission, spec, free):
    # In float16; 1 GiB in float32.
    uri = inputs.model("large")
    sparse_weights(inputs.models / "large" / "model.safetensors", GIB // 2)
    run = spec(model={"uri": uri}, training={"batch_size": 1, "epochs": 1})
    free(9 * GIB)
    with pytest.raises(ResourceExhausted, match=r"needs about 10.0 GiB below .*, and 9.0 GiB are free"):
        admission(keep_checkpoints=2).check_spec(run)
    free(10 * GIB)
    admission(keep_checkpoints=2).check_spec(run)


def test_a_run_of_one_step_writes_one_checkpoint(inputs, admission, spec, free):
    uri = inputs.model("large")
    sparse_weights(inputs.models / "large" / "model.safetensors", GIB // 2)
    free(7 * GIB)
    admission(keep_checkpoints=2).check_spec(spec(model={"uri": uri}, training={"batch_size": 4, "epochs": 1}))
