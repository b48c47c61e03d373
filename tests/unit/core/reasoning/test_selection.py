from __future__ import annotations

import pytest

from w2s.reasoning.answers import final_answer, stated_answer
from w2s.reasoning.selection import Vote, agreeing, vote


@pytest.mark.parametrize(
    ("solution", "stated", "final"),
    [
        ("3 + 4 = 7 eggs.\n#### 7", "7", "7"),
        ("so it is $1,200.\n#### $1,200.00", "1200", "1200"),
        ("The answer is: 12 apples.", "12", "12"),
        ("thus \\boxed{\\frac{1}{2}} or \\boxed{0.5}", "0.5", "0.5"),
        # Cut off: nothing is stated, and a score still has a number to read.
        ("3 + 4 = 7 eggs.", "", "7"),
        ("", "", ""),
    ],
)
def test_a_stated_answer_is_what_the_solution_says_it_is(solution, stated, final):
    assert (stated_answer(solution), final_answer(solution)) == (stated, final)


def test_questions_are_kept_where_both_state_the_same():
    weak = ["#### 7", "#### 7", "no idea", "#### 1,000", "7 eggs"]
    other = ["The answer is 7.", "#### 8", "no idea", "#### 1000", "7 eggs"]
    assert agreeing(weak, other) == [0, 3]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        agreeing(weak, other[:2])


def test_of_equal_votes_the_first_wins_and_silence_counts():
    assert vote(["2", "1", "1", "2"]) == Vote("2", 0.5)
    assert vote(["", "", "1"]) == Vote("", pytest.approx(2 / 3))
    with pytest.raises(ValueError, match="needs an answer"):
        vote([])
