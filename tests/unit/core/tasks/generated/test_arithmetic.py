from __future__ import annotations

import itertools
import re
from fractions import Fraction

import pytest

from w2s.errors import InvalidArgument
from w2s.tasks.generated.arithmetic import EASY, HARD, MEDIUM, Difficulty, arithmetic_rows

ALL = Difficulty(name="all", steps=4, largest=99, operations=("add", "subtract", "multiply", "divide"))
# What a reader makes of a sentence.
SENTENCES = [
    (r" (?:buys|finds|is given) (\d+) more ", lambda value, n: value + n),
    (r" (?:gives away|loses|sells) (\d+) ", lambda value, n: value - n),
    (r" becomes (\d+) times as large", lambda value, n: value * n),
    (r" into (\d+) equal parts", lambda value, n: value / n),
]


def taken(difficulty, count, seed=0):
    return list(itertools.islice(arithmetic_rows(difficulty, seed), count))


def read(prompt):
    """The values of a story, worked out from its words."""
    first, *events, question = re.fullmatch(r"Question: (.*)\nAnswer:", prompt)[1].split(". ")
    assert question.startswith("How many ")
    values = [Fraction(re.search(r" has (\d+) ", first)[1])]
    for event in events:
        ((n, calculate),) = [(int(m[1]), do) for pattern, do in SENTENCES if (m := re.search(pattern, event))]
        values.append(calculate(values[-1], n))
    return values


@pytest.mark.parametrize("difficulty", [EASY, MEDIUM, HARD, ALL], ids=lambda difficulty: difficulty.name)
def test_solutions_calculate_what_the_words_say_in_gsm8k_form(difficulty):
    for row in taken(difficulty, 200):
        values = read(row["prompt"])
        *lines, last = row["completion"].split("\n")
        assert row["completion"][0] == " "
        assert last == f"#### {values[-1]}"
        assert [re.search(r"= (\d+) \w+\.$", line)[1] for line in lines] == [str(value) for value in values[1:]]
        assert len(lines) == difficulty.steps
        for line, before in zip(lines, values, strict=False):
            left, sign, right, result = re.match(r" ?(\d+) ([-+*/]) (\d+) = (\d+) ", line).groups()
            assert int(left) == before
            assert {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}[sign] in difficulty.operations
            assert eval(f"{left} {sign} {right}") == int(result)
        assert all(value > 1 for value in values)
        assert max(map(int, row["group"].split())) <= difficulty.largest
        assert row["slice"] == difficulty.name


def test_problems_are_distinct_and_a_prefix_is_the_same_for_every_count():
    rows = taken(EASY, 2000)
    assert len({row["id"] for row in rows}) == len({row["prompt"] for row in rows}) == 2000
    assert taken(EASY, 300) == rows[:300]
    assert not {row["id"] for row in taken(EASY, 50, seed=1)} & {row["id"] for row in rows[:50]}


def test_a_group_holds_all_problems_with_the_same_numbers():
    rows = taken(EASY, 2000)
    numbers = [" ".join(sorted(re.findall(r"\d+", row["prompt"]), key=int)) for row in rows]
    assert [row["group"] for row in rows] == numbers
    assert 150 < len(set(numbers)) <= 190


def test_a_seed_makes_the_same_problems_for_ever():
    (row,) = taken(MEDIUM, 1)
    assert row == {
        "id": "6b84d593d4c0e4f9",
        "prompt": "Question: Noah has 6 stones. Noah finds 8 more stones. Noah is given 4 more stones. "
        "How many stones does Noah have now?\nAnswer:",
        "completion": " 6 + 8 = 14 stones.\n14 + 4 = 18 stones.\n#### 18",
        "slice": "medium",
        "group": "4 6 8",
    }


def test_an_end_of_problems_says_what_to_change():
    tiny = Difficulty(name="tiny", steps=1, largest=2, operations=("add",))
    with pytest.raises(InvalidArgument, match=r"about \d+ problems; take fewer, or larger numbers"):
        taken(tiny, 5000)
    impossible = Difficulty(name="none", steps=1, largest=2, operations=("subtract",))
    with pytest.raises(InvalidArgument, match="about 0 problems"):
        taken(impossible, 1)
