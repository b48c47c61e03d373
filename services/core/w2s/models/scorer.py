"""A causal language model that scores completions, with gradient and in bounded memory."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from w2s.models.adapters import without_adapters
from w2s.models.language_model import Given, LanguageModel
from w2s.objectives import sum_log_probs, token_log_probs

# Numbers in the logits of one chunk: half a GiB in float32.
_CHUNK_NUMBERS = 1 << 27


class CompletionScorer(nn.Module):
    """Log-probabilities of completions.

    Args:
        model: The language model.

    Raises:
        ValueError: It is not causal, or its head cannot be run apart from its body.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        LanguageModel(model)
        self.model = model
        # Weights are shared out, and gathered, layer by layer.
        self._no_split_modules = model._no_split_modules
        self._chunk = max(1, _CHUNK_NUMBERS // len(model.get_output_embeddings().weight))

    @property
    def config(self) -> PreTrainedConfig:
        """The language model's configuration."""
        return self.model.config

    def enable_checkpointing(self) -> None:
        """Keeps no activations of the layers for the backward pass, which computes them again."""
        self.model.activation_checkpointing_enable()

    def without_adapters(self) -> AbstractContextManager[None]:
        """Within it, completions are scored by the model that the adapters were put on: the reference of DPO."""
        return without_adapters(self.model)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, completion_mask: Tensor) -> Tensor:
        """Summed log-probabilities of what a mask shows, each token given those before it.

        Args:
            input_ids: Token ids, padded on the right, shape [S, T], int64.
            attention_mask: Which of them are no padding, shape [S, T].
            completion_mask: Which of them count, shape [S, T]; the first one never does.

        Returns:
            Shape [S], float32, in nats.
        """
        hidden = self.model.base_model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        found = token_log_probs(hidden, input_ids, completion_mask, self._head(), self._chunk)
        return sum_log_probs(found, completion_mask[:, 1:])

    def _head(self) -> nn.Module:
        # The model's own forward over given hidden states, with whatever it does to its logits (scales, caps).
        shallow = copy.copy(self.model)
        shallow._modules = {**self.model._modules, self.model.base_model_prefix: Given()}
        return _Head(shallow)


class _Head(nn.Module):
    """Logits of hidden states, shape [P, H] to [P, V]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # No submodule: the parameters are the scorer's already.
        self._model = (model,)

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._model[0](inputs_embeds=hidden[None]).logits[0]
        return logits
