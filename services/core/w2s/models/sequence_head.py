"""Published models with a classification head, as classifiers and as reward models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s.errors import InvalidArgument, W2SError
from w2s.models.architecture import end_ids, position_limit, render_chat
from w2s.models.engine import Engine, Item
from w2s.models.inputs import Completion, Row
from w2s.models.tokens import TokenItem, Tokens, each, pad_with, token_item, tokenize_rows

_DEFAULT_LENGTH = 512


class SequenceHeadEngine(Engine):
    """A model of transformers' `ForSequenceClassification` kind; an item gives its outputs.

    Args:
        model: The model, on its device and in its dtype.
        tokenizer: Its tokenizer.

    Raises:
        ValueError: What the model answers depends on padding.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._limit = position_limit(model, tokenizer)
        self._ends = end_ids(model.config)
        self._check_padding()

    def run(self, batch: Sequence[Item]) -> list[NDArray[np.float32]]:
        """The model's outputs, shape [C] each."""
        sequences = [item.tokens for item in cast("Sequence[TokenItem]", batch)]
        outputs: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(sequences)
        for indices in self._alike(sequences):
            for index, output in zip(indices, self._forward([sequences[i] for i in indices]), strict=True):
                outputs[index] = output
        return outputs

    def _forward(self, sequences: Sequence[Tokens]) -> NDArray[np.float32]:
        # Decoders find the last token by its id: pad with one that no sequence holds. Masked, any will do.
        pad_id = self._unused(sequences)
        self._model.config.get_text_config().pad_token_id = pad_id
        inputs = {name: values.to(self._model.device) for name, values in pad_with(pad_id, sequences).items()}
        with torch.inference_mode():
            outputs: NDArray[np.float32] = self._model(**inputs).logits.float().cpu().numpy()
        return outputs

    def _unused(self, sequences: Sequence[Tokens]) -> int:
        used = self._ends.union(*(tokens["input_ids"] for tokens in sequences))
        vocabulary = len(self._model.get_input_embeddings().weight)
        return next(id_ for id_ in chain([self._tokenizer.pad_token_id or 0], range(vocabulary)) if id_ not in used)

    def _alike(self, sequences: Sequence[Tokens]) -> Iterable[list[int]]:
        """Indices of sequences that may share a forward."""
        if not self._model.config.is_encoder_decoder:
            return [list(range(len(sequences)))]
        # These find the last token by the end tokens, of which all in a batch must have the same number.
        groups: dict[int, list[int]] = defaultdict(list)
        for index, tokens in enumerate(sequences):
            groups[sum(id_ in self._ends for id_ in tokens["input_ids"])].append(index)
        return groups.values()

    def _check_padding(self) -> None:
        short, long = (token_item(self._tokenizer(text)) for text in ("a", "a text that is longer"))
        alone, beside = self.run([short])[0], self.run([long, short])[1]
        if not np.allclose(alone, beside, rtol=0.05, atol=0.05, equal_nan=True):
            raise ValueError(f"{type(self._model).__name__} answers otherwise when a text is padded")


class HeadClassifier(SequenceHeadEngine):
    """Labels rows with a model of at least two outputs.

    Args:
        model: As `SequenceHeadEngine`.
        tokenizer: Its tokenizer.
        label_names: The classes in the order of the outputs; empty for the model's own names.
        max_length: Tokens a row is cut to; 0 for the smaller of 512 and the model's positions.

    Raises:
        ValueError: The model has too few outputs, or not as many as names, or too few positions.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        label_names: Sequence[str] = (),
        max_length: int = 0,
    ) -> None:
        super().__init__(model, tokenizer)
        names: Any = model.config.id2label
        outputs = len(names)
        self.label_names = tuple(label_names) or tuple(names[index] for index in range(outputs))
        if outputs < 2 or model.config.problem_type == "multi_label_classification":
            raise ValueError(f"is no classifier of exclusive classes: it has {outputs} outputs")
        if len(self.label_names) != outputs:
            raise ValueError(f"has {outputs} outputs, and label_names has {len(self.label_names)} entries")
        if max_length > self._limit:
            raise ValueError(f"has {self._limit} positions, and max_length is {max_length}")
        self._max_length = max_length or min(self._limit, _DEFAULT_LENGTH)

    def encode_rows(self, rows: Sequence[Row]) -> list[list[Item] | W2SError]:
        """One sequence a row, cut to `max_length`."""
        return tokenize_rows(self._tokenizer, self._max_length, rows)

    def logits(self, parts: Sequence[Sequence[NDArray[np.float32]]]) -> NDArray[np.float32]:
        """Logits of rows, shape [N, C]."""
        return np.stack([outputs for (outputs,) in parts])


class RewardEngine(SequenceHeadEngine):
    """Scores completions with a model of one output; an item gives the reward, shape [1].

    Args:
        model: As `SequenceHeadEngine`.
        tokenizer: Its tokenizer.
        chat_template: Reads a user's and an assistant's turn; otherwise prompt and completion
            joined as they are.

    Raises:
        ValueError: The model has more outputs, or there is no chat template.
    """

    scores = True
    rewards = True

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, chat_template: bool = False
    ) -> None:
        super().__init__(model, tokenizer)
        if model.config.num_labels != 1:
            raise ValueError(f"is no reward model: it has {model.config.num_labels} outputs, not 1")
        self._chat_template = chat_template
        self._encode([Completion("a prompt", "a completion")])

    def encode_completions(self, completions: Sequence[Completion]) -> list[Item | W2SError]:
        """One sequence a completion, or an error where the model cannot read it whole."""
        return [self._checked(item) for item in each(self._encode, completions, "completion")]

    def _encode(self, completions: Sequence[Completion]) -> list[TokenItem]:
        return answer_items(self._tokenizer, completions, chat_template=self._chat_template)

    def _checked(self, item: TokenItem | W2SError) -> Item | W2SError:
        return within(item, self._limit)


def answer_items(
    tokenizer: PreTrainedTokenizerBase, completions: Sequence[Completion], *, chat_template: bool
) -> list[TokenItem]:
    """What a reward model reads of answered prompts, whole.

    Args:
        tokenizer: The model's tokenizer.
        completions: Prompts with their completions.
        chat_template: Puts them into the tokenizer's chat template; otherwise they are joined
            as they are.

    Raises:
        ValueError: There is no chat template, or it refuses them.
    """
    if chat_template:
        texts = [render_chat(tokenizer, c.prompt, c.completion) for c in completions]
    else:
        texts = [c.prompt + c.completion for c in completions]
    # A chat template writes its special tokens itself.
    encoded = tokenizer(texts, add_special_tokens=not chat_template)
    return [token_item({name: ids[row] for name, ids in encoded.items()}) for row in range(len(texts))]


def within(item: TokenItem | W2SError, limit: int) -> Item | W2SError:
    """An item that a reward model can read whole, or an error."""
    if isinstance(item, W2SError) or 1 <= item.length <= limit:
        return item
    return InvalidArgument(
        "completion", f"has {item.length} tokens with its prompt; this model reads from 1 to {limit}"
    )
