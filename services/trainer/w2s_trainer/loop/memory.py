"""Whether a training's activations fit into memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# Bytes that a layer keeps for the backward pass, for each token and number of the hidden state and of the MLP's inside.
# Measured with saved-tensor hooks on Llama, Qwen2, BERT, GPT-2, GPT-NeoX and ModernBERT with SDPA: the most of them.
_FLOAT32 = (41, 20)
_AUTOCAST = (35, 8)
# Weights, gradients and both moments of AdamW, in float32.
_STATE_BYTES = 16
# Autocast keeps a copy of every weight until the backward pass has seen it.
_COPY_BYTES = 2
# The share of memory that may be planned with; the rest is for logits, buffers and fragments.
_SHARE = 0.8


def activation_bytes(layers: int, hidden: int, inner: int, tokens: int, *, bfloat16: bool) -> int:
    """What a transformer keeps of a micro-batch for its backward pass: L t (a h + b m) bytes.

    The form of Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer
    Models", equation 2, without the attention matrix; a and b are measured, as they count on
    kernels that keep less between them.

    Args:
        layers: Layers L.
        hidden: Hidden size h.
        inner: Size of the MLP's inside m.
        tokens: Tokens t, padding included.
        bfloat16: Under autocast to bfloat16; else all in float32.
    """
    of_hidden, of_inner = _AUTOCAST if bfloat16 else _FLOAT32
    return layers * tokens * (of_hidden * hidden + of_inner * inner)


def training_bytes(model: nn.Module, tokens: int, *, bfloat16: bool, shards: int) -> int:
    """What a process keeps of a training while it goes back through a micro-batch.

    Args:
        model: What is trained; its `config` says how deep and wide it is.
        tokens: Tokens of the micro-batch, padding included.
        bfloat16: Computes under autocast to bfloat16.
        shards: Processes that weights and optimiser state are shared out among; 1 where each has all.
    """
    config: Any = getattr(model, "config", None)
    # A head's configuration holds its body's.
    config = getattr(config, "body", config)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    layers, hidden = getattr(text, "num_hidden_layers", 0), getattr(text, "hidden_size", 0)
    # As GPT-2 says it: four times the hidden size when it does not.
    inner = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * hidden
    state = sum(p.numel() * (_STATE_BYTES if p.requires_grad else p.element_size()) for p in model.parameters())
    copies = _COPY_BYTES * sum(p.numel() for p in model.parameters()) if bfloat16 else 0
    return -(-state // shards) + copies + activation_bytes(layers, hidden, inner, tokens, bfloat16=bfloat16)


def needs_checkpointing(
    model: nn.Module, longest: int, budget: int, device: torch.device, *, bfloat16: bool, shards: int
) -> bool:
    """Whether activations are to be computed again in the backward pass, to save their memory.

    Args:
        model: As `training_bytes`.
        longest: Tokens of the longest example, all of its sequences together.
        budget: Padded tokens of a micro-batch.
        device: Where it is trained.
        bfloat16: As `training_bytes`.
        shards: As `training_bytes`.

    Returns:
        Whether weights, optimiser and activations take more than 80 % of a GPU's memory.
        Never on a CPU, which has swap and time rather than a limit of its own.
    """
    if device.type != "cuda" or not any(parameter.requires_grad for parameter in model.parameters()):
        return False
    total = torch.cuda.get_device_properties(device).total_memory
    return training_bytes(model, max(longest, budget), bfloat16=bfloat16, shards=shards) > _SHARE * total
