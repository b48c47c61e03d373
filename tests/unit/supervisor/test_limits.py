from __future__ import annotations

import pytest

from w2s.errors import InvalidArgument
from w2s_supervisor.limits import Limits

LIMITS = Limits(max_rows=3, max_characters=10)


def test_what_is_within_the_limits_passes():
    LIMITS.check_rows("examples", ["a", "b", "x" * 256])
    LIMITS.check_texts([("examples[0].text", "12345"), ("examples[1].text", "67890")])


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["a", "b", "c", "d"], "examples: at most 3 a call, got 4"),
        (["a", "x" * 257], r"examples\[1\]\.id: at most 256 characters, got 257"),
        (["a", "a"], "examples: the ids must be distinct"),
    ],
)
def test_rows_outside_the_limits_are_refused(ids, problem):
    with pytest.raises(InvalidArgument, match=problem):
        LIMITS.check_rows("examples", ids)


def test_the_longest_text_is_named():
    with pytest.raises(InvalidArgument, match=r"pairs\[1\]\.prompt: has 8 of the call's 11 characters.* may have 10"):
        LIMITS.check_texts([("pairs[0].prompt", "123"), ("pairs[1].prompt", "12345678")])
