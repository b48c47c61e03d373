from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from w2s.artifacts.schemas import ANSWERS_SCHEMA
from w2s.artifacts.tables import answers_table, parent, read_answers, read_predictions, write_answers
from w2s.errors import InvalidArgument


@pytest.fixture
def written(store):
    def write(*tables):
        with store.write("predictions", "a", data_schema=ANSWERS_SCHEMA, config={"seed": 1}) as draft:
            write_answers(draft.path, pa.concat_tables(tables))
        return draft.ref

    return write


def test_answers_come_back_as_written(store, written):
    scores = {"math": [[1, 0]], "exact_match": [[0, 0.25]]}
    first = answers_table(["b"], ["4"], [["4", "five"]], scores, ([True], [0.5]))
    second = answers_table(["a"], [""], [["", "x"]], {"math": [[0, 0]], "exact_match": [[1, 0]]}, ([False], [1.0]))
    found = read_answers(store, written(first, second))

    assert (found.ids, found.references, found.samples) == (["b", "a"], ["4", ""], [["4", "five"], ["", "x"]])
    assert list(found.scores) == ["math", "exact_match"]
    np.testing.assert_array_equal(found.scores["math"], [[1, 0], [0, 0]])
    np.testing.assert_array_equal(found.scores["exact_match"], [[0, 0.25], [1, 0]])
    assert found.scores["math"].dtype == np.float32
    assert (found.correct.tolist(), found.confidence.tolist()) == ([True, False], [0.5, 1.0])
    assert (len(found), found.manifest.config, parent("predictions", found).digest) == (
        2,
        {"seed": 1},
        found.ref.digest,
    )


def test_answers_that_no_reference_judges_are_neither_right_nor_wrong(store, written):
    found = read_answers(store, written(answers_table(["a"], ["r"], [["x"]], {"toxicity": [[0.5]]})))
    assert (found.correct, found.confidence, list(found.scores)) == (None, None, ["toxicity"])


def test_how_answers_were_cut_into_chunks_changes_no_byte(written, store):
    def table(*ids):
        return answers_table(ids, ids, [[id_] for id_ in ids], {"refusal": [[0.5] for _ in ids]})

    whole, parts = written(table("a", "b", "c")), None
    store.delete("predictions", "a")
    parts = written(table("a"), table("b", "c"))
    assert whole.digest == parts.digest


def test_answers_are_no_predictions(store, written):
    ref = written(answers_table(["a"], ["r"], [["x"]], {"toxicity": [[0.5]]}))
    with pytest.raises(InvalidArgument, match=r"holds w2s\.answers/1"):
        read_predictions(store, ref, "weak")
