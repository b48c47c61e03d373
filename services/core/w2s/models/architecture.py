"""What a published model says of itself."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def position_limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most tokens that a model can read at once, >= 1.

    The number of its positions, or the tokenizer's limit (perhaps a huge number) where the
    architecture has none.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is None:
        return int(tokenizer.model_max_length)
    # RoBERTa and its kin count positions from the one after the padding token's.
    reserved = [
        module.padding_idx + 1
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None
    ]
    return int(positions) - max(reserved, default=0)


def end_ids(settings: Any) -> frozenset[int]:
    """The ids of the tokens that end a sequence, from a model's or its generation's configuration."""
    ids = getattr(settings, "eos_token_id", None)
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)


def render_chat(tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str | None = None) -> str:
    """A user's turn in the tokenizer's chat template, and an assistant's turn after it.

    Args:
        tokenizer: A tokenizer with a chat template.
        prompt: What the user says.
        completion: What the assistant says; None leaves its turn open.

    Raises:
        ValueError: There is no template, or it refuses such turns.
    """
    turns = [{"role": "user", "content": prompt}]
    if completion is not None:
        turns.append({"role": "assistant", "content": completion})
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=completion is None)
    except TemplateError as error:
        raise ValueError(f"the chat template fails: {error}") from error
    return str(text)
