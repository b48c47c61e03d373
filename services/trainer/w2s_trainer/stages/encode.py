"""Turns datasets into what a model reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from w2s.artifacts.tables import CompletionDataset, Dataset, PairDataset
from w2s.errors import InvalidArgument
from w2s.models.checkpoint import Checkpoint
from w2s.models.classifier import Classifier
from w2s.models.features import FeatureCache
from w2s.models.predict import Predictor
from w2s.models.scorer import CompletionScorer
from w2s.models.spec import ModelSpec
from w2s_trainer.data import (
    AnswerEncoder,
    ClassificationExamples,
    CompletionEncoder,
    CompletionExamples,
    PreferenceExamples,
    RewardExamples,
    TextExamples,
    by_preference,
)
from w2s_trainer.spec import Kind, LanguageModeling, Objective, Sft
from w2s_trainer.stages.reference import Reference
from w2s_trainer.stages.supervised import Supervised

AnyExamples = ClassificationExamples | RewardExamples | PreferenceExamples | CompletionExamples
# Told how many of how many sequences a frozen body has read.
Tick = Callable[[int, int], None]

# How often, at most, that is told of one dataset: each time is an event that is kept.
_TICKS = 50


class Encoder:
    """Encodes datasets for one model and one objective.

    Args:
        module: The model, on its device; what trains of it is not looked at.
        tokenizer: The model's tokenizer.
        spec: What it was made of.
        objective: What it is trained for.
        cache: A local folder for what can be computed again.
        budget: Padded tokens of a batch of inference.
        bfloat16: Runs a frozen body in bfloat16 where that is safe, as training does.
        reference: Gives the reference's log-probabilities; None where the objective has none.
        tick: Told how far a frozen body has come.
    """

    def __init__(
        self,
        module: Classifier | CompletionScorer,
        tokenizer: PreTrainedTokenizerBase,
        spec: ModelSpec,
        objective: Objective,
        *,
        cache: Path,
        budget: int,
        bfloat16: bool,
        reference: Reference | None,
        tick: Tick,
    ) -> None:
        self._module = module
        self._tokenizer = tokenizer
        self._spec = spec
        self._objective = objective
        self._features = FeatureCache(cache / "features")
        self._budget = budget
        self._bfloat16 = bfloat16
        self._reference = reference
        self._tick = tick

    def __call__(self, data: Supervised) -> AnyExamples:
        """A dataset as the model reads it.

        Raises:
            InvalidArgument: The dataset is none for the objective, or an example cannot be read.
        """
        if self._objective.kind is Kind.CLASSIFIER:
            return self._classification(data)
        if self._objective.kind is Kind.REWARD_MODEL:
            return self._rewards(data)
        if isinstance(self._objective.loss, LanguageModeling):
            return self._texts(data)
        return self._completions(data) if isinstance(self._objective.loss, Sft) else self._preferences(data)

    def _classification(self, data: Supervised) -> ClassificationExamples:
        table = data.table
        if not isinstance(table, Dataset) or data.targets is None:
            raise self._unfit("examples with classes")
        assert isinstance(self._module, Classifier)
        config = self._module.config
        examples = ClassificationExamples.of_texts(
            self._tokenizer, config, table.ids, table.texts, table.pairs, data.targets, data.truth
        )
        if not config.body_frozen:
            return examples
        features = self._predictor(self._module).features(table.texts, table.pairs, _spaced(self._tick))
        return ClassificationExamples.of_features(table.ids, features, data.targets, data.truth, examples.cut)

    def _rewards(self, data: Supervised) -> RewardExamples:
        table, targets = self._pairs(data)
        assert isinstance(self._module, Classifier)
        encoder = AnswerEncoder(self._tokenizer, self._spec.max_length, chat_template=self._spec.chat_template)
        examples = RewardExamples.of_pairs(
            encoder, table.ids, table.prompts, table.firsts, table.seconds, targets[:, 0], data.truth
        )
        if not self._module.config.body_frozen:
            return examples
        sequences = [tokens for pack in examples.packs for tokens in pack.sequences]
        pooled = self._predictor(self._module).pooled(sequences, _spaced(self._tick))
        return examples.with_features(torch.stack(pooled.chunk(2), dim=1))

    def _predictor(self, frozen: Classifier) -> Predictor:
        checkpoint = Checkpoint(frozen, self._tokenizer)
        return Predictor(checkpoint, self._features, self._budget, bfloat16=self._bfloat16)

    def _preferences(self, data: Supervised) -> PreferenceExamples:
        table, targets = self._pairs(data)
        examples = PreferenceExamples.of_pairs(
            self._encoder(), table.ids, table.prompts, table.firsts, table.seconds, targets, data.truth
        )
        return examples if self._reference is None else examples.with_reference(self._reference(examples))

    def _completions(self, data: Supervised) -> CompletionExamples:
        table = data.table
        if isinstance(table, CompletionDataset):
            completions = table.completions
        elif isinstance(table, PairDataset) and data.targets is not None:
            completions, _ = by_preference(table.firsts, table.seconds, data.targets)
        else:
            raise self._unfit("completions or pairs")
        return CompletionExamples.of_completions(self._encoder(), table.ids, table.prompts, completions)

    def _texts(self, data: Supervised) -> TextExamples:
        table, encoder = data.table, self._encoder()
        if isinstance(table, CompletionDataset):
            return TextExamples.of_completions(encoder, table.ids, table.prompts, table.completions)
        if isinstance(table, PairDataset):
            return TextExamples.of_pairs(encoder, table.ids, table.prompts, table.firsts, table.seconds)
        return TextExamples.of_texts(encoder, table.ids, table.texts, table.pairs)

    def _pairs(self, data: Supervised) -> tuple[PairDataset, Tensor]:
        if not isinstance(data.table, PairDataset) or data.targets is None:
            raise self._unfit("pairs")
        return data.table, data.targets

    def _encoder(self) -> CompletionEncoder:
        tokenizer, length = self._tokenizer, self._spec.max_length
        return CompletionEncoder(tokenizer, length, chat_template=self._spec.chat_template)

    def _unfit(self, wanted: str) -> InvalidArgument:
        return InvalidArgument("dataset", f"holds none of what objective.{self._objective.name} learns from: {wanted}")


def _spaced(tick: Tick) -> Tick:
    """Passes on of many ticks few: the last one, and those that are a share of the whole apart."""
    told = 0

    def spaced(done: int, total: int) -> None:
        nonlocal told
        if done == total or (done - told) * _TICKS >= total:
            told = done
            tick(done, total)

    return spaced
