"""Checks of what is trained, from what its files say of it; no weights are loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
from safetensors import SafetensorError, safe_open

from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, LANGUAGE_MODEL_SCHEMA, REWARD_SCHEMA
from w2s.errors import DataLoss, InvalidArgument
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, Encoding, ModelSpec
from w2s.models.vetting import vet, weight_bytes
from w2s_trainer.admission.datasets import Datasets
from w2s_trainer.admission.stored import Stored, find
from w2s_trainer.spec import Kind, RunSpec

# Architectures call the same thing by different names.
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_POSITIONS = ("max_position_embeddings", "n_positions")
_CAUSAL = ("ForCausalLM", "LMHeadModel")
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Base:
    """A pretrained model as its files tell of it.

    Attributes:
        config: Its `config.json`, of the body where that is inside; empty when not known.
        weights: Its size in bytes, in float32; None when not known.
        shapes: Its tensors; empty when not known.
        chat_template: Whether its tokenizer has one; None when not known.
        commit: What its revision means on the hub; empty of other models.
    """

    config: dict[str, Any]
    weights: int | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    chat_template: bool | None = None
    commit: str = ""

    @property
    def layers(self) -> int | None:
        """How many transformer layers it has; None when not known."""
        return _first(self.config, _LAYERS)

    @property
    def positions(self) -> int | None:
        """How many tokens it reads at most; None when not known."""
        return _first(self.config, _POSITIONS)


def check_models(sources: ModelSources, spec: RunSpec, datasets: Datasets) -> list[tuple[ModelSpec, Base]]:
    """Checks the models of a run, the hops' first and its own last, and says what is known of their bases.

    Raises:
        InvalidArgument: One cannot be had, or not be used so.
        NotFound, FailedPrecondition, DataLoss, Unavailable: As `ModelSources.pin`.
    """
    kind = spec.objective.kind
    hops = [(hop.model, f"run.spec.hops[{index}].model") for index, hop in enumerate(spec.hops)]
    stages = [*hops, (spec.model, "run.spec.model")]
    found = []
    # A branch may move: it is asked once what it means.
    bases: dict[BaseRef, Base] = {}
    for (model, path), dataset in zip(stages, datasets.stages, strict=True):
        if model.base not in bases:
            bases[model.base] = _base(sources, model.base, kind, f"{path}.base")
        base = bases[model.base]
        generative = spec.generative_first is not None and path == "run.spec.model"
        _fits(model, base, kind, path, generative=generative)
        _two_texts(model, (dataset, *(datasets.mixed if path == "run.spec.model" else ())), path)
        found.append((model, base))
    return found


def _base(sources: ModelSources, ref: BaseRef, kind: Kind, path: str) -> Base:
    if sources.is_artifact(ref.uri):
        return _artifact(sources, ArtifactRef(uri=ref.uri, digest=ref.digest), kind, path)
    if ref.uri.startswith("hf://"):
        with _readable(path):
            pinned = sources.pin(ref, path)
            return Base(_body(sources.config(pinned, path)), commit=pinned.revision)
    weights = sources.resolve(ref, path)
    location = Path(weights.location, weights.gguf_file or "")
    vet(location, path)
    if location.is_file():
        return Base({}, weight_bytes(location))
    with _readable(path):
        return _folder(location)


def _artifact(sources: ModelSources, ref: ArtifactRef, kind: Kind, path: str) -> Base:
    language = kind is Kind.LANGUAGE_MODEL
    schemas = (LANGUAGE_MODEL_SCHEMA,) if language else (CLASSIFIER_SCHEMA, REWARD_SCHEMA, LANGUAGE_MODEL_SCHEMA)
    found = find(sources.store, ref, schemas, path, f"a {kind.value.replace('_', ' ')}")
    folder = Path(ref.uri.removeprefix("file://"))
    if ref.uri.startswith("file://") and folder.is_dir():
        with _readable(path):
            return _folder(folder)
    size = sum(file.size for name, file in found.manifest.files.items() if name.endswith(".safetensors"))
    try:
        with fsspec.open(f"{ref.uri}/config.json", "rb") as stream:
            return Base(_body(json.load(stream)), size)
    except (OSError, RecursionError, ValueError) as error:
        raise DataLoss(f"config.json of {ref.uri} cannot be read: {error}") from error


def _folder(folder: Path) -> Base:
    tokenizer = folder / "tokenizer_config.json"
    settings = json.loads(tokenizer.read_bytes()) if tokenizer.exists() else {}
    shapes = {name: shape for file in sorted(folder.glob("*.safetensors")) for name, shape in _shapes(file)}
    return Base(
        config=_body(json.loads((folder / "config.json").read_bytes())),
        weights=sum(map(math.prod, shapes.values())) * _FLOAT_BYTES,
        shapes=shapes,
        chat_template="chat_template" in settings or (folder / "chat_template.jinja").exists(),
    )


def _shapes(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    with safe_open(file, framework="np") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - it is no mapping
            yield name, tuple(tensors.get_slice(name).get_shape())


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RecursionError, SafetensorError, ValueError) as error:
        raise InvalidArgument(f"{path}.uri", f"cannot be loaded: {error}") from error


def _body(config: Any) -> dict[str, Any]:
    """The part of a configuration that tells of the transformer."""
    if not isinstance(config, dict):
        raise ValueError("config.json is no JSON object")
    if not isinstance(config.get("architectures") or [], list):
        raise ValueError("architectures in config.json is no list")
    inner = config.get("body", config.get("text_config"))
    return {**config, **inner} if isinstance(inner, dict) else config


def _fits(model: ModelSpec, base: Base, kind: Kind, path: str, *, generative: bool) -> None:
    if (kind is Kind.LANGUAGE_MODEL or generative) and not _is_causal(base.config):
        named = ", ".join(map(str, base.config.get("architectures") or ())) or "another kind of model"
        raise InvalidArgument(f"{path}.base.uri", f"must be a causal language model, and is {named}")
    _within(base.positions, model.max_length, f"{path}.max_length", "the body's positions")
    if model.layers is not None:
        _within(base.layers, model.layers, f"{path}.layers", "the body's layers")
    _within(base.layers, model.train_from_layer, f"{path}.train_from_layer", "the body's layers")
    if kind is Kind.LANGUAGE_MODEL and base.config.get("tie_word_embeddings") is True:
        _trains_something(model, base, path)
    if model.chat_template and base.chat_template is False:
        raise InvalidArgument(f"{path}.chat_template", "its tokenizer has no chat template")
    for module in model.lora.target_modules if model.lora is not None and base.shapes else ():
        if not any(f".{name}".endswith(f".{module}.weight") for name in base.shapes):
            raise InvalidArgument(f"{path}.lora.target_modules", f"the model has no module {module}")


def _trains_something(model: ModelSpec, base: Base, path: str) -> None:
    layers = base.layers if model.layers is None else model.layers
    if model.lora is None and model.train_from_layer == layers:
        raise InvalidArgument(f"{path}.train_from_layer", "leaves nothing of this language model to train")


def _within(limit: int | None, value: int, path: str, what: str) -> None:
    if limit is not None and value > limit:
        raise InvalidArgument(path, f"must be at most {limit}, {what}; got {value}")


def _two_texts(model: ModelSpec, datasets: tuple[Stored, ...], path: str) -> None:
    for dataset in datasets if model.encoding is Encoding.PAIR else ():
        if missing := dataset.nulls("text_pair"):
            raise InvalidArgument(
                f"{path}.encoding",
                f"TEXT_ENCODING_PAIR needs two texts an example: {missing} of {dataset.field} have one",
            )


def _is_causal(config: Mapping[str, Any]) -> bool:
    """Whether a configuration may be a causal language model's, as far as it tells."""
    architectures = [str(name) for name in config.get("architectures") or ()]
    if not architectures or config.get("is_decoder") is True:
        return True
    if any(name.endswith(_CAUSAL) for name in architectures):
        return True
    # Models of text and images generate from both, and have no ending of their own.
    both = any(name.endswith("ForConditionalGeneration") for name in architectures)
    return both and not config.get("is_encoder_decoder", False)


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((value for name in names if isinstance(value := config.get(name), int)), None)
