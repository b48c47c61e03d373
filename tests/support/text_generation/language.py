"""A toy language model whose every probability can be computed by hand, or by a test.

The next token's distribution is a softmax of noise that depends on the model's name and on all
tokens before, plus what `TABLE` says of the last one. So no two contexts are alike, answers are
probable where a prompt asks for them, and a test that knows this module knows what a server of
it must say.
"""

from __future__ import annotations

import hashlib
import string

import numpy as np

BOS, EOS, UNKNOWN = 0, 1, 2
_SPECIAL = ("<s>", "</s>", "<unk>")
# "->y" spans the boundary between a prompt that ends with "->" and the answer "yes".
WORDS = (
    *(
        " yes",
        " no",
        " maybe",
        " y",
        " n",
        " definitely",
        " not",
        "Answer:",
        "Question:",
        "->",
        "->y",
        " hidden",
        " it",
    ),
    *(" the", " a", " cat", " dog", " tree", " good", " bad", " old", " new", " sat", " ran", " saw", " is", " and"),
)
_CHARACTERS = (*string.printable[:95], "\n", "\t")
VOCABULARY = _SPECIAL + WORDS + _CHARACTERS
_IDS = {text: index for index, text in enumerate(VOCABULARY) if index >= len(_SPECIAL)}
_LONGEST = max(map(len, WORDS))

# Added to the logits of some tokens after a certain one.
TABLE = {
    "Answer:": {" yes": 8.0, " no": 7.5, " maybe": 7.0, " definitely": 7.0},
    "->": {"y": 5.0, "n": 5.0},
    " definitely": {" not": 6.0},
}
# Added wherever this word is among the tokens before: it keeps " no" off every list of probable tokens.
HIDING, HIDDEN = " hidden", {" no": -9.0}


def _vector(bonuses: dict[str, float]) -> np.ndarray:
    return np.array([bonuses.get(text, 0.0) for text in VOCABULARY])


_EVERYWHERE = _vector({**dict.fromkeys(WORDS, 2.0), "</s>": 2.0, "<s>": -20.0, "<unk>": -20.0, "Answer:": -4.0})
_AFTER = {text: _vector(bonuses) for text, bonuses in TABLE.items()}
_HIDDEN = _vector(HIDDEN)


def encode(text: str) -> list[int]:
    """Token ids of a text: the longest known piece at each place, after the beginning-of-text token."""
    return [BOS, *(token for token, _, _ in pieces(text))]


def pieces(text: str) -> list[tuple[int, int, int]]:
    """Each token of a text, and where it begins and ends."""
    found, at = [], 0
    while at < len(text):
        size = next((size for size in range(_LONGEST, 0, -1) if text[at : at + size] in _IDS), 1)
        size = min(size, len(text) - at)
        found.append((_IDS.get(text[at : at + size], UNKNOWN), at, at + size))
        at += size
    return found


def decode(token: int) -> str:
    """A token's text."""
    return VOCABULARY[token]


class ToyModel:
    """A model; another name makes another one.

    Args:
        name: The model's id, such as `toy/one`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.sha = hashlib.sha1(name.encode()).hexdigest()

    def log_probabilities(self, tokens: list[int]) -> np.ndarray:
        """log p(next token | tokens), shape [V], float64, nats."""
        return log_softmax(self.logits(tokens))

    def logits(self, tokens: list[int]) -> np.ndarray:
        """What the log-probabilities are the log-softmax of, shape [V]."""
        context = hashlib.blake2b(f"{self.name}/{tokens}".encode(), digest_size=8).digest()
        logits = np.random.default_rng(int.from_bytes(context)).normal(size=len(VOCABULARY)) + _EVERYWHERE
        last = decode(tokens[-1])
        if last in _AFTER:
            logits += _AFTER[last]
        return logits + _HIDDEN if _IDS[HIDING] in tokens else logits

    def read(self, tokens: list[int]) -> list[float | None]:
        """log p of each token given those before it; None for the first."""
        later = [float(self.log_probabilities(tokens[:end])[tokens[end]]) for end in range(1, len(tokens))]
        return [None, *later]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """log-softmax, shape [V]; -inf stays -inf."""
    top = logits.max()
    return logits - top - np.log(np.exp(logits - top).sum())
