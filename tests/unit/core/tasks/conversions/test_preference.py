from __future__ import annotations

import pytest

from w2s.tasks import get_task
from w2s.tasks.conversions.preference import PreferencePairs

TRANSCRIPT = "\n\nHuman: Who\nare you?\n\nAssistant: {}"


def transcript(answer):
    return TRANSCRIPT.replace("{}", answer)


def messages(*turns):
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("hh_harmless", {"chosen": transcript("A friend."), "rejected": transcript("Nobody. ")}),
        (
            "cai_harmless",
            {
                "index": 1,
                "prompt": "Who\nare you?",
                "chosen": messages(("user", "Who\nare you?"), ("assistant", "A friend.")),
                "rejected": messages(("user", "Who\nare you?"), ("assistant", "Nobody.")),
            },
        ),
    ],
)
def test_each_place_is_the_preferred_answers_in_half_of_the_draws(name, source):
    conversion = get_task(name).conversion
    item = conversion.read(source)
    seen = [conversion.finish([item], [], str(salt))[0] for salt in range(200)]
    prompt = "Human: Who\nare you?\n\nAssistant:"
    assert {(pair.prompt, pair.first, pair.second, pair.label) for pair in seen} == {
        (prompt, " A friend.", " Nobody.", 0),
        (prompt, " Nobody.", " A friend.", 1),
    }
    # 200 fair coins: 100 +- 4 x 7.1
    assert 71 <= sum(pair.label for pair in seen) <= 129
    assert conversion.dimension == "harmless"


def test_answers_alone_are_put_in_the_same_form():
    source = {"article_sent": "rain fell.", "correct_sent": "it rained.", "incorrect_sent": "it snowed."}
    item = get_task("factual_summary").conversion.read(source)
    assert (item.prompt, item.chosen, item.rejected) == (
        "Human: rain fell.\n\nAssistant:",
        " it rained.",
        " it snowed.",
    )


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        (transcript("A.") + "\n\nHuman: And?\n\nAssistant: B.", transcript("C.")),
        (transcript("A."), transcript("A.")),
        (transcript("A."), "\n\nHuman: Other?\n\nAssistant: B."),
        (transcript(""), transcript("B.")),
        ("\n\nHuman: no answer", transcript("B.")),
        ("no turns", transcript("B.")),
    ],
)
def test_conversations_of_more_turns_and_pairs_that_say_nothing_are_left_out(chosen, rejected):
    assert get_task("hh_helpful").conversion.read({"chosen": chosen, "rejected": rejected}) is None


def test_a_message_of_the_system_or_a_second_turn_is_left_out():
    conversion = PreferencePairs(kind="preference", form="messages")
    good = messages(("user", "q"), ("assistant", "a"))
    other = messages(("user", "q"), ("assistant", "b"))
    assert conversion.read({"chosen": good, "rejected": other}) is not None
    for bad in (messages(("system", "s"), ("user", "q"), ("assistant", "a")), good + good, good[:1]):
        assert conversion.read({"chosen": bad, "rejected": other}) is None


def test_a_transcripts_marks_inside_a_line_are_text():
    text = "\n\nHuman: Say Human: and Assistant: now\n\nAssistant: Human: yes"
    item = get_task("hh_helpful").conversion.read({"chosen": text, "rejected": text + "!"})
    assert item.prompt == "Human: Say Human: and Assistant: now\n\nAssistant:"
    assert item.chosen == " Human: yes"
