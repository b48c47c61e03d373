"""Who says which of two answers is better: a reward model, a language model, a teacher, or labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts import Parent
from w2s.artifacts.tables import PairDataset
from w2s.errors import InvalidArgument, W2SError
from w2s.models.batches import token_batches
from w2s.models.engine import Engine, Item
from w2s.models.inputs import Completion
from w2s.models.predict import Tick
from w2s_evaluator.evaluations.datasets import FIELD
from w2s_evaluator.evaluations.predicting import Judge
from w2s_evaluator.evaluations.spec import MarginReading
from w2s_evaluator.evaluations.teachers import Teachers

# How much better the first answers of some rows are than the second, shape [n].
Margin = Callable[[range, Tick], NDArray[np.floating]]


def judged(margin: Margin, scale: float = 1.0) -> Judge:
    """Logits of a margin m, [m / scale, 0]: the first answer is better with sigmoid(m / scale).

    Args:
        margin: Gives the margins.
        scale: Divides them, > 0.
    """

    def judge(rows: range, tick: Tick) -> NDArray[np.floating]:
        margins = margin(rows, tick)
        return np.stack([margins / scale, np.zeros_like(margins)], axis=1)

    return judge


def engine(model: Engine, dataset: PairDataset, reading: MarginReading, token_budget: int) -> Margin:
    """A model's margins: the difference of its two rewards, or of its two log-probabilities in nats.

    m = s(x, y_1) - s(x, y_2), with s the reward, or sum_t log p(y_t | x, y_<t), or its mean
    over t.
    """

    def margin(rows: range, tick: Tick) -> NDArray[np.floating]:
        asked = [
            Completion(dataset.prompts[row], answers[row])
            for row in rows
            for answers in (dataset.firsts, dataset.seconds)
        ]
        items = [_readable(item, dataset.ids[rows[at // 2]]) for at, item in enumerate(model.encode_completions(asked))]
        scores = _scores(model, items, reading, token_budget, tick)
        return scores[::2] - scores[1::2]

    return margin


def teacher(teachers: Teachers, source: Parent, dataset: PairDataset, reading: MarginReading) -> Margin:
    """A registered teacher's margins."""

    def margin(rows: range, tick: Tick) -> NDArray[np.floating]:
        pairs = [(dataset.ids[row], dataset.prompts[row], dataset.firsts[row], dataset.seconds[row]) for row in rows]
        return teachers.margins(source, pairs, tick, length_normalized=reading.length_normalized)

    return margin


def labels(log_probabilities: Judge) -> Margin:
    """Labels' margins, ln p_first - ln p_second."""

    def margin(rows: range, tick: Tick) -> NDArray[np.floating]:
        found = log_probabilities(rows, tick)
        return np.asarray(found[:, 0] - found[:, 1])

    return margin


def _scores(
    model: Engine, items: Sequence[Item], reading: MarginReading, token_budget: int, tick: Tick
) -> NDArray[np.float64]:
    # Equal sequences are computed once; which ones share a batch depends on them alone.
    unique = list(dict.fromkeys(items))
    total = np.mean if reading.length_normalized else np.sum
    found: dict[Item, float] = {}
    for batch in token_batches([item.length for item in unique], token_budget):
        asked = [unique[index] for index in batch]
        for item, score in zip(asked, model.run(asked), strict=True):
            found[item] = float(total(score, dtype=np.float64))
        tick(len(found), len(unique))
    return np.array([found[item] for item in items])


def _readable(item: Item | W2SError, id_: str) -> Item:
    if isinstance(item, W2SError):
        raise InvalidArgument(FIELD, f"{id_} cannot be judged: {item.message}")
    return item
