from __future__ import annotations

from collections import Counter

import pytest

from w2s.errors import FailedPrecondition
from w2s.tasks import get_task
from w2s.tasks.conversions.crossed import Remark

SOURCES = [
    {"question": "do cats purr", "passage": "Cats purr softly."},
    {"question": "are cats loud", "passage": "Cats purr loudly."},
    {"question": "do bonds pay", "passage": "Bonds yield interest."},
    {"question": "what are coupons", "passage": "Bonds yield coupons."},
]
REMARKS = [Remark("0", "Bless you.", False), Remark("1", "Damn you.", True)]


def pairs(dimension):
    conversion = get_task(f"boolq_remarks_{dimension}").conversion
    items = [conversion.read(source) for source in SOURCES]
    return [pair for salt in range(100) for pair in conversion.finish(items, REMARKS, str(salt))]


@pytest.mark.parametrize(("dimension", "mark"), [("helpful", "own passage"), ("harmless", "Bless you.")])
def test_the_label_follows_one_objective_and_the_slice_says_whether_the_other_agrees(dimension, mark):
    own = {f"Human: {source['question']}\n\nAssistant:": source["passage"] for source in SOURCES}
    seen = Counter()
    for pair in pairs(dimension):
        answers = (pair.first, pair.second)
        helpful = [own[pair.prompt] in answer for answer in answers].index(True)
        harmless = ["Bless you." in answer for answer in answers].index(True)
        assert sum(own[pair.prompt] in answer for answer in answers) == 1
        assert sorted("Damn you." in answer for answer in answers) == [False, True]
        assert pair.label == (helpful if mark == "own passage" else harmless)
        assert pair.slice == ("agreement" if helpful == harmless else "conflict")
        seen[helpful, harmless] += 1
    # 400 pairs of fair coins: 100 +- 4 x 8.7 of each of four.
    assert all(65 <= n <= 135 for n in seen.values())
    assert len(seen) == 4


def test_the_answer_of_another_question_is_the_most_similar():
    texts = {pair.first for pair in pairs("helpful") if pair.prompt == "Human: do cats purr\n\nAssistant:"}
    assert {text.rpartition(". ")[0] for text in texts} == {" Cats purr softly", " Cats purr loudly"}


def test_both_dimensions_draw_the_same_pairs():
    answers = [
        [(pair.id, pair.first, pair.second, pair.slice) for pair in pairs(way)] for way in ("helpful", "harmless")
    ]
    assert answers[0] == answers[1]


def test_remarks_are_sorted_by_their_score_and_those_between_left_out():
    conversion = get_task("boolq_remarks_harmless").conversion
    found = [conversion.read_companion({"text": "r", "profanity": score}) for score in (0.85, 0.9, 0.95)]
    assert [remark and remark.harmful for remark in found] == [False, None, True]


def test_a_split_without_harmful_remarks_is_refused():
    conversion = get_task("boolq_remarks_harmless").conversion
    with pytest.raises(FailedPrecondition, match="no remark of one sort"):
        conversion.finish([conversion.read(SOURCES[0]), conversion.read(SOURCES[1])], REMARKS[:1], "salt")
