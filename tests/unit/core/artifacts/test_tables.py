from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s.artifacts.schemas import (
    ANSWERS_SCHEMA,
    COMPLETIONS_SCHEMA,
    EXAMPLES_SCHEMA,
    LABELS_SCHEMA,
    PAIRS_SCHEMA,
    PREDICTIONS_SCHEMA,
    expect_schema,
)
from w2s.artifacts.tables import (
    LabelRow,
    align,
    align_known,
    iterate_examples,
    labels_table,
    parent,
    read_answers,
    read_completions,
    read_dataset,
    read_labels,
    read_pairs,
    read_predictions,
    softmax,
    write_completions,
    write_examples,
    write_labels,
    write_pairs,
    write_predictions,
)
from w2s.errors import InvalidArgument

TEACHER = ("teachers/weak", "run-1", "sha256:" + "1" * 64)


@pytest.fixture
def make_dataset(store):
    def make(pairs=("x", "y", "z")):
        rows = [
            {"id": f"e{i}", "text": f"text {i}", "text_pair": pair, "label": label}
            for i, (pair, label) in enumerate(zip(pairs, (1, 0, 2), strict=True))
        ]
        config = {"label_names": ["no", "yes", "maybe"]}
        with store.write("datasets", "data", data_schema=EXAMPLES_SCHEMA, config=config) as draft:
            write_examples(draft.path, rows)
        return read_dataset(store, draft.ref)

    return make


@pytest.fixture
def make_pairs(store):
    def make(labels=(1, 0, 1)):
        rows = [
            {"id": f"p{i}", "prompt": f"ask {i}", "first": f"one {i}", "second": f"two {i}", "label": label}
            for i, label in enumerate(labels)
        ]
        with store.write("datasets", "pairs", data_schema=PAIRS_SCHEMA, config={}) as draft:
            write_pairs(draft.path, rows)
        return read_pairs(store, draft.ref)

    return make


