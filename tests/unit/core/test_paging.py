from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.errors import InvalidArgument
from w2s.paging import decode_token, encode_token, page_size


@pytest.mark.parametrize(("asked", "used"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000)])
def test_page_size_has_a_default_and_a_limit(asked, used):
    assert page_size(asked) == used


def test_a_negative_page_size_is_refused():
    with pytest.raises(InvalidArgument, match="page_size"):
        page_size(-1)


@given(st.text(st.characters(codec="utf-8")))
def test_a_token_gives_its_key_back(key):
    assert decode_token(encode_token(key)) == key


@pytest.mark.parametrize("token", ["a", "é", "!!!!", "____", "YWI=\n"], ids=ascii)
def test_what_is_no_token_is_refused(token):
    with pytest.raises(InvalidArgument, match="page_token"):
        decode_token(token)
