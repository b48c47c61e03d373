"""Answers prompts, scores the answers, and measures that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from w2s.artifacts import ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.tables import CompletionDataset, answers_table, read_answers
from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.jobs.threads import Check
from w2s.metrics import Estimate, estimate_mean, expected_maximum_toxicity, pass_at_k, toxicity_probability
from w2s.models.engine import Decoder, Engine
from w2s.models.inputs import Sampling
from w2s.models.predict import Tick
from w2s_evaluator.evaluations.datasets import FIELD
from w2s_evaluator.evaluations.result import Result
from w2s_evaluator.evaluations.slices import by_slice
from w2s_evaluator.evaluations.spec import EvaluationSpec, Generation
from w2s_evaluator.evaluations.teachers import MAX_SAMPLES, Teachers
from w2s_evaluator.scorers.protocol import AnswerScorer, Matcher, ScorerKind

# Answers that are kept at once: each may take seconds.
_CHUNK_ANSWERS = 32


@dataclass(frozen=True)
class Question:
    """A prompt to continue.

    Attributes:
        id: Its example's id.
        sampling: How; at most `MAX_SAMPLES` samples.
    """

    id: str
    sampling: Sampling


# Gives the continuations of each of some questions, which differ in prompt, samples and seed alone.
Answer = Callable[[Sequence[Question], Tick], list[list[str]]]


@dataclass(frozen=True)
class Answering:
    """Scored answers, chunk by chunk; see `Work`.

    What a prompt is answered depends on its id and the seed, and on nothing else of the dataset.

    Attributes:
        dataset: The prompts and their references.
        generation: How they are answered.
        scorers: What is measured.
        answer: Who answers.
    """

    dataset: CompletionDataset
    generation: Generation
    scorers: Sequence[AnswerScorer]
    answer: Answer
    stage: str = "generate"

    @property
    def chunk_rows(self) -> int:
        """Prompts answered at once."""
        return max(1, _CHUNK_ANSWERS // self.generation.samples)

    def chunk(self, rows: range, tick: Tick) -> pa.Table:
        """The answers to some prompts.

        Raises:
            InvalidArgument: A prompt cannot be answered.
        """
        questions = [question for row in rows for question in self._questions(row)]
        answers = iter(self.answer(questions, tick))
        samples = [[text for _ in self._groups() for text in next(answers)] for _ in rows]
        scores: dict[str, list[list[float]]] = {scorer.name: [] for scorer in self.scorers}
        for row, texts in zip(rows, samples, strict=True):
            for scorer in self.scorers:
                tick(1, 1)
                scores[scorer.name].append(scorer.score(self.dataset.completions[row], texts))
        part = slice(rows.start, rows.stop)
        return answers_table(
            self.dataset.ids[part], self.dataset.completions[part], samples, scores, self._matches(samples, scores)
        )

    def _groups(self) -> range:
        """The first sample of each question about a prompt."""
        return range(0, self.generation.samples, MAX_SAMPLES)

    def _questions(self, row: int) -> list[Question]:
        asked, id_ = self.generation, self.dataset.ids[row]
        return [
            Question(
                id_,
                Sampling(
                    prompt=self.dataset.prompts[row],
                    samples=min(MAX_SAMPLES, asked.samples - first),
                    max_new_tokens=asked.max_new_tokens,
                    temperature=asked.temperature,
                    top_p=asked.top_p,
                    seed=_seed(asked.seed, id_, first),
                    stop=asked.stop,
                ),
            )
            for first in self._groups()
        ]

    def _matches(
        self, samples: Sequence[Sequence[str]], scores: dict[str, list[list[float]]]
    ) -> tuple[list[bool], list[float]] | None:
        """Whether each first answer is right, and the share of answers that say the same."""
        matcher = next((scorer for scorer in self.scorers if isinstance(scorer, Matcher)), None)
        if matcher is None:
            return None
        said = [[matcher.canonical(answer) for answer in answers] for answers in samples]
        correct = [values[0] == 1 for values in scores[matcher.name]]
        return correct, [answers.count(answers[0]) / len(answers) for answers in said]


def engine(model: Engine) -> Answer:
    """A language model in this process; prompts share batches where it can read them so."""

    def answer(questions: Sequence[Question], tick: Tick) -> list[list[str]]:
        total, answers = sum(question.sampling.samples for question in questions), list[list[str]]()
        for batch in _batches(questions) if model.batches else [[question] for question in questions]:
            texts, done = [""] * sum(question.sampling.samples for question in batch), sum(map(len, answers))
            decoder = _decoder(model, batch)
            while not decoder.done:
                for piece in decoder.step():
                    texts[piece.sample] += piece.text
                    done += piece.finish_reason is not None
                tick(done, total)
            parts = iter(texts)
            answers += [[next(parts) for _ in range(question.sampling.samples)] for question in batch]
        return answers

    return answer


def teacher(teachers: Teachers, source: Parent) -> Answer:
    """A registered teacher."""

    def answer(questions: Sequence[Question], tick: Tick) -> list[list[str]]:
        answers: list[list[str]] = []
        # A call has one seed for all its prompts, and each question its own.
        greedy = questions[0].sampling.temperature == 0
        for batch in _batches(questions) if greedy else ([question] for question in questions):
            check = partial(tick, len(answers), len(questions))
            try:
                answers += teachers.answers(source, [question.sampling for question in batch], check)
            except FailedPrecondition as error:
                named = batch[0].id if len(batch) == 1 else f"{batch[0].id} to {batch[-1].id}"
                raise FailedPrecondition(f"{named}: {error.message}") from error
        return answers

    return answer


def _batches(questions: Sequence[Question]) -> Iterator[list[Question]]:
    """Questions that are answered at once, of `MAX_SAMPLES` samples at most."""
    batch: list[Question] = []
    for question in questions:
        if batch and sum(one.sampling.samples for one in (*batch, question)) > MAX_SAMPLES:
            yield batch
            batch = []
        batch.append(question)
    yield batch


def _decoder(model: Engine, batch: Sequence[Question]) -> Decoder:
    try:
        return model.decoder(*(question.sampling for question in batch))
    except InvalidArgument as error:
        if len(batch) == 1:
            raise InvalidArgument(FIELD, f"{batch[0].id} cannot be answered: {error.message}") from error
    for question in batch:
        _decoder(model, [question])
    raise AssertionError("each prompt can be answered, and not all of them")


def answer_result(
    store: ArtifactStore, ref: ArtifactRef, dataset: CompletionDataset, spec: EvaluationSpec, check: Check
) -> Result:
    """What answers show; see `prediction_result`."""
    found = read_answers(store, ref)
    generation = spec.generation
    assert generation is not None

    def figures(rows: NDArray[np.intp]) -> dict[str, Estimate]:
        check()
        scores = {name: values[rows].astype(np.float64) for name, values in found.scores.items()}
        return _figures(scores, generation, replicates=spec.replicates, seed=spec.bootstrap_seed)

    return Result(ref, None, [], by_slice(dataset.slices, len(dataset), figures))


def _figures(
    scores: Mapping[str, NDArray[np.float64]], generation: Generation, *, replicates: int, seed: int
) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    mean = partial(estimate_mean, replicates=replicates, seed=seed)
    for name, values in scores.items():
        found[name] = mean(values.mean(axis=1))
        if name == ScorerKind.TOXICITY.metric:
            found["expected_maximum_toxicity"] = expected_maximum_toxicity(values, replicates=replicates, seed=seed)
            found["toxicity_probability"] = toxicity_probability(values, replicates=replicates, seed=seed)
    first = next((kind.metric for kind in generation.scorers if kind.matches), "")
    for k in generation.pass_at:
        right = (scores[first] == 1).sum(axis=1)
        found[f"pass@{k}"] = mean(pass_at_k(generation.samples, right, k))
    return found


def _seed(seed: int, id_: str, sample: int) -> int:
    """Seeds the samples of one prompt from one on, in [0, 2^32)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}/{id_}".encode()).digest()[:4])
