"""Refuses a model's settings that lead the libraries to code, or to files that are not the model's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from w2s.errors import InvalidArgument

_CONFIG, _TOKENIZER, _SPECIAL_TOKENS = "config.json", "tokenizer_config.json", "special_tokens_map.json"
_KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
# With these, transformers reads other files than those it is known to read.
_ELSEWHERE = ("configuration_files", "fast_tokenizer_files")
# Where a tokenizer of transformers takes a path, and opens it wherever it leads.
_OPENED = ("vocab", "merges", "*_file", "*_path", "*_dir", "*_spm", "init_inputs")
# Published files say where they once lay; transformers puts the folder's own files in place of that.
_REPLACED = ("name_or_path", "*_name_or_path", "tokenizer_file", "special_tokens_map_file")


def vet_settings(folder: Path, field: str) -> None:
    """Checks that a model's settings ask for no code of their own, and for none but its own files.

    Args:
        folder: Where `config.json` is, and what there is beside it.
        field: The request field to name in an error; `.uri` is added.

    Raises:
        InvalidArgument: They do, or they are no JSON objects.
    """
    for name, problems in ((_CONFIG, _of_model), (_TOKENIZER, _of_tokenizer), (_SPECIAL_TOKENS, _of_special_tokens)):
        if not (folder / name).exists():
            continue
        if problem := next(problems(read_settings(folder / name, field)), None):
            raise InvalidArgument(f"{field}.uri", f"cannot be loaded: {name} names {problem}")


def read_settings(file: Path, field: str) -> dict[str, Any]:
    """A file's JSON object; errors as `vet_settings`."""
    try:
        settings = json.loads(file.read_bytes())
    except (RecursionError, ValueError) as error:
        raise InvalidArgument(f"{field}.uri", f"cannot be loaded: {file.name} is damaged: {error}") from error
    if not isinstance(settings, dict):
        raise InvalidArgument(f"{field}.uri", f"cannot be loaded: {file.name} is no JSON object")
    return settings


def parts(settings: Any) -> Iterator[dict[str, Any]]:
    """Settings and all that they hold: a configuration may hold others."""
    if isinstance(settings, dict):
        yield settings
    if isinstance(settings, dict | list):
        for value in settings.values() if isinstance(settings, dict) else settings:
            yield from parts(value)


def _of_model(settings: dict[str, Any]) -> Iterator[str]:
    yield from _code(settings)
    for part in parts(settings):
        if any("/" in str(part.get(key)) for key in _KERNELS):
            yield "kernels of its own (attn_implementation); remote code is never run"
    weights = settings.get("transformers_weights")
    if weights is not None and not str(weights).endswith((".safetensors", ".safetensors.index.json")):
        yield "weights that are no safetensors (transformers_weights)"
    if weights is not None and Path(str(weights)).name != weights:
        yield "weights that are in no file of its folder (transformers_weights)"


def _of_tokenizer(settings: dict[str, Any]) -> Iterator[str]:
    yield from _code(settings)
    yield from _files(settings, _REPLACED)


def _of_special_tokens(settings: dict[str, Any]) -> Iterator[str]:
    # They are merged in last, so that nothing replaces them.
    yield from _files(settings, ())


def _code(settings: dict[str, Any]) -> Iterator[str]:
    if "auto_map" in settings:
        yield "code of its own (auto_map); remote code is never run"
    if found := [key for key in _ELSEWHERE if key in settings]:
        yield f"files to be read in place of its own ({found[0]})"
    for part in parts(settings):
        if part.get("model_type") == "rag" or str(part.get("tokenizer_class")).startswith("RagTokenizer"):
            yield "tokenizers in folders below its own (RagTokenizer)"


def _files(settings: dict[str, Any], harmless: tuple[str, ...]) -> Iterator[str]:
    for key, value in settings.items():
        if fnmatchcase(key, "*_kwargs") and isinstance(value, dict):
            yield from _files(value, ())
        # A number would be opened too.
        elif _any(key, _OPENED) and not _any(key, harmless) and value not in (None, "", []):
            yield f"a file to be read, by {key}; only files of its folder are, by their own names"


def _any(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
