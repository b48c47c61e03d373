"""Loads what is to be trained, cut and frozen as a spec says."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, REWARD_SCHEMA
from w2s.errors import InvalidArgument
from w2s.models import hub
from w2s.models.architecture import position_limit
from w2s.models.checkpoint import load
from w2s.models.layers import freeze_below, keep_layers
from w2s.models.pretrained import load_pretrained
from w2s.models.sources import Weights
from w2s.models.spec import ModelSpec
from w2s.models.vetting import vet

_FIELD = "model.base"
_HEADED = (CLASSIFIER_SCHEMA, REWARD_SCHEMA)


def load_body(spec: ModelSpec, weights: Weights) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A body to put a head on; of a model with a head of ours, its body.

    Raises:
        InvalidArgument: The weights cannot be read as safetensors or GGUF of a known
            architecture, or have fewer layers or positions than the spec names.
    """
    path = _vetted(weights)
    if weights.schema in _HEADED:
        checkpoint = load(path, _FIELD)
        body, tokenizer = checkpoint.model.body, checkpoint.tokenizer
    else:
        loaded = load_pretrained(AutoModel, path, _FIELD)
        body, tokenizer = loaded.model, loaded.tokenizer
    _fit(spec, body, body, tokenizer)
    return body, tokenizer


def load_causal(spec: ModelSpec, weights: Weights) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model with its own head; errors as `load_body`, and where it has none."""
    if weights.schema in _HEADED:
        raise InvalidArgument("model.base.uri", "holds a classifier or a reward model, and no language model's head")
    loaded = load_pretrained(AutoModelForCausalLM, _vetted(weights), _FIELD)
    if loaded.missing:
        raise InvalidArgument(
            "model.base.uri",
            f"is no causal language model: it lacks {len(loaded.missing)} tensors, such as {loaded.missing[0]}",
        )
    _fit(spec, loaded.model, loaded.model.base_model, loaded.tokenizer)
    return loaded.model, loaded.tokenizer


def _vetted(weights: Weights) -> Path:
    path = Path(weights.location, weights.gguf_file or "")
    if weights.revision is not None:
        path = hub.download(weights.location, weights.revision, _FIELD)
    # A root's files may have changed since the run was admitted.
    vet(path, _FIELD)
    return path


def freeze(spec: ModelSpec, body: PreTrainedModel) -> list[nn.Module]:
    """Freezes what does not train, and gives what is frozen as a whole."""
    return freeze_below(body, trained_from(spec, body))


def trained_from(spec: ModelSpec, body: PreTrainedModel) -> int:
    """The first layer that trains; the number of layers where none does."""
    layers: int = body.config.num_hidden_layers
    return layers if spec.linear_probe else spec.train_from_layer


def silence_dropout(module: nn.Module) -> None:
    """Sets every rate of dropout to 0, in place; what a saved configuration says of them stays."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        # Attention has its rates as plain numbers.
        for name in [name for name, value in vars(part).items() if "drop" in name and isinstance(value, float)]:
            setattr(part, name, 0.0)


def _fit(spec: ModelSpec, model: PreTrainedModel, body: nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
    positions = position_limit(model, tokenizer)
    if spec.max_length > positions:
        raise InvalidArgument("model.max_length", f"must be in [1, {positions}], the body's positions")
    assert isinstance(body, PreTrainedModel)
    keep_layers(body, body.config.num_hidden_layers if spec.layers is None else spec.layers)
    if not spec.dropout:
        silence_dropout(model)
