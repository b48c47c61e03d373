"""Turns tokens into text as they come, up to a stop text."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

# Decoders treat the first token apart (a leading space goes): these tokens of the prompt stand before it.
_CONTEXT = 5
# What decodes of bytes that are no whole character end in.
_BROKEN = "\ufffd"


class TextStream:
    """One continuation's text.

    Args:
        tokenizer: The model's tokenizer.
        prompt: The tokens that are continued.
        stops: Texts that end the continuation, none of them empty.

    Attributes:
        stopped: Whether a stop text came; nothing comes after it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], stops: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._ids = [*prompt[-_CONTEXT:]]
        self._told = len(self._ids)
        self._pending = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Takes a token; gives the text that no later token can change, perhaps none."""
        self._ids.append(token)
        text = self._decode()
        if not text.endswith(_BROKEN):
            self._pending += text
            # The tokens told last stay, so that the next ones decode as what follows them.
            self._ids, self._told = self._ids[self._told :], len(self._ids) - self._told
        return self._release()

    def close(self) -> str:
        """Gives the text that was held back, without bytes of an unfinished character."""
        self._pending += self._decode().rstrip(_BROKEN)
        text = self._release()
        return text if self.stopped else text + self._pending

    def _decode(self) -> str:
        """The text of the tokens that were not told yet."""
        before, all_ = (
            self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for ids in (self._ids[: self._told], self._ids)
        )
        return str(all_)[len(before) :]

    def _release(self) -> str:
        # The stop text that is complete first, as if the text came letter by letter.
        found = [(at + len(stop), at) for stop in self._stops if (at := self._pending.find(stop)) >= 0]
        if found:
            self.stopped = True
            text, self._pending = self._pending[: min(found)[1]], ""
            return text
        end = len(self._pending) - max((_overlap(self._pending, stop) for stop in self._stops), default=0)
        text, self._pending = self._pending[:end], self._pending[end:]
        return text


def _overlap(text: str, stop: str) -> int:
    """How much of the end of a text may be the beginning of a stop text."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
