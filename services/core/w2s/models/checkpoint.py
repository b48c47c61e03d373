"""Loads pretrained bodies, and saves and loads classifiers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from w2s.errors import InvalidArgument
from w2s.models.classifier import Classifier, ClassifierConfig, resolve_pooling
from w2s.models.layers import freeze_below, keep_layers
from w2s.models.sources import Weights
from w2s.models.spec import ModelSpec

# What the libraries raise for files that are missing, damaged or at odds with each other.
_UNREADABLE = (OSError, RuntimeError, SafetensorError, ValueError)


@dataclass
class Checkpoint:
    """A classifier and its tokenizer."""

    model: Classifier
    tokenizer: PreTrainedTokenizerBase

    @property
    def label_names(self) -> list[str]:
        """The classes, in the order of the logits."""
        names: Any = self.model.config.id2label
        return [names[index] for index in range(len(names))]

    def to(self, device: torch.device) -> Checkpoint:
        """Moves the model, in place."""
        torch.nn.Module.to(self.model, device)
        return self

    def save(self, folder: Path) -> None:
        """Writes a Hugging Face folder: safetensors, configurations and tokenizer."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def build(spec: ModelSpec, weights: Weights, label_names: list[str]) -> Checkpoint:
    """A pretrained body, cut and frozen as the spec says, with a fresh head.

    Args:
        spec: What the model is made of.
        weights: Where its body is, from `ModelSources.resolve`.
        label_names: The classes, at least two.

    Raises:
        InvalidArgument: The weights cannot be read as safetensors or GGUF of a known
            architecture, or have fewer layers or positions than the spec names.
    """
    body, tokenizer = _load_body(weights)
    positions = getattr(body.config, "max_position_embeddings", spec.max_length)
    if spec.max_length > positions:
        raise InvalidArgument("model.max_length", f"must be in [1, {positions}], the body's positions")
    layers = body.config.num_hidden_layers if spec.layers is None else spec.layers
    keep_layers(body, layers)
    config = ClassifierConfig(
        body=body.config,
        encoding=spec.encoding.value,
        pooling=resolve_pooling(spec.pooling, body.config).value,
        max_length=spec.max_length,
        body_frozen=spec.train_from_layer == layers,
        id2label=dict(enumerate(label_names)),
        label2id={name: index for index, name in enumerate(label_names)},
    )
    model = Classifier(config, body)
    model.frozen_modules = freeze_below(body, spec.train_from_layer)
    return Checkpoint(model, tokenizer)


def load(folder: Path) -> Checkpoint:
    """Loads a classifier that `Checkpoint.save` wrote, in evaluation mode.

    Raises:
        InvalidArgument: The folder holds no such classifier.
    """
    try:
        if not isinstance(AutoConfig.from_pretrained(folder, trust_remote_code=False), ClassifierConfig):
            raise ValueError("its configuration is not a classifier's")
        loaded: Any = Classifier.from_pretrained(folder, use_safetensors=True, output_loading_info=True)
        model, info = loaded
        tokenizer = _tokenizer(str(folder))
    except _UNREADABLE as error:
        raise InvalidArgument("model.uri", f"cannot be loaded: {error}") from error
    wrong = [*info["missing_keys"], *info["unexpected_keys"]]
    if wrong:
        raise InvalidArgument("model.uri", f"has {len(wrong)} missing or unknown tensors, such as {sorted(wrong)[0]}")
    return Checkpoint(model.eval(), tokenizer)


def body_fingerprint(model: Classifier) -> str:
    """sha256 in hex over the body's configuration and weights, and how it pools."""
    body = model.config.body.to_dict()
    digest = hashlib.sha256(f"{sorted(body.items())}/{model.config.pooling}/{model.config.encoding}".encode())
    for name, tensor in sorted(model.body.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _load_body(weights: Weights) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if weights.is_artifact:
        checkpoint = load(Path(weights.location))
        return checkpoint.model.body, checkpoint.tokenizer
    options: dict[str, Any] = {"revision": weights.revision} if weights.revision else {}
    if weights.gguf_file:
        options["gguf_file"] = weights.gguf_file
    try:
        tokenizer = _tokenizer(weights.location, **options)
        body = AutoModel.from_pretrained(
            weights.location,
            dtype=torch.float32,
            trust_remote_code=False,
            **({} if weights.gguf_file else {"use_safetensors": True}),
            **options,
        )
    except _UNREADABLE as error:
        raise InvalidArgument("model.base.uri", f"cannot be loaded: {error}") from error
    # Where the weights lay on this machine is no part of what they are.
    body.config._name_or_path = ""
    # The weights of a GGUF file are dequantized as they load; left in place, this marks them as quantized.
    if hasattr(body.config, "quantization_config"):
        del body.config.quantization_config
    return body, tokenizer


def _tokenizer(location: str, **options: Any) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False, **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # Masks decide what is padding; on the right, positions count from the first token.
    tokenizer.padding_side = "right"
    return tokenizer
