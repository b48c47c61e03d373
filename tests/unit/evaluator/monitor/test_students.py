from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import func, select

from w2s.artifacts.schemas import EXAMPLES_SCHEMA, PREDICTIONS_SCHEMA
from w2s.artifacts.tables import read_dataset, write_examples, write_predictions
from w2s.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from w2s_evaluator.monitor.tables import ObservationRow, StretchRow, StudentRow

from .conftest import observation, spec_of


async def test_the_same_spec_is_the_same_student(students):
    student, new = await students.register("s", spec_of())
    again, newer = await students.register("s", spec_of(threshold=0.75))
    assert (again, new, newer) == (student, True, False)
    with pytest.raises(AlreadyExists, match="students/s has another spec"):
        await students.register("s", spec_of(threshold=0.8))


async def test_students_are_capped_and_the_refused_counted(students, registry):
    for id_ in "abc":
        await students.register(id_, spec_of())
    with pytest.raises(ResourceExhausted, match="3 students"):
        await students.register("d", spec_of())
    assert registry.get_sample_value("w2s_evaluator_dropped_series_total", {"kind": "student"}) == 1
    assert (await students.register("a", spec_of()))[1] is False
    await students.unregister("a")
    assert (await students.register("d", spec_of()))[1] is True


@pytest.mark.parametrize("id_", ["", "A", "a/b", "a" * 64])
async def test_a_malformed_id_is_refused(students, id_):
    with pytest.raises(InvalidArgument, match="student_id"):
        await students.register(id_, spec_of())


async def test_students_are_found_by_their_inference_service(students, load):
    await students.register("s", spec_of(inference_service="prod/chat"))
    with pytest.raises(AlreadyExists, match="students/s has the payloads of prod/chat"):
        await students.register("t", spec_of(inference_service="prod/chat"))
    for found in (students, await load()):
        assert found.by_inference_service("prod/chat") == "s"
        assert found.by_inference_service("prod/other") is None
        assert list(found.label_names("s")) == ["no", "yes"]
    with pytest.raises(NotFound):
        students.label_names("t")


async def test_pages_are_by_name(students):
    for id_ in "cab":
        await students.register(id_, spec_of())
    first, token = students.page(2, "")
    second, end = students.page(2, token)
    assert ([one.id for one in (*first, *second)], end) == (["a", "b", "c"], "")
    with pytest.raises(InvalidArgument, match="page_token"):
        students.page(2, "???")


async def test_nothing_is_left_of_one_that_is_unregistered(database, students, intake, load):
    await students.register("s", spec_of())
    await students.register("t", spec_of())
    for id_ in "st":
        await intake.offer(id_, [observation(0)])
    await students.unregister("s")
    for found in (students, await load()):
        with pytest.raises(NotFound):
            found.watched("s")
    for row in (StudentRow, ObservationRow, StretchRow):
        query = select(func.count()).select_from(row)
        assert await database.run(lambda session, query=query: session.scalar(query)) == 1
    with pytest.raises(NotFound):
        await students.unregister("s")
    again, _ = await students.register("s", spec_of())
    assert again.student.number not in {1, students.watched("t").student.number}


@pytest.fixture
def reference(store):
    """The reference to 200 predictions of two classes, whose confidence is 0.6 (logits 0 and ln 1.5)."""
    with store.write("datasets", "d", data_schema=EXAMPLES_SCHEMA, config={"label_names": ["no", "yes"]}) as dataset:
        write_examples(dataset.path, [{"id": str(n), "text": "a", "text_pair": None, "label": 0} for n in range(200)])
    with store.write("predictions", "p", data_schema=PREDICTIONS_SCHEMA, config={}) as draft:
        logits = np.tile(np.log([1, 1.5]).astype(np.float32), (200, 1))
        write_predictions(draft.path, read_dataset(store, dataset.ref), logits)
    return {"predictions": draft.ref.model_dump(), "dataset": dataset.ref.model_dump()}


async def test_confidence_drifts_from_the_reference(students, intake, load, reference):
    await students.register("s", spec_of(reference=reference["predictions"]))
    await intake.offer("s", [observation(n, yes=0.95) for n in range(100)])
    for found in (students, await load()):
        history = found.watched("s").history
        # 0.6 is on the edge of the second and the third bin.
        assert (sum(history.reference.bins), history.reference.complete) == (200, True)
        assert max(history.reference.bins[1:3]) == 200
        assert history.drift(found.watched("s").last_event) > 1


async def test_a_reference_of_other_classes_or_kinds_is_refused(students, reference):
    with pytest.raises(InvalidArgument, match=r"spec\.reference: has 2 classes, the student 3"):
        await students.register("s", spec_of(label_names=["a", "b", "c"], reference=reference["predictions"]))
    with pytest.raises(InvalidArgument, match=r"spec\.reference"):
        await students.register("s", spec_of(reference=reference["dataset"]))
    assert students.all == []
