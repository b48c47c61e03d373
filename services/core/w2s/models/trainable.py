"""Models as they are trained: with a fresh head for classes or rewards, or a language model's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, LANGUAGE_MODEL_SCHEMA, REWARD_SCHEMA
from w2s.errors import InvalidArgument
from w2s.models.adapters import adapt, merged
from w2s.models.bodies import freeze, load_body, load_causal, trained_from
from w2s.models.checkpoint import Checkpoint, state_digest
from w2s.models.classifier import Classifier, ClassifierConfig, resolve_pooling
from w2s.models.layers import freeze_below
from w2s.models.pretrained import loading
from w2s.models.scorer import CompletionScorer
from w2s.models.sources import Weights
from w2s.models.spec import ModelSpec

__all__ = ["Trainable", "build_classifier", "build_language_model", "build_reward_model", "state_digest"]


@dataclass
class Trainable:
    """A model to be trained.

    Attributes:
        module: What trains. A `Classifier`, called with `text` and `pair` or with `features`,
            gives logits [B, C] or rewards [B, 1]; a `CompletionScorer` log-probabilities [S].
        tokenizer: Its tokenizer, padding on the right.
        head: The parameters of a fresh head; none of a language model.
        schema: What the folder that it saves holds.
    """

    module: Classifier | CompletionScorer
    tokenizer: PreTrainedTokenizerBase
    head: list[nn.Parameter]
    schema: str
    _again: Callable[[], Trainable] = field(repr=False)

    @property
    def checkpoint(self) -> Checkpoint:
        """A model with a head of ours, to predict with."""
        assert isinstance(self.module, Classifier)
        return Checkpoint(self.module, self.tokenizer)

    def save(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Writes a Hugging Face folder with adapters merged: safetensors, configurations and tokenizer.

        Args:
            folder: Where to.
            state: The module's whole state, where it has only a part of it.
        """
        if state is not None:
            whole = self._again()
            whole.module.load_state_dict(state)
            whole.save(folder)
            return
        if isinstance(self.module, CompletionScorer):
            merged(self.module.model).save_pretrained(folder)
        else:
            merged(self.module).save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def build_classifier(spec: ModelSpec, weights: Weights, label_names: list[str]) -> Trainable:
    """A pretrained body, cut, frozen and adapted as the spec says, with a fresh head.

    Args:
        spec: What the model is made of.
        weights: Where its body is, from `ModelSources.resolve`.
        label_names: The classes, at least two.

    Raises:
        InvalidArgument: As `w2s.models.bodies.load_body`.
    """
    module, tokenizer = _headed(spec, weights, label_names, "classes")
    head = list(module.head.parameters())
    return Trainable(module, tokenizer, head, CLASSIFIER_SCHEMA, lambda: build_classifier(spec, weights, label_names))


def build_reward_model(spec: ModelSpec, weights: Weights) -> Trainable:
    """A pretrained body as `build_classifier` makes it, with a fresh head of one output; raises the same."""
    module, tokenizer = _headed(spec, weights, ["reward"], "reward")
    head = list(module.head.parameters())
    return Trainable(module, tokenizer, head, REWARD_SCHEMA, lambda: build_reward_model(spec, weights))


def build_language_model(spec: ModelSpec, weights: Weights) -> Trainable:
    """A causal language model, cut, frozen and adapted as the spec says.

    Raises:
        InvalidArgument: As `w2s.models.bodies.load_causal`, or its log-probabilities cannot be had.
    """
    model, tokenizer = load_causal(spec, weights)
    with loading("model.base"):
        scorer = CompletionScorer(model)
    body = model.base_model
    assert isinstance(body, PreTrainedModel)
    if spec.lora is not None:
        model.requires_grad_(False)
        adapt(body, spec.lora)
    else:
        freeze_below(body, trained_from(spec, body))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InvalidArgument("model.train_from_layer", "leaves nothing of this language model to train")
    return Trainable(scorer, tokenizer, [], LANGUAGE_MODEL_SCHEMA, lambda: build_language_model(spec, weights))


def _headed(
    spec: ModelSpec, weights: Weights, names: list[str], reads: Literal["classes", "reward"]
) -> tuple[Classifier, PreTrainedTokenizerBase]:
    body, tokenizer = load_body(spec, weights)
    config = ClassifierConfig(
        body=body.config,
        reads=reads,
        encoding=spec.encoding.value,
        pooling=resolve_pooling(spec.pooling, body.config).value,
        max_length=spec.max_length,
        body_frozen=spec.lora is None and trained_from(spec, body) == body.config.num_hidden_layers,
        chat_template=spec.chat_template,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    module = Classifier(config, body)
    # Bodies with a pooling layer of their own have it for nothing here, and processes wait for its gradient.
    if (pooler := getattr(body, "pooler", None)) is not None:
        pooler.requires_grad_(False)
    if spec.lora is not None:
        adapt(body, spec.lora)
    else:
        module.frozen_modules = freeze(spec, body)
    return module, tokenizer
