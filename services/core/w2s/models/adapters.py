"""Low-rank adapters, by PEFT."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

from peft import LoraConfig, LoraModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from w2s.errors import InvalidArgument

if TYPE_CHECKING:
    from w2s.models.spec import Lora

_NAME = "default"


def adapt(body: PreTrainedModel, lora: Lora) -> None:
    """Puts adapters beside a body's linear layers, in place; they alone train, from no change at all.

    Raises:
        InvalidArgument: The body has no linear layer of a name that is to be adapted.
    """
    linear = {name: module for name, module in body.named_modules() if _is_linear(name, module)}
    if not linear:
        raise InvalidArgument("model.lora", "needs linear layers to adapt, and the body has none")
    unknown = [target for target in lora.target_modules if not any(_ends(name, target) for name in linear)]
    if unknown:
        names = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise InvalidArgument("model.lora.target_modules", f"must be among {names}; got {', '.join(unknown)}")
    targets = lora.target_modules or tuple(linear)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=2 * lora.rank if lora.alpha is None else lora.alpha,  # type: ignore[arg-type]  # a scale like any
        lora_dropout=lora.dropout,
        # Whole names, so that nothing else is taken for one of them.
        target_modules=[name for name in linear if any(_ends(name, target) for target in targets)],
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in linear.values()),
    )
    LoraModel(body, config, _NAME)


@contextlib.contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Within it, a model does what it did before it had adapters."""
    adapters = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for adapter in adapters:
        adapter.enable_adapters(False)
    try:
        yield
    finally:
        for adapter in adapters:
            adapter.enable_adapters(True)


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


def _is_linear(name: str, module: nn.Module) -> bool:
    # A body's own pooling layer is never run here: its adapters would have no gradient.
    return isinstance(module, nn.Linear | Conv1D) and name.partition(".")[0] != "pooler"


def _ends(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")
