"""Low-rank adapters, by PEFT."""

from __future__ import annotations

import copy

from peft import LoraConfig, LoraModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from w2s.errors import InvalidArgument
from w2s.models.spec import Lora

_NAME = "default"


def adapt(body: PreTrainedModel, lora: Lora) -> None:
    """Puts adapters beside a body's linear layers, in place; they alone train, from no change at all.

    Raises:
        InvalidArgument: The body has no module of a name that is to be adapted.
    """
    linear = {name for name, module in body.named_modules() if isinstance(module, nn.Linear)}
    wanted = set(lora.target_modules) or {name.rpartition(".")[2] for name in linear}
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=2 * lora.rank if lora.alpha is None else lora.alpha,  # type: ignore[arg-type]  # a scale like any
        lora_dropout=lora.dropout,
        target_modules=sorted(wanted),
    )
    try:
        LoraModel(body, config, _NAME)
    except ValueError as error:
        names = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise InvalidArgument("model.lora.target_modules", f"must be among {names}: {error}") from error


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """A model without adapters that does what one with adapters does; itself where it has none.

    The model stays as it is, and goes on training.
    """
    if not has_adapters(model):
        return model
    plain = copy.deepcopy(model)
    for name, module in list(plain.named_modules()):
        if _is_adapter(module):
            module.merge(safe_merge=True)  # type: ignore[operator]
            parent, _, child = name.rpartition(".")
            setattr(plain.get_submodule(parent), child, module.get_base_layer())  # type: ignore[operator]
    return plain


def has_adapters(model: nn.Module) -> bool:
    """Whether a model has adapters."""
    return any(map(_is_adapter, model.modules()))


def _is_adapter(module: nn.Module) -> bool:
    return isinstance(module, BaseTunerLayer)
