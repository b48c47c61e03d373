"""Loads pretrained bodies, and saves and loads classifiers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from w2s.errors import InvalidArgument
from w2s.models.classifier import Classifier, ClassifierConfig, resolve_pooling
from w2s.models.layers import freeze_below, keep_layers
from w2s.models.pretrained import load_pretrained, load_tokenizer, loading
from w2s.models.sources import Weights
from w2s.models.spec import ModelSpec
from w2s.models.tokens import Tokens, pad


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

    def pool(self, batch: Sequence[Tokens], *, bfloat16: bool) -> Tensor:
        """One vector for each sequence of a batch, without dropout.

        Args:
            batch: Unpadded sequences, B >= 1.
            bfloat16: Computes in bfloat16 where that is safe; float32 otherwise.

        Returns:
            Shape [B, H], float32, on the CPU.
        """
        training, device = self.model.training, self.model.device
        self.model.train(False)
        inputs = {name: values.to(device) for name, values in pad(self.tokenizer, batch).items()}
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, bfloat16):
            pooled = self.model.pool(inputs).float().cpu()
        self.model.train(training)
        return pooled

    def logits(self, features: Tensor) -> NDArray[np.float32]:
        """Logits of what the head reads: shape [B, D] to [B, C], float32."""
        with torch.inference_mode():
            logits = self.model(features=features.to(self.model.device)).logits
        return np.asarray(logits.cpu().numpy(), dtype=np.float32)

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


def load(folder: Path, field: str = "model") -> Checkpoint:
    """Loads a classifier that `Checkpoint.save` wrote, in evaluation mode.

    Args:
        folder: Where it is.
        field: The request field to name in an error; `.uri` is added.

    Raises:
        InvalidArgument: The folder holds no such classifier.
    """
    with loading(field):
        if not isinstance(AutoConfig.from_pretrained(folder, trust_remote_code=False), ClassifierConfig):
            raise ValueError("its configuration is not a classifier's")
        loaded: Any = Classifier.from_pretrained(folder, use_safetensors=True, output_loading_info=True)
        model, info = loaded
        tokenizer = load_tokenizer(str(folder))
    wrong = [*info["missing_keys"], *info["unexpected_keys"]]
    if wrong:
        raise InvalidArgument(
            f"{field}.uri", f"has {len(wrong)} missing or unknown tensors, such as {sorted(wrong)[0]}"
        )
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
    loaded = load_pretrained(
        AutoModel, weights.location, "model.base", revision=weights.revision, gguf_file=weights.gguf_file
    )
    return loaded.model, loaded.tokenizer
