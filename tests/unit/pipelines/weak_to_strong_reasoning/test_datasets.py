"""What is selected and paired, from solutions written by hand."""

from __future__ import annotations

import pytest

from pipelines import preset
from pipelines.plans import make_plan
from pipelines.steps.select import questions
from pipelines.weak_to_strong_reasoning import datasets as data
from pipelines.weak_to_strong_reasoning.plan import Plan
from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import read_completions, read_pairs, write_completions
from w2s.errors import FailedPrecondition, InvalidArgument

TINY = preset.load("weak-to-strong-reasoning", "tiny")


@pytest.fixture
def kept(store):
    """Keeps rows of (id, completion) as completions of `Question: id`."""

    def keep(key, *rows):
        with store.write("datasets", key, data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
            write_completions(
                draft.path, [{"id": i, "prompt": f"Question: {i}\nAnswer:", "completion": text} for i, text in rows]
            )
        return draft.ref.model_dump()

    return keep


def rows(store, reference):
    found = read_completions(store, ArtifactRef(**reference))
    return list(zip(found.ids, found.prompts, found.completions, strict=True))


def test_questions_carry_no_ground_truth(store, kept):
    solved = kept("solved", ("a", " #### 1"), ("b", " #### 2"))
    assert rows(store, questions(store, solved)) == [
        ("a", "Question: a\nAnswer:", ""),
        ("b", "Question: b\nAnswer:", ""),
    ]
    assert len(rows(store, questions(store, solved, first=1))) == 1


def test_questions_in_context_come_after_solved_ones(store, kept):
    asked, demos = kept("asked", ("q", "")), kept("demos", ("a", " 1 + 1 = 2\n#### 2 "), ("b", " #### 3"))
    ((id_, prompt, _),) = rows(store, data.in_context(store, asked, demos))
    assert id_ == "q"
    assert prompt == ("Question: a\nAnswer: 1 + 1 = 2\n#### 2\n\nQuestion: b\nAnswer: #### 3\n\nQuestion: q\nAnswer:")


def test_what_both_answer_alike_is_selected(store, kept):
    asked = kept("asked", ("a", ""), ("b", ""), ("c", ""), ("d", ""))
    weak = kept("weak", ("a", "w #### 1"), ("b", "w #### 2"), ("c", "cut off"), ("d", ""))
    other = kept("other", ("a", "s #### 1\n\nQuestion: more"), ("b", "s #### 9"), ("c", "cut off"), ("d", "#### 4"))
    found = data.select(store, asked, weak, other)
    assert (found["agreed"], found["questions"]) == (["a"], 4)
    hybrid = rows(store, found["datasets"]["hybrid"])
    assert [(id_, text) for id_, _, text in hybrid] == [("a", " w #### 1"), ("a#icl", " s #### 1")]
    assert [id_ for id_, _, _ in rows(store, found["datasets"]["full_weak"])] == ["a", "b", "c"]
    assert [id_ for id_, _, _ in rows(store, found["datasets"]["icl_only"])] == ["a#icl"]
    # The same again is the same artifact.
    assert data.select(store, asked, weak, other) == found


def test_nothing_agreed_leaves_no_dataset(store, kept):
    asked = kept("asked", ("a", ""))
    found = data.select(store, asked, kept("weak", ("a", "#### 1")), kept("other", ("a", "#### 2")))
    assert set(found["datasets"]) == {"full_weak"}
    with pytest.raises(FailedPrecondition, match="the same questions"):
        data.select(store, asked, kept("others", ("b", "#### 1")), kept("other2", ("a", "#### 2")))


def test_pairs_are_made_of_votes(store, kept):
    weak = kept("weak", ("a", " w #### 1"), ("b", " w #### 2"))
    samples = kept(
        "samples",
        *((f"a#{n}", f" s{n} #### {answer}") for n, answer in enumerate([1, 1, 1, 5])),
        *((f"b#{n}", f" s{n} #### 7") for n in range(4)),
    )
    made = data.pairs(store, weak, samples, make_plan(Plan, TINY).preference)
    assert (made["pairs"], made["questions"]) == (2, 2)
    found = read_pairs(store, ArtifactRef(**made["dataset"]))
    assert (found.firsts[0], found.seconds[0]) == (" w #### 1", " s3 #### 5")
    # All samples say 7: the weak model is overruled.
    assert found.firsts[1].endswith("#### 7")
    assert found.seconds[1] == " w #### 2"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"preference_overrule": 0.5}, "preference"),
        ({"stage_arms": ["all"]}, "stage_arms"),
        ({"stage_iterations": 3}, "stage_iterations"),
        ({"data_task": "boolq"}, "data_task"),
    ],
)
def test_wrong_settings_are_named(changes, field):
    with pytest.raises(InvalidArgument) as error:
        make_plan(Plan, TINY | changes)
    assert error.value.field == field
