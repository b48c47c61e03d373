"""Answers, their scores and their figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from w2s.artifacts.schemas import ANSWERS_SCHEMA
from w2s.artifacts.tables import answers_table, read_completions, write_answers
from w2s.errors import InvalidArgument
from w2s.metrics import Direction
from w2s.models.loading import load_engine
from w2s.models.spec import LanguageModelReading
from w2s_evaluator.evaluations import answers as module
from w2s_evaluator.evaluations.answers import Answering, answer_result
from w2s_evaluator.evaluations.spec import EvaluationSpec, Generation
from w2s_evaluator.scorers.protocol import ScorerKind

EXACT, MATH, TOXICITY, REFUSAL, _ = ScorerKind
SAMPLED = Generation(samples=3, max_new_tokens=6, temperature=1.0, seed=3, scorers=(EXACT,))


class Length:
    """Scores an answer by its length, up to 10 characters."""

    name = "toxicity"
    direction = Direction.LOWER

    def score(self, reference, answers):
        return [min(len(answer), 10) / 10 for answer in answers]


class Same:
    """Whether an answer is the reference, whatever its case."""

    name = "exact_match"
    direction = Direction.HIGHER

    def score(self, reference, answers):
        return [float(self.canonical(answer) == self.canonical(reference)) for answer in answers]

    def canonical(self, answer):
        return answer.lower()


def nothing(*_):
    pass


@pytest.fixture
def answering(store, prompts):
    """Work on prompts: `answering(generation, answer, {"prompt": "a"})`."""

    def make(generation, answer, *rows, scorers=None, key="prompts"):
        dataset = read_completions(store, prompts(*rows, key=key))
        return Answering(dataset, generation, scorers or [Same()], answer)

    return make


@pytest.fixture
def model(store, language_model):
    reading = LanguageModelReading()
    return module.engine(load_engine(store.read(language_model.uri).path, reading, torch.device("cpu")))


def samples(work, *chunks):
    """What each prompt is answered, by its id."""
    tables = [work.chunk(rows, nothing) for rows in chunks]
    return {
        id_: texts
        for table in tables
        for id_, texts in zip(table["id"].to_pylist(), table["samples"].to_pylist(), strict=True)
    }


def test_answers_depend_on_the_prompts_id_and_the_seed_alone(answering, model):
    rows = [{"id": id_, "prompt": f"ask {id_}"} for id_ in "abcd"]
    found = samples(answering(SAMPLED, model, *rows), range(4))
    again = samples(answering(SAMPLED, model, *rows[::-1], key="reversed"), range(2), range(2, 4))
    other = samples(answering(SAMPLED.model_copy(update={"seed": 4}), model, *rows, key="other"), range(4))

    assert found == again
    assert all(found[id_] != other[id_] for id_ in "abcd")
    assert all(len(set(texts)) == 3 for texts in found.values())
    assert len({texts[0] for texts in found.values()}) == 4


def test_many_samples_are_asked_for_in_turns_with_seeds_of_their_own(answering):
    asked = []

    def answer(questions, tick):
        asked.extend(question.sampling for question in questions)
        return [[f"{one.sampling.seed}-{n}" for n in range(one.sampling.samples)] for one in questions]

    generation = SAMPLED.model_copy(update={"samples": 130})
    (texts,) = samples(answering(generation, answer, {}), range(1)).values()
    assert [sampling.samples for sampling in asked] == [64, 64, 2]
    assert len(set(texts)) == 130
    assert all(0 <= sampling.seed < 2**32 for sampling in asked)


def test_the_first_answer_is_right_or_wrong_as_sure_as_the_others_agree(answering):
    answers = [["Yes", "yes", "no"], ["no", "YES", "yes"]]
    work = answering(SAMPLED, lambda questions, tick: answers, {}, {}, scorers=(Length(), Same()))
    table = work.chunk(range(2), nothing)

    assert table.column_names == ["id", "reference", "samples", "toxicity", "exact_match", "correct", "confidence"]
    assert table["exact_match"].to_pylist() == [[1, 1, 0], [0, 1, 1]]
    np.testing.assert_allclose(table["toxicity"].to_pylist(), [[0.3, 0.3, 0.2], [0.2, 0.3, 0.3]])
    assert table["correct"].to_pylist() == [True, False]
    np.testing.assert_allclose(table["confidence"].to_pylist(), [2 / 3, 1 / 3])


def test_without_a_reference_to_compare_nothing_is_right_or_wrong(answering):
    work = answering(SAMPLED, lambda questions, tick: [["a", "b", "c"]], {}, scorers=(Length(),))
    assert work.chunk(range(1), nothing).column_names == ["id", "reference", "samples", "toxicity"]


def test_a_prompt_that_cannot_be_answered_is_named(answering, model):
    work = answering(SAMPLED, model, {}, {"id": "long", "prompt": "x" * 200})
    with pytest.raises(InvalidArgument, match=r"long cannot be answered: .* 200 tokens") as caught:
        work.chunk(range(2), nothing)
    assert caught.value.field == "evaluation.spec.dataset"


@pytest.mark.parametrize(("samples", "rows"), [(1, 32), (3, 10), (32, 1), (200, 1)])
def test_a_chunk_is_of_few_answers(answering, samples, rows):
    assert (
        replace(answering(SAMPLED, None, {}), generation=SAMPLED.model_copy(update={"samples": samples})).chunk_rows
        == rows
    )


@pytest.fixture
def figures(store, prompts):
    """The metrics of scores, by name and slice."""

    def measure(scores, generation, slices=None):
        rows = len(next(iter(scores.values())))
        ids = [str(n) for n in range(rows)]
        texts = [["x"] * generation.samples for _ in ids]
        with store.write("predictions", "a", data_schema=ANSWERS_SCHEMA, config={}) as draft:
            write_answers(draft.path, answers_table(ids, ids, texts, scores))
        sliced = [{"id": id_, "slice": name} for id_, name in zip(ids, slices or [None] * rows, strict=True)]
        ref = prompts(*sliced)
        spec = EvaluationSpec(dataset=ref, model=ref, generation=generation, replicates=100)
        result = answer_result(store, draft.ref, read_completions(store, ref), spec, nothing)
        assert (result.accuracy, result.reliability, result.predictions) == (None, [], draft.ref)
        return {(metric.name, metric.slice): metric for metric in result.metrics}

    return measure


def test_pass_at_k_by_hand(figures):
    generation = Generation(samples=4, temperature=1.0, scorers=(MATH,), pass_at=(1, 2))
    found = figures({"math": [[1, 0, 0, 0], [1, 1, 1, 1]]}, generation)
    assert found["math", ""].estimate.value == pytest.approx((1 / 4 + 1) / 2)
    assert found["pass@1", ""].estimate.value == pytest.approx((1 / 4 + 1) / 2)
    # Of the 6 pairs of the first prompt's samples, 3 hold the right one.
    assert found["pass@2", ""].estimate.value == pytest.approx((1 / 2 + 1) / 2)
    assert (found["pass@2", ""].direction, found["pass@2", ""].estimate.n) == (Direction.HIGHER, 2)


def test_toxicity_by_hand(figures):
    generation = Generation(samples=2, temperature=1.0, scorers=(TOXICITY,))
    scores = [[0.125, 0.75], [0.25, 0.25], [0.5, 0]]
    found = figures({"toxicity": scores}, generation, slices=["rude", None, "rude"])
    values = {key: metric.estimate.value for key, metric in found.items()}
    assert values["toxicity", ""] == pytest.approx(1.875 / 6)
    assert values["expected_maximum_toxicity", ""] == pytest.approx(1.5 / 3)
    assert values["toxicity_probability", ""] == pytest.approx(2 / 3)
    assert values["expected_maximum_toxicity", "rude"] == pytest.approx(1.25 / 2)
    assert values["toxicity_probability", "rude"] == 1
    assert {metric.direction for metric in found.values()} == {Direction.LOWER}
    assert [slice_ for _, slice_ in found] == ["", "", "", "rude", "rude", "rude"]


def test_pass_at_k_is_of_the_first_scorer_that_can_be_right(figures):
    generation = Generation(samples=2, temperature=1.0, scorers=(REFUSAL, EXACT, MATH), pass_at=(1,))
    found = figures({"refusal": [[1, 1]], "exact_match": [[0, 1]], "math": [[1, 1]]}, generation)
    assert {name: metric.estimate.value for (name, _), metric in found.items()} == {
        "refusal": 1,
        "exact_match": 0.5,
        "math": 1,
        "pass@1": 0.5,
    }
