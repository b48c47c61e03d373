from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2s_trainer.data.packing import Packed, joined, padded

SEQUENCES = st.lists(st.lists(st.integers(0, 50_000), min_size=1, max_size=9), min_size=1, max_size=8)


def pack(sequences, **columns):
    return Packed.of(
        [{"input_ids": ids, **{name: c[row] for name, c in columns.items()}} for row, ids in enumerate(sequences)]
    )


def padded_by_hand(sequences):
    width = max(map(len, sequences))
    return (
        [[*ids, *[0] * (width - len(ids))] for ids in sequences],
        [[1] * len(ids) + [0] * (width - len(ids)) for ids in sequences],
    )


@given(SEQUENCES, st.data())
def test_rows_are_padded_on_the_right_in_the_order_asked_for(sequences, data):
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=12))
    tensors = padded([pack(sequences)], rows)
    ids, mask = padded_by_hand([sequences[row] for row in rows])
    assert {name: tensor.dtype for name, tensor in tensors.items()} == dict.fromkeys(tensors, torch.int64)
    assert (tensors["input_ids"].tolist(), tensors["attention_mask"].tolist()) == (ids, mask)


def test_token_0_of_a_text_is_seen():
    tensors = padded([pack([[0, 0, 0], [7, 0]])], [0, 1])
    assert tensors["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_packs_are_padded_together_one_after_another():
    tensors = padded([pack([[1], [2, 3]]), pack([[4, 5, 6], [7]])], [1, 0])
    assert tensors["input_ids"].tolist() == [[2, 3, 0], [1, 0, 0], [7, 0, 0], [4, 5, 6]]


def test_every_column_is_padded_alike_and_an_attention_mask_is_not_kept():
    packed = Packed.of(
        [
            {"input_ids": [5, 6], "token_type_ids": [0, 1], "attention_mask": [1, 1]},
            {"input_ids": [7, 8, 9], "token_type_ids": [1, 1, 1], "attention_mask": [1, 1, 1]},
        ]
    )
    assert set(packed.columns) == {"input_ids", "token_type_ids"}
    assert padded([packed], [0, 1])["token_type_ids"].tolist() == [[0, 1, 0], [1, 1, 1]]


@given(SEQUENCES, st.data())
def test_what_is_taken_or_joined_is_what_was_packed(sequences, data):
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=12))
    packed = pack(sequences)
    whole = joined([packed.take(np.asarray(rows)), packed])
    expected = pack([*[sequences[row] for row in rows], *sequences])
    assert whole.offsets.tolist() == expected.offsets.tolist()
    assert whole.columns["input_ids"].tolist() == expected.columns["input_ids"].tolist()
    assert len(whole) == len(rows) + len(sequences)


@pytest.mark.parametrize("sequences", [[[1, 2], [3]]])
def test_lengths_are_those_of_the_sequences(sequences):
    assert pack(sequences).lengths.tolist() == [2, 1]
