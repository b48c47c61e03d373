from __future__ import annotations

import pytest

from w2s.tasks.generated.moves import normal_move, same_move


@pytest.mark.parametrize(
    ("text", "move"),
    [
        (" Nf3", "Nf3"),
        ("Qxf7# 1-0", "Qxf7"),
        (" Bb5+\n7. Ke2", "Bb5"),
        ("e8=Q++", "e8=Q"),
        ("O-O-O", "O-O-O"),
        (" \n", ""),
        ("", ""),
    ],
)
def test_the_first_move_counts_without_marks_of_check(text, move):
    assert normal_move(text) == move


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        (" Nf3 Nc6", " Nf3", True),
        ("Qh5", " Qh5+", True),
        ("bxc3", " Bxc3", False),
        ("Nbd2", " Nd2", False),
        ("O-O", " O-O-O", False),
        (" +", "", False),
        ("", "", False),
    ],
)
def test_an_answer_is_right_when_it_begins_with_the_move(answer, reference, same):
    assert same_move(answer, reference) is same
