"""Classifiers and reward models with their tokenizers, as they are stored."""

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
from transformers import AutoConfig, PreTrainedTokenizerBase

from w2s.errors import InvalidArgument
from w2s.models.classifier import Classifier, ClassifierConfig
from w2s.models.pretrained import load_tokenizer, loading
from w2s.models.tokens import Tokens, pad


@dataclass
class Checkpoint:
    """A classifier or a reward model, and its tokenizer."""

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
            logits = self.model(features=features.to(self.model.device))
        return np.asarray(logits.cpu().numpy(), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Writes a Hugging Face folder: safetensors, configurations and tokenizer."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def load(folder: Path, field: str = "model") -> Checkpoint:
    """Loads a classifier or a reward model that `Checkpoint.save` wrote, in evaluation mode.

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
    said = f"{sorted(body.items())}/{model.config.pooling}/{model.config.encoding}"
    return hashlib.sha256(f"{said}/{state_digest(model.body)}".encode()).hexdigest()


def state_digest(module: torch.nn.Module, without: str | None = None) -> str:
    """sha256 in hex over a module's weights: names, dtypes, shapes and values.

    Args:
        module: The module.
        without: Leaves out weights whose names hold this.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if without is not None and without in name:
            continue
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}/".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
