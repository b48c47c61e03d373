"""Part of a dataset is a dataset of its own, made once."""

from __future__ import annotations

import pytest

from pipelines.steps.select import answered, select
from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import read_completions, write_completions
from w2s.errors import FailedPrecondition


@pytest.fixture
def prompts(store):
    """Writes three prompts, in the slices given."""

    def write(*slices):
        rows = [
            {"id": f"p{n}", "prompt": f"say {n}", "completion": f" {n}", **({"slice": s} if s else {})}
            for n, s in enumerate(slices)
        ]
        with store.write("datasets", "prompts", data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
            write_completions(draft.path, rows)
        return draft.ref

    return write


def test_the_rows_of_a_slice_are_kept_as_they_are(store, prompts):
    whole = prompts("toxic", "nontoxic", "toxic")
    found = read_completions(store, ArtifactRef(**select(store, whole, "toxic")))
    assert list(zip(found.ids, found.prompts, found.completions, found.slices, strict=True)) == [
        ("p0", "say 0", " 0", "toxic"),
        ("p2", "say 2", " 2", "toxic"),
    ]
    assert [(p.role, p.digest) for p in found.manifest.parents] == [("dataset", whole.digest)]
    assert select(store, whole, "toxic") == found.ref.model_dump()


def written(store, *completions):
    """What a teacher wrote."""
    by = {"teacher": "teachers/weak", "teacher_revision": "r1", "teacher_digest": "sha256:1"}
    rows = [{"id": f"p{n}", "prompt": "say", "completion": text, **by} for n, text in enumerate(completions)]
    with store.write("datasets", "written", data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
        write_completions(draft.path, rows)
    return draft.ref


def test_empty_completions_are_left_out_and_counted_and_the_teacher_stays(store):
    made, empty = answered(store, written(store, " yes", "", " "))
    found = read_completions(store, ArtifactRef(**made))
    assert (found.ids, found.completions, empty) == (["p0", "p2"], [" yes", " "], 1)
    assert found.teachers == [("teachers/weak", "r1", "sha256:1")]


@pytest.mark.parametrize(("completions", "empty"), [((" a", " b"), 0), (("", ""), 2)])
def test_where_none_or_all_are_empty_the_dataset_stays(store, completions, empty):
    whole = written(store, *completions)
    assert answered(store, whole) == (whole.model_dump(), empty)


@pytest.mark.parametrize("slices", [("nontoxic", "nontoxic"), (None, None)])
def test_a_slice_without_rows_is_refused(store, prompts, slices):
    with pytest.raises(FailedPrecondition, match="none of 2 rows is in the slice toxic"):
        select(store, prompts(*slices), "toxic")
