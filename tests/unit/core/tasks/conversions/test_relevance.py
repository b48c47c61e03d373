from __future__ import annotations

from collections import Counter

from w2s.tasks import Row
from w2s.tasks.conversions.relevance import Relevance

CONVERSION = Relevance(kind="relevance", text="{q}", text_pair="{p}")


def test_one_row_is_kept_for_each_second_text_and_none_is_labelled_before_the_draw():
    rows = [CONVERSION.read({"q": q, "p": p}) for q, p in (("a", "same"), ("b", "same"), ("a", "other"))]
    assert [CONVERSION.same(row) for row in rows] == ["same", "same", "other"]
    assert {CONVERSION.label_names[row.label] for row in rows} == {"relevant"}


def test_the_most_similar_other_text_is_the_negative():
    passages = ["cats purr softly", "cats purr loudly", "bonds yield interest", "bonds yield coupons"]
    nearest = dict(zip(passages, [passages[i] for i in (1, 0, 3, 2)], strict=True))
    rows = [Row(str(i), f"question {i}", passage, 1) for i, passage in enumerate(passages)]
    seen = Counter()
    for salt in map(str, range(20)):
        for before, after in zip(rows, CONVERSION.finish(rows, [], salt), strict=True):
            seen[after.label] += 1
            assert after.text == before.text
            assert after.text_pair == (before.text_pair if after.label else nearest[before.text_pair])
    # 80 fair coins: 40 +- 4 standard deviations
    assert 22 <= seen[0] <= 58
