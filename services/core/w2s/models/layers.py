"""Cuts a transformer body short and freezes its lower part, whatever its architecture."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from w2s.errors import InvalidArgument


def layer_stack(body: PreTrainedModel) -> nn.ModuleList:
    """The body's transformer layers: its one list of `num_hidden_layers` modules.

    Raises:
        InvalidArgument: The architecture has no single stack of layers.
    """
    count = body.config.num_hidden_layers
    stacks = [m for m in body.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if len(stacks) != 1:
        raise InvalidArgument(
            "model.base", f"{type(body).__name__} has no single stack of {count} layers to cut or freeze"
        )
    return stacks[0]


def keep_layers(body: PreTrainedModel, layers: int) -> None:
    """Drops all but the first `layers` layers, in place; 0 leaves the token embeddings.

    Raises:
        InvalidArgument: The body has fewer.
    """
    stack = layer_stack(body)
    if layers > len(stack):
        raise InvalidArgument("model.layers", f"must be in [0, {len(stack)}], the body's layers; got {layers}")
    del stack[layers:]
    body.config.num_hidden_layers = layers
    if getattr(body.config, "layer_types", None) is not None:
        body.config.layer_types = body.config.layer_types[:layers]


def freeze_below(body: PreTrainedModel, layer: int) -> list[nn.Module]:
    """Freezes everything that comes before a layer, in place.

    What the body registers after that layer, such as a final norm, trains with it.

    Args:
        body: The body.
        layer: 0 freezes nothing, embeddings included; the number of layers freezes the
            whole body.

    Returns:
        Modules that are wholly frozen, and so must stay in evaluation mode.

    Raises:
        InvalidArgument: The body has fewer layers.
    """
    if layer == 0 and body.config.num_hidden_layers > 0:
        return []
    if layer == body.config.num_hidden_layers:
        body.requires_grad_(False)
        return [body]
    stack = layer_stack(body)
    if layer > len(stack):
        raise InvalidArgument("model.train_from_layer", f"must be in [0, {len(stack)}], the layers; got {layer}")
    first_trained = next(stack[layer].parameters())
    for parameter in body.parameters():
        if parameter is first_trained:
            break
        parameter.requires_grad_(False)
    return [m for m in body.modules() if _wholly_frozen(m)]


def _wholly_frozen(module: nn.Module) -> bool:
    flags = [parameter.requires_grad for parameter in module.parameters()]
    return bool(flags) and not any(flags)
