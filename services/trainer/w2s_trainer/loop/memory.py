"""Whether a training's activations fit into memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# Bytes that a layer of a transformer keeps for the backward pass, for each token and hidden
# number, in 16 bits and without the attention matrix: Korthikanti et al. 2022, "Reducing
# Activation Recomputation in Large Transformer Models", equation 2 with s = 0 in the bracket.
_BYTES = 34
# Weights, gradients and both moments of AdamW, in float32.
_STATE_BYTES = 16
# The share of memory that may be planned with; the rest is for logits, buffers and fragments.
_SHARE = 0.8


def activation_bytes(layers: int, hidden: int, tokens: int) -> int:
    """What a transformer keeps of a micro-batch for its backward pass.

    34 s b h L bytes (Korthikanti et al. 2022, equation 2; attention computed in blocks)

    Args:
        layers: Layers L.
        hidden: Hidden size h.
        tokens: Tokens s b, padding included.
    """
    return _BYTES * layers * hidden * tokens


def needs_checkpointing(model: nn.Module, longest: int, budget: int, device: torch.device) -> bool:
    """Whether activations are to be computed again in the backward pass, to save their memory.

    Args:
        model: What is trained; its `config` says how deep and wide it is.
        longest: Tokens of the longest sequence.
        budget: Padded tokens of a micro-batch.
        device: Where it is trained.

    Returns:
        Whether weights, optimiser and activations take more than 80 % of a GPU's memory.
        Never on a CPU, which has swap and time rather than a limit of its own.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if device.type != "cuda" or not trained:
        return False
    config: Any = getattr(model, "config", None)
    # A head's configuration holds its body's.
    config = getattr(config, "body", config)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    layers, hidden = getattr(text, "num_hidden_layers", 0), getattr(text, "hidden_size", 0)
    frozen = sum(p.numel() * p.element_size() for p in model.parameters() if not p.requires_grad)
    state = frozen + _STATE_BYTES * sum(p.numel() for p in trained)
    total = torch.cuda.get_device_properties(device).total_memory
    return state + activation_bytes(layers, hidden, max(longest, budget)) > _SHARE * total
