from __future__ import annotations

import numpy as np
import pytest

from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.models.classifier_engine import ClassifierEngine
from w2s.models.inputs import Completion, Row, Sampling
from w2s.models.predict import Predictor
from w2s.models.spec import Encoding

ROWS = [
    Row(f"text number {i} " + "with more words " * (i % 7), f"another {i} " + "and then " * (i % 5)) for i in range(32)
]


def label(engine, rows, batch):
    """Logits of rows whose items go through the model in batches of a size."""
    encoded = engine.encode_rows(rows)
    items = [item for row in encoded for item in row]
    arrays = iter([array for at in range(0, len(items), batch) for array in engine.run(items[at : at + batch])])
    return engine.logits([[next(arrays) for _ in row] for row in encoded])


@pytest.fixture
def make(build_model):
    return lambda bfloat16=False, **spec: ClassifierEngine(build_model(**{"layers": 2, **spec}), bfloat16=bfloat16)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_logits_are_the_predictors_whatever_shares_a_batch(make, build_model, encoding):
    engine = make(encoding=encoding)
    checkpoint = build_model(layers=2, encoding=encoding)
    texts, pairs = [row.text for row in ROWS], [row.pair for row in ROWS]
    alone = np.concatenate([Predictor(checkpoint).logits([t], [p]) for t, p in zip(texts, pairs, strict=True)])
    for batch in (1, 7, 64):
        np.testing.assert_allclose(label(engine, ROWS, batch), alone, atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_causal_bodies_are_read_at_the_last_token_of_each_row(make, causal_uri, architecture):
    engine = make(uri=causal_uri(architecture), layers=3)
    np.testing.assert_allclose(label(engine, ROWS, 32), label(engine, ROWS, 1), atol=1e-5)


def test_a_pair_encoder_makes_two_items_a_row_and_equal_texts_are_equal(make):
    engine = make(encoding=Encoding.PAIR)
    assert engine.needs_pairs
    (first, second), (third, fourth) = engine.encode_rows([Row("a", "b"), Row("b", "a")])
    assert (first, second) == (fourth, third)
    assert len({first, second, third, fourth}) == 2


def test_rows_with_one_text_and_with_two_are_each_as_alone(make):
    engine = make()
    rows = [Row("a"), Row("a", "b"), Row("c")]
    # Whether another row has a second text is no matter of this one.
    assert engine.encode_rows(rows) == [engine.encode_rows([row])[0] for row in rows]
    ids = [dict(items[0].columns)["input_ids"] for items in engine.encode_rows(rows)]
    assert [len(row) for row in ids] == [3, 5, 3]


def test_texts_are_cut_to_the_classifiers_length(make):
    assert make(max_length=8).encode_rows([Row("word " * 50)])[0][0].length == 8


def test_a_row_that_is_no_text_is_an_error_and_the_others_live(make):
    good, error = make(encoding=Encoding.PAIR).encode_rows([Row("a", "b"), Row("a", "\ud800")])
    assert len(good) == 2
    assert (type(error), error.field) == (InvalidArgument, "text")


def test_the_classes_are_the_classifiers(make):
    assert make(label_names=["left", "right", "none"]).label_names == ("left", "right", "none")


def test_bfloat16_is_close_to_float32(make):
    low, high = label(make(bfloat16=True), ROWS, 32), label(make(), ROWS, 32)
    assert low.dtype == np.float32
    assert 0 < abs(low - high).max() < 0.1


def test_a_classifier_scores_and_continues_nothing(make):
    engine = make()
    assert (engine.scores, engine.generates) == (False, False)
    with pytest.raises(FailedPrecondition):
        engine.encode_completions([Completion("a", "b")])
    with pytest.raises(FailedPrecondition):
        engine.decoder(Sampling("a"))
