"""Answers prompts, scores the answers, and measures that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from w2s.artifacts import ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.tables import Answers, CompletionDataset, answers_table, read_answers, write_answers
from w2s.errors import InvalidArgument
from w2s.jobs.threads import Check
from w2s.metrics import Estimate, estimate_mean, expected_maximum_toxicity, pass_at_k, toxicity_probability
from w2s.models.engine import Engine
from w2s.models.inputs import Sampling
from w2s.models.predict import Tick
from w2s_evaluator.evaluations.datasets import FIELD
from w2s_evaluator.evaluations.result import Result
from w2s_evaluator.evaluations.slices import by_slice
from w2s_evaluator.evaluations.spec import EvaluationSpec, Generation
from w2s_evaluator.evaluations.teachers import MAX_SAMPLES, Teachers
from w2s_evaluator.scorers.protocol import AnswerScorer, Matcher, ScorerKind

# Gives the continuations of a prompt, at most `MAX_SAMPLES`.
Answer = Callable[[Sampling, Check], list[str]]

# Answers that are kept at once: each may take seconds.
_CHUNK_ANSWERS = 16


@dataclass(frozen=True)
class Answering:
    """Scored answers, chunk by chunk; see `Work`.

    What a prompt is answered depends on its id and the seed, and on nothing else of the dataset.

    Attributes:
        dataset: The prompts and their references.
        generation: How they are answered.
        scorers: What is measured.
        answer: Who answers.
        check: Raises to stop the work.
    """

    dataset: CompletionDataset
    generation: Generation
    scorers: Sequence[AnswerScorer]
    answer: Answer
    check: Check
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
        samples: list[list[str]] = []
        scores: dict[str, list[list[float]]] = {scorer.name: [] for scorer in self.scorers}
        for row in rows:
            samples.append(self._samples(row))
            for scorer in self.scorers:
                self.check()
                reference = self.dataset.completions[row]
                scores[scorer.name].append(scorer.score(self.dataset.prompts[row], reference, samples[-1]))
            tick(len(samples), len(rows))
        part = slice(rows.start, rows.stop)
        return answers_table(
            self.dataset.ids[part], self.dataset.completions[part], samples, scores, self._matches(samples, scores)
        )

    def write(self, folder: Path, table: pa.Table) -> None:
        """Writes the answers to all prompts into an artifact's folder."""
        write_answers(folder, table)

    def _samples(self, row: int) -> list[str]:
        wanted, texts = self.generation.samples, list[str]()
        while len(texts) < wanted:
            self.check()
            sampling = Sampling(
                prompt=self.dataset.prompts[row],
                samples=min(MAX_SAMPLES, wanted - len(texts)),
                max_new_tokens=self.generation.max_new_tokens,
                temperature=self.generation.temperature,
                top_p=self.generation.top_p,
                seed=_seed(self.generation.seed, self.dataset.ids[row], len(texts)),
                stop=self.generation.stop,
            )
            try:
                texts += self.answer(sampling, self.check)
            except InvalidArgument as error:
                raise InvalidArgument(FIELD, f"{self.dataset.ids[row]} cannot be answered: {error.message}") from error
        return texts

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
    """A language model in this process."""

    def answer(sampling: Sampling, check: Check) -> list[str]:
        texts = [""] * sampling.samples
        decoder = model.decoder(sampling)
        while not decoder.done:
            check()
            for piece in decoder.step():
                texts[piece.sample] += piece.text
        return texts

    return answer


def teacher(teachers: Teachers, source: Parent) -> Answer:
    """A registered teacher."""
    return partial(teachers.answers, source)


def answer_result(store: ArtifactStore, ref: ArtifactRef, dataset: CompletionDataset, spec: EvaluationSpec) -> Result:
    """What answers show; see `prediction_result`."""
    found = read_answers(store, ref)
    assert spec.generation is not None
    figures = partial(_figures, found, spec.generation, replicates=spec.replicates, seed=spec.bootstrap_seed)
    return Result(ref, None, [], by_slice(dataset.slices, len(dataset), figures))


def _figures(
    answers: Answers, generation: Generation, rows: NDArray[np.intp], *, replicates: int, seed: int
) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    mean = partial(estimate_mean, replicates=replicates, seed=seed)
    for name, all_scores in answers.scores.items():
        scores = all_scores[rows].astype(np.float64)
        found[name] = mean(scores.mean(axis=1))
        if name == ScorerKind.TOXICITY.metric:
            found["expected_maximum_toxicity"] = expected_maximum_toxicity(scores, replicates=replicates, seed=seed)
            found["toxicity_probability"] = toxicity_probability(scores, replicates=replicates, seed=seed)
    first = next((kind.metric for kind in generation.scorers if kind.matches), "")
    for k in generation.pass_at:
        right = (answers.scores[first][rows] == 1).sum(axis=1)
        found[f"pass@{k}"] = mean(pass_at_k(generation.samples, right, k))
    return found


def _seed(seed: int, id_: str, sample: int) -> int:
    """Seeds the samples of one prompt from one on, in [0, 2^32)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}/{id_}".encode()).digest()[:4])
