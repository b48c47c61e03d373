"""What a published model says of itself."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from jinja2 import TemplateError
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s.models.templates import bounded_work

# Lines of a template that one rendering may run: those that are published run some hundreds.
_MOST_STEPS = 100_000
# Characters that it may add to what was said, and how often it may repeat that.
_MOST_ADDED, _MOST_TIMES = 200_000, 4
# Characters and numbers that its steps may handle, all together, and how often they may handle what was said.
_MOST_WORK, _MOST_WORK_TIMES = 1_000_000, 40
# What jinja2 calls the file of a template that comes from none.
_OF_TEMPLATES = "<template>"

TraceFunction = Callable[[FrameType, str, Any], Any]


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

    The template is somebody else's program: it runs in a sandbox, and its steps and what it writes are bounded.

    Args:
        tokenizer: A tokenizer with a chat template.
        prompt: What the user says.
        completion: What the assistant says; None leaves its turn open.

    Raises:
        ValueError: There is no template, it refuses such turns, or it is no sound program.
    """
    turns = [{"role": "user", "content": prompt}]
    if completion is not None:
        turns.append({"role": "assistant", "content": completion})
    said = sum(len(turn["content"]) for turn in turns)
    try:
        with _bounded_steps(), bounded_work(_MOST_WORK + _MOST_WORK_TIMES * said):
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=completion is None)
    # Any error can be written in a template.
    except Exception as error:
        raise ValueError(f"the chat template fails: {error}") from error
    if len(text) > _MOST_ADDED + _MOST_TIMES * said:
        raise ValueError(f"the chat template fails: it writes {len(text)} characters")
    return str(text)


@contextlib.contextmanager
def _bounded_steps() -> Iterator[None]:
    """Ends a template's loops and recursions: this thread's lines of templates are counted."""
    left = _MOST_STEPS

    def count(_frame: FrameType, event: str, _argument: Any) -> TraceFunction:
        nonlocal left
        left -= event == "line"
        if left < 0:
            raise TemplateError(f"it takes more than {_MOST_STEPS} steps")
        return count

    def enter(frame: FrameType, _event: str, _argument: Any) -> TraceFunction | None:
        return count if frame.f_code.co_filename == _OF_TEMPLATES else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)
