"""A pretrained body with a fresh head, for classes or for rewards, saved as a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

from w2s.models.spec import Encoding, Pooling


class ClassifierConfig(PreTrainedConfig):
    """Configuration of `Classifier`; classes are in `id2label`, which has one entry for a reward.

    Attributes:
        body: The body's own configuration.
        reads: What the head gives: logits of classes, or the reward of an answered prompt.
        encoding: An `Encoding` value.
        pooling: A `Pooling` value other than AUTO.
        max_length: Tokens a text is cut to.
        body_frozen: The body is as it was pretrained, so its features can be shared.
        chat_template: Prompts and their answers are put into the tokenizer's chat template.
    """

    model_type = "w2s-classifier"

    body: Any = None
    reads: Literal["classes", "reward"] = "classes"
    encoding: str = Encoding.SINGLE.value
    pooling: str = Pooling.MEAN.value
    max_length: int = 256
    body_frozen: bool = False
    chat_template: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.body, dict):
            self.body = AutoConfig.for_model(**self.body)
        super().__post_init__(**kwargs)


class Classifier(PreTrainedModel):
    """Logits for one text or for two, or the reward of an answered prompt.

    Args:
        config: The configuration.
        body: The pretrained body; made from the configuration, untrained, when None.
    """

    config: ClassifierConfig
    config_class = ClassifierConfig
    base_model_prefix = ""
    main_input_name = "text"
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: ClassifierConfig, body: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.body = AutoModel.from_config(config.body) if body is None else body
        hidden = config.body.hidden_size
        width = 4 * hidden + 1 if config.encoding == Encoding.PAIR else hidden
        self.head = nn.Linear(width, len(config.id2label or {}))
        self.frozen_modules: list[nn.Module] = []
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Zero logits at the start, as in openai/weak-to-strong: no class is preferred by chance.
        if module is self.head:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def get_input_embeddings(self) -> None:  # type: ignore[override]
        """None: whoever shares weights out asks, and the body's are in units of its own."""

    def train(self, mode: bool = True) -> Classifier:
        """As `nn.Module.train`, but what is frozen stays in evaluation mode (no dropout)."""
        super().train(mode)
        for module in self.frozen_modules:
            module.eval()
        return self

    def enable_checkpointing(self) -> None:
        """Keeps no activations of the body's layers for the backward pass, which computes them again."""
        self.body.activation_checkpointing_enable()

    def pool(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """One vector for each sequence, L2-normalised for a pair encoder.

        Args:
            inputs: A tokenizer's `input_ids` and `attention_mask`, shape [B, T], and what
                else the body takes.

        Returns:
            Shape [B, H], float32.
        """
        hidden = self.body(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"]
        if self.config.pooling == Pooling.MEAN:
            weights = mask.unsqueeze(-1).float()
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        elif self.config.pooling == Pooling.FIRST_TOKEN:
            pooled = hidden[:, 0]
        else:
            last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
            pooled = hidden[torch.arange(len(hidden), device=hidden.device), last]
        return F.normalize(pooled, dim=-1) if self.config.encoding == Encoding.PAIR else pooled

    def forward(
        self,
        text: Mapping[str, Tensor] | None = None,
        pair: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Logits, shape [B, C], or rewards, shape [B, 1]; float32.

        Args:
            text: The tokenized first texts, or both texts joined (`Encoding.SINGLE`).
            pair: The tokenized second texts (`Encoding.PAIR` only).
            features: What the head reads, shape [B, D], in place of texts: the frozen
                body's work done before.
        """
        if features is None:
            assert text is not None
            pooled = self.pool(text)
            features = pooled if pair is None else pair_features(pooled, self.pool(pair))
        # Not in bfloat16, whose eight bits would make ties of what is compared.
        with torch.autocast(features.device.type, enabled=False):
            outputs: Tensor = self.head(features.to(self.head.weight.dtype))
        return outputs.float()


def pair_features(u: Tensor, v: Tensor) -> Tensor:
    """Features of two vectors: [u, v, |u - v|, u * v, u . v].

    Source: Reimers & Gurevych 2019, "Sentence-BERT", section 3.1 ((u, v, |u-v|)), with
    the products beside them.

    Args:
        u: Shape [B, H].
        v: Shape [B, H].

    Returns:
        Shape [B, 4H + 1].
    """
    return torch.cat([u, v, (u - v).abs(), u * v, (u * v).sum(dim=-1, keepdim=True)], dim=-1)


def resolve_pooling(pooling: Pooling, body: PreTrainedConfig) -> Pooling:
    """AUTO made concrete: MEAN for a bidirectional encoder, LAST_TOKEN for a causal body."""
    if pooling is not Pooling.AUTO:
        return pooling
    return Pooling.MEAN if type(body) in MODEL_FOR_MASKED_LM_MAPPING else Pooling.LAST_TOKEN


AutoConfig.register(ClassifierConfig.model_type, ClassifierConfig)