@pytest.fixture
def make_completions(store):
    def make(*teachers):
        rows = [
            {"id": f"c{i}", "prompt": f"ask {i}", "completion": f"answer {i}", **teacher}
            for i, teacher in enumerate(teachers)
        ]
        with store.write("datasets", "completions", data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
            write_completions(draft.path, rows)
        return read_completions(store, draft.ref)

    return make


def label_row(id_, probabilities):
    row = np.array(probabilities, dtype=np.float32)
    return LabelRow(id_, logits=2 * row, probabilities=row, disagreement=0.25)


@pytest.fixture
def make_labels(store):
    def make(ids, probabilities, failed=None):
        rows = [label_row(id_, row) for id_, row in zip(ids, probabilities, strict=True)]
        rows += [LabelRow(id_, error=reason) for id_, reason in (failed or {}).items()]
        with store.write("labels", "weak", data_schema=LABELS_SCHEMA, config={}) as draft:
            # Two chunks, as a job that labels many rows makes them.
            write_labels(draft.path, [labels_table(part, TEACHER) for part in (rows[:1], rows[1:])])
        return read_labels(store, draft.ref)

    return make


def test_examples_come_back_as_they_were(make_dataset):
    dataset = make_dataset()
    assert (dataset.ids, dataset.texts) == (["e0", "e1", "e2"], ["text 0", "text 1", "text 2"])
    assert (dataset.pairs, dataset.labels.tolist()) == (["x", "y", "z"], [1, 0, 2])
    assert (dataset.label_names, len(dataset)) == (["no", "yes", "maybe"], 3)


def test_a_single_text_task_has_no_pairs(make_dataset):
    assert make_dataset(pairs=(None, None, None)).pairs is None


def test_pairs_come_back_as_they_were(make_pairs):
    pairs = make_pairs()
    assert (pairs.ids, pairs.prompts) == (["p0", "p1", "p2"], ["ask 0", "ask 1", "ask 2"])
    assert (pairs.firsts[1], pairs.seconds[2]) == ("one 1", "two 2")
    assert (pairs.labels.dtype, pairs.labels.tolist()) == (np.int32, [1, 0, 1])
    assert (pairs.label_names, len(pairs)) == (["first", "second"], 3)


def test_completions_of_people_have_no_teacher(make_completions):
    completions = make_completions({}, {})
    assert (completions.ids, completions.prompts) == (["c0", "c1"], ["ask 0", "ask 1"])
    assert (completions.completions, completions.teachers, len(completions)) == (["answer 0", "answer 1"], [], 2)


def test_completions_name_each_of_their_teachers_once_and_in_order(make_completions):
    def by(name, digest):
        return {"teacher": name, "teacher_revision": "r1", "teacher_digest": digest}

    completions = make_completions(by("b", "x"), by("a", "y"), {}, by("b", "x"), by("a", "x"))
    assert completions.teachers == [("a", "r1", "x"), ("a", "r1", "y"), ("b", "r1", "x")]


def test_labels_name_their_teacher_in_every_row(make_labels):
    labels = make_labels(["e0", "e1"], [[0.25, 0.75], [0.5, 0.5]])
    assert labels.ids == ["e0", "e1"]
    assert labels.probabilities.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert labels.teachers == [TEACHER]
    # The most probable class is kept too; the lowest index wins a tie.
    table = pq.read_table(labels.ref.uri.removeprefix("file://") + "/labels.parquet").to_pydict()
    assert (table["label"], table["confidence"]) == ([1, 0], [0.75, 0.5])
    assert (table["logits"], table["disagreement"]) == ([[0.5, 1.5], [1.0, 1.0]], [0.25, 0.25])
    assert set(zip(table["teacher"], table["teacher_revision"], table["teacher_digest"], strict=True)) == {TEACHER}


def test_a_row_without_a_label_says_why(make_labels, make_dataset):
    labels = make_labels(["e0", "e1"], [[1, 0, 0], [0, 1, 0]], failed={"e2": "the server lists too few tokens"})
    assert (labels.ids, labels.failed) == (["e0", "e1"], {"e2": "the server lists too few tokens"})
    with pytest.raises(InvalidArgument, match=r"1 examples .* such as e2 \(the server lists too few tokens\)"):
        align(labels, make_dataset())


def test_examples_are_read_in_chunks_that_depend_on_the_file_alone(store, make_dataset):
    artifact = store.read(make_dataset(pairs=("x", None, "z")).ref.uri)
    assert list(iterate_examples(artifact, 2)) == [
        [("e0", "text 0", "x"), ("e1", "text 1", "")],
        [("e2", "text 2", "z")],
    ]


def test_predictions_hold_class_confidence_and_whether_it_is_right(store, make_dataset):
    # softmax of (ln 2, 0, 0) is (1/2, 1/4, 1/4); of (0, 0, ln 3), (1/5, 1/5, 3/5)
    logits = np.log(np.array([[2, 1, 1], [2, 1, 1], [1, 1, 3]], dtype=np.float32))
    with store.write("predictions", "p", data_schema=PREDICTIONS_SCHEMA, config={}) as draft:
        write_predictions(draft.path, make_dataset(), logits)
    found = read_predictions(store, draft.ref)
    assert (found.ids, found.labels.tolist(), found.predictions.tolist()) == (["e0", "e1", "e2"], [1, 0, 2], [0, 0, 2])
    np.testing.assert_array_equal(found.logits, logits)
    table = pq.read_table(store.read(draft.ref.uri).path / "predictions.parquet")
    assert table["correct"].to_pylist() == [False, True, True]
    np.testing.assert_allclose(table["confidence"].to_numpy(), [0.5, 0.5, 0.6], rtol=1e-6)
    np.testing.assert_array_equal(np.array(table["logits"].to_pylist(), dtype=np.float32), logits)


def test_predictions_whose_rows_have_differing_classes_are_refused(store):
    table = pa.table({"id": ["a", "b"], "label": [0, 1], "logits": [[0.0, 1.0], [0.0, 1.0, 2.0]], "prediction": [1, 1]})
    with store.write("predictions", "p", data_schema=PREDICTIONS_SCHEMA, config={}) as draft:
        pq.write_table(table, draft.path / "predictions.parquet")
    with pytest.raises(InvalidArgument, match=r"weak: has rows of 2 and of 3 classes"):
        read_predictions(store, draft.ref, "weak")


def test_align_puts_labels_into_the_order_of_the_dataset(make_dataset, make_labels):
    labels = make_labels(["e2", "extra", "e0", "e1"], [[0.2, 0.8, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(align(labels, make_dataset()), [[0, 1, 0], [1, 0, 0], [0.2, 0.8, 0]])


@pytest.mark.parametrize(
    ("ids", "row", "problem"),
    [(["e0", "e1"], [0, 1, 0], "1 examples of the dataset have none, such as e2"), (["e0"], [0, 1], "has 2 classes")],
)
def test_align_refuses_labels_of_another_dataset(make_dataset, make_labels, ids, row, problem):
    with pytest.raises(InvalidArgument, match=problem):
        align(make_labels(ids, [row] * len(ids)), make_dataset())


def test_align_puts_labels_into_the_order_of_pairs(make_pairs, make_labels):
    labels = make_labels(["p1", "p0", "p2"], [[0.25, 0.75], [1, 0], [0, 1]])
    np.testing.assert_array_equal(align(labels, make_pairs()), [[1, 0], [0.25, 0.75], [0, 1]])


def test_align_known_leaves_out_what_has_no_label(make_pairs, make_labels):
    labels = make_labels(["p2", "extra", "p0"], [[0.25, 0.75], [0.5, 0.5], [1, 0]], failed={"p1": "too long"})
    rows, probabilities = align_known(labels, make_pairs())
    assert (rows.dtype, rows.tolist(), probabilities.dtype) == (np.int64, [0, 2], np.float32)
    np.testing.assert_array_equal(probabilities, [[1, 0], [0.25, 0.75]])


@pytest.mark.parametrize(
    ("ids", "row", "problem"),
    [
        (["e0"], [0, 1, 0], "has 3 classes, the dataset 2"),
        (["e0"], [0, 1], r"none of the dataset's 3 examples has one, such as p0 \(too long\)"),
        ([], [], "none of the dataset's 3 examples has one"),
    ],
)
def test_align_known_refuses_labels_of_another_dataset(make_pairs, make_labels, ids, row, problem):
    with pytest.raises(InvalidArgument, match=f"made: {problem}"):
        align_known(make_labels(ids, [row] * len(ids), failed={"p0": "too long"}), make_pairs(), "made")


@pytest.mark.parametrize("read", [read_labels, read_predictions, read_pairs, read_completions])
def test_an_artifact_of_another_schema_is_refused(store, make_dataset, read):
    ref = make_dataset().ref
    with pytest.raises(InvalidArgument, match=r"source\.uri: holds w2s\.examples/1"):
        read(store, ref, "source")


@pytest.fixture
def wrong(store):
    """Makes an artifact whose table is not what its schema says; with none where there are no columns."""

    def make(schema, columns, **config):
        with store.write("datasets", "wrong", data_schema=schema, config=config) as draft:
            (draft.path / "README").write_text("a file")
            if columns:
                name = schema.removeprefix("w2s.").partition("/")[0]
                pq.write_table(pa.table(columns), draft.path / f"{name}.parquet")
        return draft.ref

    return make


@pytest.mark.parametrize("config", [{}, *({"label_names": names} for names in (5, "ab", ["a"], [1, {}]))], ids=str)
def test_a_dataset_that_does_not_name_its_classes_is_refused(store, wrong, config):
    with pytest.raises(InvalidArgument, match=r"source\.uri: names no two label_names or more"):
        read_dataset(store, wrong(EXAMPLES_SCHEMA, {"id": ["a"], "label": [0]}, **config), "source")


def test_a_table_that_is_too_large_is_refused_before_it_is_read(store, wrong):
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), ["x" * 2**20])
    ref = wrong(EXAMPLES_SCHEMA, {"id": texts, "text": texts}, label_names=["a", "b"])
    problem = r"\.uri: holds no examples\.parquet that can be read: .* more than 4 GiB"
    with pytest.raises(InvalidArgument, match=f"source{problem}"):
        read_dataset(store, ref, "source")
    with pytest.raises(InvalidArgument, match=f"dataset{problem}"):
        next(iterate_examples(store.read(ref.uri), 2))


@pytest.mark.parametrize(
    ("schema", "columns", "read", "problem"),
    [
        (EXAMPLES_SCHEMA, {}, read_dataset, r"holds no examples\.parquet that can be read"),
        (EXAMPLES_SCHEMA, {"label": ["a"]}, read_dataset, r"holds no examples\.parquet that can be read"),
        (LABELS_SCHEMA, {}, read_labels, r"holds no labels\.parquet that can be read"),
        (ANSWERS_SCHEMA, {"id": ["a"]}, read_answers, r"its answers\.parquet has no reference and no samples"),
    ],
)
def test_an_artifact_without_the_table_that_it_should_hold_is_refused(store, wrong, schema, columns, read, problem):
    with pytest.raises(InvalidArgument, match=rf"source\.uri: {problem}"):
        read(store, wrong(schema, columns, label_names=["a", "b"]), "source")


def test_expect_schema_gives_the_manifest_of_the_right_one_only(store, make_dataset):
    dataset = make_dataset()
    assert expect_schema(store, dataset.ref, EXAMPLES_SCHEMA, "dataset") == dataset.manifest
    with pytest.raises(InvalidArgument, match=r"labels\.uri: holds w2s\.examples/1, not w2s\.labels/2"):
        expect_schema(store, dataset.ref, LABELS_SCHEMA, "labels")


def test_expect_schema_takes_any_of_several(store, make_pairs, make_completions):
    asked = (EXAMPLES_SCHEMA, PAIRS_SCHEMA)
    pairs, completions = make_pairs(), make_completions({})
    assert expect_schema(store, pairs.ref, asked, "dataset") == pairs.manifest
    with pytest.raises(InvalidArgument, match=r"holds w2s\.completions/1, not w2s\.examples/1 or w2s\.pairs/1"):
        expect_schema(store, completions.ref, asked, "dataset")


def test_a_parent_is_recorded_by_address_and_digest(make_dataset, make_pairs, make_completions):
    for dataset in (make_dataset(), make_pairs(), make_completions({})):
        found = parent("dataset", dataset)
        assert (found.role, found.uri, found.digest) == ("dataset", dataset.ref.uri, dataset.ref.digest)


def test_softmax_of_large_logits_is_finite():
    # (1 / (1 + e^-1), e^-1 / (1 + e^-1))
    found = softmax(np.array([[1000.0, 999.0]], dtype=np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.7310586, 0.2689414]], rtol=1e-5)
