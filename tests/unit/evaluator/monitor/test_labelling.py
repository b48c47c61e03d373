"""Labels from a supervisor that follows rules, over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import time

import numpy as np
import pytest
from sqlalchemy import select, update

from w2s_evaluator.monitor.labelling import Labeller
from w2s_evaluator.monitor.oracle import Oracle
from w2s_evaluator.monitor.storing import labelled_of, store_truths
from w2s_evaluator.monitor.tables import ObservationRow
from w2s_evaluator.monitor.window import Version

from .conftest import DIGEST, Supervisor, observation, spec_of

ACTIVE = Version("teachers/active", "", DIGEST)


@pytest.fixture
def labelling(database, students, serving):
    """Labels a student for a block: `async with labelling("s", supervisor)`."""

    @contextlib.asynccontextmanager
    async def run(id_, servicer):
        async with serving(servicer) as target:
            oracle = Oracle(target, lambda seconds: None)
            labeller = Labeller(students.watched(id_), database, oracle, lambda number: None)
            task = asyncio.create_task(labeller.run())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await oracle.close()

    return run


async def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def window_of(watched):
    rows, versions = watched.window.rows(time.time())
    return rows[np.argsort(rows["number"])], versions


async def offer(intake, texts, id_="s", start=0):
    answer = await intake.offer(id_, [observation(start + n, text=text) for n, text in enumerate(texts)])
    assert answer.shed == 0
    return answer


async def test_labels_join_the_window_and_texts_leave_the_database(database, students, intake, labelling):
    watched, _ = await students.register("s", spec_of(labels_per_second=1000))
    await offer(intake, ["yes", "no", "yes"])
    async with labelling("s", Supervisor()):
        await until(lambda: not watched.waiting)
    rows, versions = window_of(watched)
    assert (sorted(rows["teacher"].tolist()), versions) == ([0, 1, 1], [ACTIVE])
    assert (watched.counts.labelled, watched.counts.failed, watched.waiting_since) == (3, 0, None)
    found = await database.run(lambda session: session.scalars(select(ObservationRow)).all())
    assert {(row.text, row.waiting, row.teacher) for row in found} == {("", False, "teachers/active")}


async def test_rows_that_cannot_be_labelled_fail_alone(students, intake, labelling, caplog):
    watched, _ = await students.register("s", spec_of(labels_per_second=1000))
    await offer(intake, [*["yes"] * 20, "malformed", "unlabelled", *["no"] * 20, "unlabelled"])
    async with labelling("s", Supervisor()):
        await until(lambda: not watched.waiting)
    assert (watched.counts.labelled, watched.counts.failed) == (40, 3)
    assert len(window_of(watched)[0]) == 40
    assert [record.message for record in caplog.records].count("observations have no label: not this") == 1


async def test_rows_that_may_be_labelled_later_wait(database, students, intake, labelling):
    watched, _ = await students.register("s", spec_of(labels_per_second=1000))
    await offer(intake, ["later", "yes"])
    async with labelling("s", Supervisor()):
        await until(lambda: watched.counts.labelled == 1)
        assert len(watched.waiting) == 1
        soon = update(ObservationRow).where(ObservationRow.text == "later").values(text="no")
        await database.run(lambda session: session.execute(soon) and None)
        await until(lambda: not watched.waiting)
    assert (watched.counts.labelled, watched.counts.failed) == (2, 0)


async def test_a_busy_supervisor_is_asked_for_less(students, intake, labelling):
    watched, _ = await students.register("s", spec_of(labels_per_second=1000))
    await offer(intake, ["yes"] * 100)
    supervisor = Supervisor()
    supervisor.room = 40
    async with labelling("s", supervisor):
        await until(lambda: not watched.waiting)
    assert watched.counts.labelled == 100
    assert supervisor.calls[0] == ("", 100)


async def test_a_teacher_of_other_classes_labels_nothing(students, intake, labelling, caplog):
    watched, _ = await students.register("s", spec_of(teacher="teachers/three", labels_per_second=1000))
    await offer(intake, ["yes"] * 300)
    async with labelling("s", Supervisor()):
        await until(lambda: not watched.waiting)
    assert (watched.counts.labelled, watched.counts.failed) == (0, 300)
    told = [record.message for record in caplog.records if "has classes" in record.message]
    assert told == ["observations have no label: teachers/three has classes ['a', 'b', 'c'], the student ['no', 'yes']"]


async def test_a_teacher_that_is_not_there_yet_is_waited_for(students, intake, labelling):
    watched, _ = await students.register("s", spec_of(teacher="teachers/new", labels_per_second=1000))
    await offer(intake, ["yes"])
    supervisor = Supervisor()
    async with labelling("s", supervisor):
        await until(lambda: supervisor.calls)
        supervisor.names["teachers/new"] = ["no", "yes"]
        await until(lambda: not watched.waiting)
    assert window_of(watched)[1] == [Version("teachers/new", "", DIGEST)]


async def test_other_teachers_are_asked_too_and_left_out_where_they_cannot_answer(students, intake, labelling):
    spec = {"ceiling": "teachers/active", "no_conflict": "teachers/nobody", "labels_per_second": 1000}
    watched, _ = await students.register("s", spec_of(**spec))
    await offer(intake, ["yes", "no"])
    async with labelling("s", Supervisor()):
        await until(lambda: not watched.waiting)
    rows, _ = window_of(watched)
    assert (len(rows), rows["no_conflict"].tolist()) == (2, [-1, -1])
    await students.register("t", spec_of(ceiling="teachers/three", labels_per_second=1000))
    await offer(intake, ["yes"], "t")
    async with labelling("t", Supervisor()):
        await until(lambda: not students.watched("t").waiting)
    assert len(window_of(students.watched("t"))[0]) == 1


async def test_a_truth_that_comes_before_its_label_is_met_by_it(database, students, intake, labelling):
    watched, _ = await students.register("s", spec_of(ceiling="teachers/active", labels_per_second=1000))
    await offer(intake, ["yes", "no"])
    number = watched.student.number
    met = await database.run(lambda session: store_truths(number, {"o-0": 1, "o-5": 0}, 0.0, 0, session))
    assert [row.id for row in met] == ["o-0"]
    async with labelling("s", Supervisor()):
        await until(lambda: not watched.waiting)
    rows, _ = window_of(watched)
    (known,) = rows[rows["truth"] >= 0]
    assert (known["truth"], known["teacher_on_truth"], known["ceiling_on_truth"]) == pytest.approx((1, 0.8, 0.8))
    # The latest truth of one that has its label holds.
    (row,) = await database.run(lambda session: store_truths(number, {"o-0": 0}, 0.0, 0, session))
    watched.window.learn([labelled_of(row)])
    assert window_of(watched)[0]["truth"].tolist().count(0) == 1


async def test_what_waited_beyond_the_window_has_no_label(database, students, intake, labelling):
    watched, _ = await students.register("s", spec_of(labels_per_second=1000))
    await offer(intake, ["yes", "yes", "no"])
    old = update(ObservationRow).where(ObservationRow.text == "yes").values(time=time.time() - 3601)
    await database.run(lambda session: session.execute(old) and None)
    async with labelling("s", Supervisor()):
        await until(lambda: not watched.waiting)
    assert (watched.counts.labelled, watched.counts.failed) == (1, 2)


async def test_another_process_has_the_same_window(students, intake, labelling, load):
    watched, _ = await students.register("s", spec_of(ceiling="teachers/active", labels_per_second=1000))
    await offer(intake, ["yes", "no", "unlabelled"])
    async with labelling("s", Supervisor()):
        await until(lambda: not watched.waiting)
    again = (await load()).watched("s")
    now = time.time()
    (rows, versions), (before, _) = again.window.rows(now), watched.window.rows(now)
    assert (rows.tobytes(), versions) == (before.tobytes(), [ACTIVE])
    assert again.counts == watched.counts
