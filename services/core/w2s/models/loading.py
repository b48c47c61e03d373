"""Makes an engine of a model's files."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from w2s.errors import InvalidArgument
from w2s.models.causal_engine import CausalEngine
from w2s.models.checkpoint import Checkpoint, load
from w2s.models.classifier import ClassifierConfig
from w2s.models.classifier_engine import ClassifierEngine, TrainedRewardEngine
from w2s.models.engine import DType, Engine
from w2s.models.features import FeatureCache
from w2s.models.pretrained import load_pretrained, loading
from w2s.models.sequence_head import HeadClassifier, RewardEngine
from w2s.models.spec import ClassifierReading, LanguageModelReading, Reading, RewardReading
from w2s.models.vetting import vet


def load_engine(
    path: Path,
    reading: Reading | None,
    device: torch.device,
    dtype: DType = "auto",
    field: str = "model",
    *,
    cache: FeatureCache | None = None,
) -> Engine:
    """Loads a model from local files that are vetted first.

    Args:
        path: A folder or a GGUF file, as `ModelSources.fetch` gives it.
        reading: How the model is read; None for a classifier or a reward model that the
            trainer made, which say it themselves.
        device: Where it runs.
        dtype: What it runs in.
        field: The request field to name in an error; `.uri` is added.
        cache: Shares the work of the frozen bodies of reward models that the trainer made.

    Raises:
        InvalidArgument: The model cannot be loaded, or not be read so.
        ResourceExhausted: There is too little memory.
    """
    vet(path, field)
    bfloat16 = dtype == "bfloat16" or (dtype == "auto" and device.type == "cuda")
    with loading(field):
        if _is_ours(path):
            return _trained(load(path, field).to(device), reading, bfloat16, field, cache)
        if reading is None:
            raise InvalidArgument(f"{field}.uri", "is no model that says itself how it is read")
        return _published(path, reading, device, torch.bfloat16 if bfloat16 else torch.float32, field)


def _is_ours(path: Path) -> bool:
    if path.is_file() or not (path / "config.json").exists():
        return False
    kind: object = json.loads((path / "config.json").read_bytes()).get("model_type")
    return kind == ClassifierConfig.model_type


def _trained(
    checkpoint: Checkpoint, reading: Reading | None, bfloat16: bool, field: str, cache: FeatureCache | None
) -> Engine:
    if checkpoint.model.config.reads == "reward":
        return _own(TrainedRewardEngine(checkpoint, bfloat16=bfloat16, cache=cache), reading, RewardReading(), field)
    return _own(ClassifierEngine(checkpoint, bfloat16=bfloat16), reading, ClassifierReading(), field)


def _own(engine: Engine, reading: Reading | None, default: Reading, field: str) -> Engine:
    if reading not in (None, default):
        raise InvalidArgument(f"{field}.uri", "was made by the trainer: it says itself how it is read")
    return engine


def _published(path: Path, reading: Reading, device: torch.device, dtype: torch.dtype, field: str) -> Engine:
    kind = AutoModelForCausalLM if isinstance(reading, LanguageModelReading) else AutoModelForSequenceClassification
    loaded = load_pretrained(kind, path, field, dtype=dtype)
    if loaded.missing:
        raise InvalidArgument(
            f"{field}.uri", f"cannot be loaded: lacks {len(loaded.missing)} tensors, such as {loaded.missing[0]}"
        )
    torch.nn.Module.to(loaded.model, device)
    if isinstance(reading, LanguageModelReading):
        return CausalEngine(loaded.model, loaded.tokenizer, reading.prompt, chat_template=reading.chat_template)
    if isinstance(reading, ClassifierReading):
        return HeadClassifier(loaded.model, loaded.tokenizer, reading.label_names, reading.max_length)
    return RewardEngine(loaded.model, loaded.tokenizer, chat_template=reading.chat_template)
