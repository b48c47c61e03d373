from __future__ import annotations

import pytest
from helpers.tiny_models import BOS, byte_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from w2s.models.text_stream import TextStream

BYTES = byte_tokenizer()


def stream(tokenizer, tokens, prompt=(BOS,), stops=()):
    """The pieces that come of tokens, the last one at the close."""
    text, pieces = TextStream(tokenizer, prompt, stops), []
    for token in tokens:
        pieces.append(text.push(token))
        if text.stopped:
            return pieces
    return [*pieces, text.close()]


def test_text_comes_at_once_when_nothing_can_change_it():
    assert stream(BYTES, b"abc") == ["a", "b", "c", ""]


def test_a_character_comes_whole_with_its_last_byte():
    assert stream(BYTES, "aé€😀b".encode()) == ["a", "", "é", "", "", "€", "", "", "", "😀", "b", ""]


def test_bytes_of_an_unfinished_character_never_come():
    assert stream(BYTES, "a😀".encode()[:-1]) == ["a", "", "", "", ""]


def test_what_may_begin_a_stop_text_is_held_back_until_it_does_not():
    assert stream(BYTES, b"a##b###c", stops=["###"]) == ["a", "", "", "##b", "", "", ""]
    assert stream(BYTES, b"a##", stops=["###"]) == ["a", "", "", "##"]


def test_the_first_stop_text_ends_the_text_whatever_their_order():
    assert "".join(stream(BYTES, b"one two three", stops=["three", "two"])) == "one "
    assert "".join(stream(BYTES, b"aaab", stops=["aab"])) == "a"
    # Both end with the same token.
    assert "".join(stream(BYTES, b"xab", stops=["b", "ab"])) == "x"
    # The same as if this token came letter by letter.
    whole = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"abcd": 0, "<unk>": 1}, "<unk>")))
    assert stream(whole, [0], prompt=[], stops=["abcd", "bc"]) == ["a"]


def test_a_stop_text_of_several_bytes_a_character_is_found():
    assert stream(BYTES, "a→b".encode(), stops=["→"]) == ["a", "", "", ""]


def test_a_stop_text_that_ends_with_the_last_token_is_found():
    text = TextStream(BYTES, (BOS,), ["ab"])
    assert [text.push(token) for token in b"xab"] == ["x", "", ""]
    assert text.stopped


@given(
    st.text(st.sampled_from("ab€😀#\n "), max_size=30), st.lists(st.text("ab€#", min_size=1, max_size=3), max_size=3)
)
def test_the_pieces_are_the_text_up_to_the_stop_text_that_is_complete_first(text, stops):
    pieces = stream(BYTES, text.encode(), stops=stops)
    # The shortest beginning that ends in stop texts, without the longest of them.
    ends = (end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops))
    ended = text[: next(ends, len(text))]
    cut = max((len(stop) for stop in stops if ended.endswith(stop)), default=0)
    assert "".join(pieces) == ended[: len(ended) - cut]
    assert "\ufffd" not in "".join(pieces)


def test_special_tokens_are_no_text():
    assert stream(BYTES, [97, BOS, 98]) == ["a", "", "b", ""]


@pytest.mark.parametrize("prompt", ["", "a prompt"])
def test_words_that_a_decoder_joins_come_as_they_are_decoded_together(minilm_folder, prompt):
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder)
    before = tokenizer(prompt)["input_ids"][:-1]
    tokens = tokenizer("unbelievable embeddings, tokenized", add_special_tokens=False)["input_ids"]
    # Pieces of words begin with ## here, and others with a space unless they are the first.
    whole, prefix = (tokenizer.decode(ids, skip_special_tokens=True) for ids in ([*before, *tokens], before))
    assert "".join(stream(tokenizer, tokens, before)) == whole[len(prefix) :]
    assert any(tokenizer.convert_ids_to_tokens(token).startswith("##") for token in tokens)


def test_a_space_before_the_first_word_stays():
    # As in SentencePiece, whose decoder takes the space off the first token.
    words = {"▁one": 0, "▁two": 1, "▁three": 2, "<unk>": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    assert fast.decode([1, 2]) == "two three"
    assert stream(fast, [1, 2], prompt=[0]) == [" two", " three", ""]
