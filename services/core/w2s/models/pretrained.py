"""Loads pretrained models and tokenizers; what the libraries raise becomes the caller's error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from unittest import mock

import gguf
import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from w2s.errors import InvalidArgument, ResourceExhausted, W2SError

_QUANTIZATION = ("hf_quantizer", "is_quantized", "quantization_method")
_reading_gguf = Lock()


@contextmanager
def loading(field: str) -> Iterator[None]:
    """Turns what the libraries raise for a model's files into the caller's error.

    Args:
        field: The request field to name; `.uri` is added.

    Raises:
        InvalidArgument: The files are missing, damaged, at odds with each other, or need a
            library that is not here.
        ResourceExhausted: There is too little memory.
    """
    try:
        yield
    except W2SError:
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ResourceExhausted("there is too little memory left for the model") from error
    except Exception as error:
        # tokenizers raises no narrower class, and configurations have classes of their own.
        raise InvalidArgument(f"{field}.uri", f"cannot be loaded: {error}") from error


@dataclass(frozen=True)
class Pretrained:
    """A model and its tokenizer, as they were published.

    Attributes:
        model: In training or evaluation mode as the library leaves it.
        tokenizer: Pads on the right.
        missing: Names of tensors that the weights lack, which were drawn at random.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    missing: tuple[str, ...]


def load_pretrained(auto_class: Any, path: Path, field: str, *, dtype: torch.dtype = torch.float32) -> Pretrained:
    """Loads a model with no code but the libraries' own, from safetensors or GGUF only.

    Args:
        auto_class: The class of transformers that knows the architecture's kind.
        path: A folder or a GGUF file that was vetted.
        field: The request field to name in an error; `.uri` is added.
        dtype: Of the weights.

    Raises:
        InvalidArgument, ResourceExhausted: It cannot be loaded.
    """
    with loading(field), _only(path) as (location, options):
        tokenizer = load_tokenizer(location, **options)
        model, info = auto_class.from_pretrained(
            location, dtype=dtype, trust_remote_code=False, output_loading_info=True, use_safetensors=True, **options
        )
    # Where the weights lay on this machine is no part of what they are.
    model.config._name_or_path = ""
    if path.is_file():
        _forget_quantization(model)
    return Pretrained(model, tokenizer, tuple(sorted(info["missing_keys"])))


@contextmanager
def _only(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The folder to load from, and the options to: a GGUF file is alone in its own, for all that lies beside it."""
    if path.is_dir():
        yield str(path), {}
        return
    with TemporaryDirectory() as folder, _read_once():
        Path(folder, path.name).symlink_to(path.resolve())
        yield folder, {"gguf_file": path.name}


@contextmanager
def _read_once() -> Iterator[None]:
    """Parses a GGUF file once: transformers would for tokenizer, configuration and weights, and list names a layer."""
    with (
        _reading_gguf,
        mock.patch.object(gguf, "GGUFReader", cache(gguf.GGUFReader)),
        mock.patch.object(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
    ):
        yield


def _forget_quantization(model: PreTrainedModel) -> None:
    """The weights of a GGUF file are dequantized as they load; marked as quantized, they could not be saved."""
    for holder, name in ((model.config, "quantization_config"), *((model, name) for name in _QUANTIZATION)):
        if name in vars(holder):
            delattr(holder, name)


def load_tokenizer(location: str, **options: Any) -> PreTrainedTokenizerBase:
    """Loads a tokenizer that pads on the right, with its end token where it has none to pad with."""
    tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False, **options)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # Masks decide what is padding; on the right, positions count from the first token.
    tokenizer.padding_side = "right"
    return tokenizer
