"""A causal language model in two steps: the body, and the head on as few positions as are asked for."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast

# Numbers in the logits of one chunk: 64 MiB in float32.
CHUNK_NUMBERS = 1 << 24


class LanguageModel:
    """A causal language model's log-probabilities, in bounded memory.

    Args:
        model: The model, on its device and in its dtype.

    Attributes:
        caches: Whether it keeps keys and values, so that it can read on.

    Raises:
        ValueError: It is not causal, or its head cannot be run apart from its body.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model.eval()
        self._body: nn.Module = model.base_model
        self._takes_positions = "position_ids" in inspect.signature(self._body.forward).parameters
        # The model's own forward over given hidden states, with whatever it does to its logits (scales, caps).
        self._head = copy.copy(self.model)
        self._head._modules = {**model._modules, model.base_model_prefix: Given()}
        self._check()

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return torch.device(self.model.device)

    @torch.inference_mode()
    def read(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Hidden states of a batch, shape [B, T, H].

        Args:
            inputs: `input_ids`, padded on the right, and their `attention_mask`, shape [B, T].
        """
        hidden: Tensor = self._body(**inputs, use_cache=False).last_hidden_state
        return hidden

    @functools.cached_property
    def pads_before(self) -> bool:
        """Whether it reads on after padding as if there were none, so that prompts can share a batch."""
        if not self.caches:
            return False
        ids = torch.arange(3, device=self.device)[None]
        padded, mask = torch.cat([ids[:, :2], ids], dim=1), torch.tensor([[0, 0, 1, 1, 1]], device=self.device)
        _, cache = self.extend(padded[:, :4], None, mask[:, :4])
        hidden, _ = self.extend(padded[:, 4:], cache, mask)
        return _close(hidden, self.extend(ids, None)[0])

    @torch.inference_mode()
    def extend(self, ids: Tensor, cache: Cache | None, mask: Tensor | None = None) -> tuple[Tensor, Cache]:
        """Reads on after what a cache holds.

        Args:
            ids: Token ids, shape [B, T].
            cache: Keys and values of the tokens before, B sequences of one length; None for
                none. It is changed.
            mask: Which of all tokens, those before included, are no padding, shape [B, all];
                padding stands before the rest. None where there is none.

        Returns:
            Hidden states of the last tokens, shape [B, H], and the cache with all tokens.
        """
        padding: dict[str, Tensor] = {}
        if mask is not None:
            padding = {"attention_mask": mask}
            if self._takes_positions:
                padding["position_ids"] = (mask.cumsum(dim=-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        outputs: Any = self._body(input_ids=ids, past_key_values=cache, use_cache=True, **padding)
        return outputs.last_hidden_state[:, -1], outputs.past_key_values

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states, shape [P, H] to [P, V], float32; the caller bounds P."""
        logits: Tensor = self._head(inputs_embeds=hidden[None]).logits[0]
        return logits.float()

    @torch.inference_mode()
    def log_probabilities(self, hidden: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
        """Log-probabilities of tokens, in nats: log softmax over the whole vocabulary.

        Never holds more than `CHUNK_NUMBERS` logits at once.

        Args:
            hidden: Hidden states, shape [P, H].
            rows: The hidden state that predicts each token, in [0, P), shape [Q], rising.
            targets: The tokens, shape [Q].

        Returns:
            Shape [Q], float32.
        """
        vocabulary = len(self.model.get_output_embeddings().weight)
        chunk = max(1, CHUNK_NUMBERS // vocabulary)
        found = []
        for low in range(0, len(hidden), chunk):
            first, last = torch.searchsorted(rows, torch.tensor([low, low + chunk], device=rows.device)).tolist()
            logits = self.logits(hidden[low : low + chunk])
            inside = rows[first:last] - low
            found.append(logits[inside, targets[first:last]] - logits.logsumexp(dim=-1)[inside])
        return torch.cat(found)

    def _check(self) -> None:
        ids = torch.arange(3, device=self.device)[None]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.inference_mode():
            outputs = self.model(input_ids=ids, use_cache=True)
        hidden = self.read(inputs)[0]
        if not _close(self.logits(hidden), outputs.logits[0]):
            raise ValueError(f"{type(self.model).__name__} does more to its logits than its head does")
        if not _close(self.read({name: values[:, :2] for name, values in inputs.items()})[0], hidden[:2]):
            raise ValueError(f"{type(self.model).__name__} is no causal language model: it looks ahead")
        self.caches = isinstance(getattr(outputs, "past_key_values", None), Cache)


def _close(first: Tensor, second: Tensor) -> bool:
    # Wide enough for bfloat16; what is wrong is off by far more.
    return torch.allclose(first.float(), second.float(), rtol=0.05, atol=0.05, equal_nan=True)


class Given(nn.Module):
    """Stands where a body stands in a model, and gives the hidden states that it is given."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> BaseModelOutputWithPast:
        """The hidden states that were given as embeddings, shape [B, T, H]."""
        return _Outputs(last_hidden_state=inputs_embeds)

    @property
    def decoder(self) -> nn.Module:
        """Itself."""
        # Where a model calls its body's decoder, as OPT does.
        return self


class _Outputs(BaseModelOutputWithPast):
    """Hidden states, and nothing of all else that a body may have computed beside them."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
