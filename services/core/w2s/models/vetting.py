"""Refuses weights that carry code or are damaged, before any library loads them, and identifies the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

from safetensors import SafetensorError, safe_open

from w2s.artifacts.manifest import content_digest, hash_file
from w2s.errors import InvalidArgument
from w2s.models.gguf_header import gguf_parameters
from w2s.models.settings import parts, read_settings, vet_settings

# The files that decide what a model answers: configuration, chat templates, weights, and all that one tokenizer or
# another is made of. Libraries read them from the folder itself, so a file of such a name in a folder below does not
# count.
DECISIVE = (
    "*.json",
    "*.txt",
    "*.model",
    "tokenizer.model.*",
    "*.codes",
    "*.spm",
    "*.tiktoken",
    "*.tokenizer",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
    "*.safetensors",
)

# Of the largest tokenizers that are published, tokenizer.json has some 35 MB.
_MOST_SETTINGS = 256 << 20
# Settings that no weights can fall short of: each layer has tensors of its own, each width is that of one.
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers")
_WIDTHS = ("vocab_size", "hidden_size", "intermediate_size", "d_model", "n_embd")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack")


def is_decisive(name: str) -> bool:
    """Whether a file, by its path in the model's folder, decides what the model answers."""
    # In fnmatch a star passes slashes too.
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in DECISIVE)


def folder_digest(path: Path) -> str:
    """The content digest of a model: `sha256:` and 64 hex digits.

    Args:
        path: A folder, whose `DECISIVE` files count and no others, or a GGUF file, which
            counts whole.
    """
    if path.is_file():
        return f"sha256:{hash_file(path).sha256}"
    files = [file for pattern in DECISIVE for file in path.glob(pattern) if file.is_file()]
    return content_digest({file.relative_to(path).as_posix(): hash_file(file) for file in files})


def weight_bytes(path: Path, bytes_per_parameter: int = 4) -> int:
    """Memory that a model's weights take once they are loaded, in bytes.

    Args:
        path: A folder or GGUF file that was vetted.
        bytes_per_parameter: 4 in float32, 2 in bfloat16; on disk they may be smaller.
    """
    if path.is_file():
        return gguf_parameters(path) * bytes_per_parameter
    shapes = [shape for weights in path.glob("*.safetensors") for shape in _shapes(weights)]
    return sum(map(math.prod, shapes)) * bytes_per_parameter


def vet(path: Path, field: str) -> None:
    """Checks a model's files before anything is loaded from them.

    Args:
        path: A folder or a GGUF file.
        field: The request field to name in an error; `.uri` is added.

    Raises:
        InvalidArgument: There are no safetensors or GGUF weights, they are damaged, or the
            model asks for code of its own.
    """
    try:
        if path.is_file():
            gguf_parameters(path)
            return
        vet_names([file.name for file in path.iterdir()], field)
        for file in (file for pattern in DECISIVE for file in path.glob(pattern)):
            vet_size(file.name, file.stat().st_size, field)
        vet_settings(path, field)
        for index in path.glob("*.safetensors.index.json"):
            _vet_index(index)
        _vet_shapes(path, field)
    except (KeyError, OSError, RecursionError, SafetensorError, ValueError) as error:
        raise InvalidArgument(f"{field}.uri", f"cannot be loaded: {error}") from error


def vet_size(name: str, size: int, field: str) -> None:
    """Checks that a file of a model may be read whole, as libraries do with all but weights.

    Args:
        name: Its name.
        size: Its size in bytes.
        field: As in `vet`.

    Raises:
        InvalidArgument: It is too large.
    """
    if not name.endswith(".safetensors") and size > _MOST_SETTINGS:
        raise InvalidArgument(f"{field}.uri", f"cannot be loaded: {name} is larger than {_MOST_SETTINGS >> 20} MiB")


def vet_names(names: Collection[str], field: str) -> None:
    """Checks the names of a model's files.

    Args:
        names: Of the files in its folder.
        field: As in `vet`.

    Raises:
        InvalidArgument: There are no safetensors among them, or the model is an adapter.
    """
    if "adapter_config.json" in names:
        raise InvalidArgument(f"{field}.uri", "is an adapter (adapter_config.json); merge it into its base model")
    if any(fnmatchcase(name, "*.safetensors") for name in names):
        return
    pickles = sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in _PICKLES))
    if pickles:
        raise InvalidArgument(
            f"{field}.uri", f"cannot be loaded: holds pickle weights ({pickles[0]}); convert to safetensors"
        )
    raise InvalidArgument(f"{field}.uri", "cannot be loaded: holds no weights (*.safetensors)")


def _vet_index(index: Path) -> None:
    settings = json.loads(index.read_bytes())
    shards = settings.get("weight_map") if isinstance(settings, dict) else None
    if not isinstance(shards, dict):
        raise ValueError(f"{index.name} has no weight_map")
    # A shard may be named by any path: it must be a file of this folder.
    here = {file.name for file in index.parent.glob("*.safetensors")}
    if missing := {str(shard) for shard in shards.values()} - here:
        raise ValueError(f"{index.name} names {sorted(missing)[0]}, which the folder does not hold")


def _vet_shapes(folder: Path, field: str) -> None:
    """Checks that a configuration is no larger than its weights: libraries build what it says before they compare."""
    shapes = [shape for weights in sorted(folder.glob("*.safetensors")) for shape in _shapes(weights)]
    widest = max((size for shape in shapes for size in shape), default=0)
    most = dict.fromkeys(_LAYERS, len(shapes)) | dict.fromkeys(_WIDTHS, widest)
    config = read_settings(folder / "config.json", field) if (folder / "config.json").exists() else {}
    for part in parts(config):
        for name in most.keys() & part.keys():
            if isinstance(part[name], int | float) and part[name] > most[name]:
                raise ValueError(f"config.json says {name}={part[name]}, and its weights have {most[name]} at most")


def _shapes(weights: Path) -> list[list[int]]:
    """The shapes in a safetensors file; its header is checked against its size first."""
    with safe_open(weights, framework="np") as tensors:
        return [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
