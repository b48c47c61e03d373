from __future__ import annotations

import numpy as np
import pytest
import torch

from w2s.artifacts.tables import read_dataset, read_labels
from w2s.models.checkpoint import load
from w2s.models.predict import Predictor
from w2s.models.spec import BaseRef, Lora, ModelSpec
from w2s_trainer.settings import RunSettings
from w2s_trainer.spec import Hop, Objective, Resources, RunSpec, TrainingConfig
from w2s_trainer.stages import chain
from w2s_trainer.worker.context import RunContext
from w2s_trainer.worker.execute import execute

IDS = [f"{n:02}" for n in range(16)]
OBJECTIVES = {"cross_entropy": "encoder", "dpo": "decoder"}


@pytest.fixture
def spec(inputs, models):
    """Makes the spec of a run with one hop."""

    def make(objective="cross_entropy", **settings):
        base = BaseRef(uri=f"file://{models}/{OBJECTIVES[objective]}")
        model = ModelSpec(base=base, max_length=64, **settings)
        kind = "examples" if objective == "cross_entropy" else "pairs"
        return RunSpec(
            model=model,
            dataset=getattr(inputs, kind)(f"chained-{kind}", ids=IDS),
            objective=Objective.model_validate({objective: {}}),
            training=TrainingConfig(epochs=3, batch_size=4, learning_rate=1e-2),
            hops=(Hop(model=model),),
        )

    return make


@pytest.fixture
def run(inputs, models, tmp_path):
    """Executes a spec in this process; gives its result and the stages that it told of."""

    def start(spec, run_id):
        settings = RunSettings(
            artifact_root=inputs.store.root,
            cache_folder=tmp_path / "cache",
            model_roots=(str(models),),
            device="cpu",
        )
        told = []
        context = RunContext(run_id, spec, Resources(), settings, lambda said: told.append(said.stage), lambda: False)
        return execute(context), told

    return start


def stop(*_):
    raise InterruptedError


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_hop_that_has_its_model_labels_with_it_and_trains_no_other(spec, run, inputs, monkeypatch, objective):
    store, asked, names = inputs.store, spec(objective), objective.replace("_", "-")
    whole, told = run(asked, f"whole-{names}")
    assert "hop" in told
    with monkeypatch.context() as patch:
        patch.setattr(chain, "write_labels", stop)
        with pytest.raises(InterruptedError):
            run(asked, f"cut-{names}")
    assert store.find("models", f"cut-{names}-hop-0").digest == whole["hop_models"][0]["digest"]
    assert store.find("labels", f"cut-{names}-hop-0") is None
    again, told = run(asked, f"cut-{names}")
    assert "hop" not in told
    assert again["model"]["digest"] == whole["model"]["digest"]
    found, expected = (read_labels(store, store.find("labels", f"{cut}-{names}-hop-0")) for cut in ("cut", "whole"))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


@pytest.mark.parametrize(
    "settings", [{}, {"lora": Lora(rank=2)}, {"linear_probe": True}], ids=["whole", "lora", "probe"]
)
def test_labels_are_what_the_model_that_they_name_says(spec, run, inputs, settings):
    store, run_id = inputs.store, f"named-{next(iter(settings), 'whole').replace('_', '-')}"
    result, _ = run(spec(**settings), run_id)
    labels = read_labels(store, store.find("labels", f"{run_id}-hop-0"))
    ((_, _, digest),) = labels.teachers
    assert digest == result["hop_models"][0]["digest"]
    model = load(store.read(result["hop_models"][0]["uri"], digest).path)
    data = read_dataset(store, spec().dataset)
    said = torch.from_numpy(Predictor(model).logits(data.texts, data.pairs)).softmax(-1)
    np.testing.assert_allclose(labels.probabilities, said, atol=1e-6)
    assert said[:, 0].std() > 1e-3
