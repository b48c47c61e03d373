from __future__ import annotations

from collections import Counter

import pytest

from w2s.tasks.draws import coin, identity, pick, shuffle

KEYS = [f"row {i}" for i in range(4000)]


def test_draws_are_fair_and_go_with_the_salt_and_the_key_alone():
    # 4000 draws: 2000 +- 4 x 31.6 heads, 1000 +- 4 x 27.4 of each of four.
    assert 1873 <= sum(coin("s", key) for key in KEYS) <= 2127
    assert all(890 <= n <= 1110 for n in Counter(pick("s", key, "abcd") for key in KEYS).values())
    assert all(890 <= n <= 1110 for n in Counter(shuffle("s", key, "abcd")[0] for key in KEYS).values())
    assert [coin("s", key) for key in KEYS[::-1]] == [coin("s", key) for key in KEYS][::-1]
    assert [pick("s", key, "abcd") for key in KEYS] != [pick("t", key, "abcd") for key in KEYS]


def test_the_coin_says_nothing_of_the_pick():
    tosses = Counter((coin("s", key), pick("s", key, "ab")) for key in KEYS)
    assert all(890 <= n <= 1110 for n in tosses.values())


@pytest.mark.parametrize("choices", ["a", "abc"])
def test_a_shuffle_keeps_what_there_is(choices):
    assert sorted(shuffle("s", "k", choices)) == list(choices)


def test_parts_are_not_run_together_in_an_id():
    assert len({identity("ab", "c"), identity("a", "bc"), identity("ab", "c", None), identity("abc")}) == 4
