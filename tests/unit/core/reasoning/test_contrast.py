from __future__ import annotations

import pytest

from w2s.reasoning.contrast import contrast

WEAK_RIGHT, WEAK_WRONG = "weak says\n#### 7", "weak says\n#### 5"


def samples(sevens, others):
    """Ten solutions or so: some say 7, the others 1, 2, ..."""
    return [f"way {n}\n#### 7" for n in range(sevens)] + [f"way {n}\n#### {n + 1}" for n in range(others)]


def pairs(weak, sampled, **settings):
    return contrast(weak, sampled, salt="42", key="q", **settings)


def test_the_weak_solution_is_chosen_where_the_vote_agrees():
    ((chosen, rejected),) = pairs(WEAK_RIGHT, samples(6, 4))
    assert (chosen, rejected.endswith("#### 7")) == (WEAK_RIGHT, False)


def test_the_weak_solution_is_rejected_where_the_vote_is_sure_of_another():
    ((chosen, rejected),) = pairs(WEAK_WRONG, samples(8, 2))
    assert (chosen.endswith("#### 7"), rejected) == (True, WEAK_WRONG)


@pytest.mark.parametrize(
    ("weak", "sampled"),
    [
        # Less than 0.6 says the same.
        (WEAK_RIGHT, samples(5, 5)),
        # Against the weak model it takes 0.8.
        (WEAK_WRONG, samples(7, 3)),
        # All agree: too easy.
        (WEAK_RIGHT, samples(10, 0)),
        # Most say nothing.
        (WEAK_RIGHT, ["cut off"] * 8 + samples(2, 0)),
        ("cut off", samples(7, 3)),
    ],
)
def test_what_teaches_nothing_gives_no_pair(weak, sampled):
    assert pairs(weak, sampled) == []


def test_several_pairs_of_a_question_differ_and_are_drawn():
    found = pairs(WEAK_RIGHT, samples(6, 4), limit=3)
    assert len({rejected for _, rejected in found}) == 3
    assert found == pairs(WEAK_RIGHT, samples(6, 4), limit=3)
    assert len(pairs(WEAK_WRONG, ["#### 7"] * 9 + ["#### 1"], limit=3)) == 1
    drawn = {contrast(WEAK_RIGHT, samples(6, 4), salt="42", key=str(n))[0][1] for n in range(40)}
    assert len(drawn) == 4
