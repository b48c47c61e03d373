from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text

from w2s.errors import NotFound
from w2s_evaluator.monitor.intake import Intake
from w2s_evaluator.monitor.tables import ObservationRow

from .conftest import observation, spec_of


def told(acknowledgement):
    return tuple(getattr(acknowledgement, name) for name in ("accepted", "duplicates", "sampled", "shed"))


async def stored(database):
    query = select(ObservationRow.id).order_by(ObservationRow.student, ObservationRow.number)
    return await database.run(lambda session: list(session.scalars(query)))


async def test_observations_are_stored_before_they_are_acknowledged(database, students, intake):
    await students.register("s", spec_of())
    assert told(await intake.offer("s", [observation(n) for n in range(3)])) == (3, 0, 3, 0)
    assert sorted(await stored(database)) == ["o-0", "o-1", "o-2"]


async def test_each_observation_is_taken_once(students, intake):
    await students.register("s", spec_of())
    first, second = [observation(n) for n in range(20)], [observation(n) for n in range(10, 30)]
    together = await asyncio.gather(intake.offer("s", first), intake.offer("s", second))
    assert [told(one) for one in together] == [(20, 0, 20, 0), (10, 10, 10, 0)]
    assert told(await intake.offer("s", [*first, *second])) == (0, 40, 0, 0)
    counts = students.watched("s").counts
    assert (counts.accepted, counts.duplicates) == (30, 50)


async def test_one_student_knows_nothing_of_anothers_ids(students, intake):
    for id_ in "ab":
        await students.register(id_, spec_of())
        assert told(await intake.offer(id_, [observation(0)])) == (1, 0, 1, 0)


async def test_the_sample_depends_on_the_ids_alone(database, students, intake):
    await students.register("s", spec_of(sampling_rate=0.3, labels_per_second=1000))
    await students.register("t", spec_of(sampling_rate=0.3, labels_per_second=1000))
    some = [observation(n) for n in range(1000)]
    answer = await intake.offer("s", some)
    assert (answer.accepted, answer.shed) == (1000, 0)
    assert 250 < answer.sampled < 350
    for start in (500, 0):
        await intake.offer("t", [observation(n, yes=0.6) for n in reversed(range(start, start + 500))])
    ids = await stored(database)
    assert sorted(ids[: answer.sampled]) == sorted(ids[answer.sampled :])


async def test_what_is_over_the_queue_is_shed_and_counted(students, intake):
    # Thirty seconds of the rate may wait.
    await students.register("s", spec_of(labels_per_second=2))
    assert told(await intake.offer("s", [observation(n) for n in range(100)])) == (100, 0, 60, 40)
    assert told(await intake.offer("s", [observation(n) for n in range(90, 110)])) == (10, 10, 0, 10)
    watched = students.watched("s")
    assert (watched.counts.shed, len(watched.waiting), watched.room) == (50, 60, 0)
    assert sum(watched.history.totals.counts) == 110


async def test_no_more_waits_than_the_window_holds(students, intake):
    await students.register("s", spec_of(labels_per_second=1e6, window={"observations": 20}))
    assert (await intake.offer("s", [observation(n) for n in range(50)])).sampled == 20


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": ""}, "the id must have from 1 to 256 characters"),
        ({"id": "a" * 257}, "got 257"),
        ({"text": ""}, "the texts must have from 1"),
        ({"text_pair": "a" * 100_000}, "got 100,001"),
        ({"text": "\ud800"}, "surrogate"),
        ({"text": "a\0b"}, "NUL"),
        ({"probabilities": (1.0,)}, "2 classes, got 1"),
        ({"probabilities": (float("inf"), 0.0)}, "in [0, 1], got inf"),
        ({"probabilities": (0.5, 0.502)}, "sum to 1, got 1.002"),
        ({"time": datetime.now(UTC) + timedelta(days=1)}, "in the future"),
        ({"time": datetime.now(UTC) - timedelta(seconds=3700)}, "the window holds 3600 s"),
    ],
)
async def test_a_bad_observation_is_refused_and_its_neighbours_taken(students, intake, fields, reason):
    await students.register("s", spec_of())
    skewed = {"time": datetime.now(UTC) + timedelta(seconds=200)}
    answer = await intake.offer("s", [observation(0, **skewed), observation(1, **fields), observation(2)])
    assert told(answer) == (2, 0, 2, 0)
    ((id_, why),) = answer.refused
    assert (id_, reason in why) == (fields.get("id", "o-1"), True), why
    assert students.watched("s").counts.refused == 1


async def test_a_student_that_leaves_is_not_found(students, intake):
    await students.register("s", spec_of())
    late = asyncio.create_task(intake.offer("s", [observation(0)]))
    leaving = asyncio.create_task(students.unregister("s"))
    await asyncio.gather(late, leaving, return_exceptions=True)
    with pytest.raises(NotFound):
        await intake.offer("s", [observation(1)])
    with pytest.raises(NotFound):
        await intake.offer("nobody", [observation(1)])


async def test_what_the_database_did_not_take_may_be_sent_again(database, students, intake):
    await students.register("s", spec_of())
    await database.run(lambda session: session.execute(text("ALTER TABLE stretches RENAME TO away")) and None)
    with pytest.raises(Exception, match="stretches"):
        await intake.offer("s", [observation(0)])
    assert students.watched("s").counts.accepted == 0
    await database.run(lambda session: session.execute(text("ALTER TABLE away RENAME TO stretches")) and None)
    assert told(await intake.offer("s", [observation(0)])) == (1, 0, 1, 0)


async def test_a_stored_observation_is_known_beyond_the_horizon(database, students, intake):
    await students.register("s", spec_of(window={"observations": 20}, labels_per_second=1))
    assert (await intake.offer("s", [observation(0)])).sampled == 1
    await intake.offer("s", [observation(n) for n in range(1, 1000)])
    students.watched("s").waiting.clear()
    assert told(await intake.offer("s", [observation(0)])) == (0, 1, 0, 0)
    query = select(func.count()).where(ObservationRow.id == "o-0")
    assert await database.run(lambda session: session.scalar(query)) == 1


async def test_another_process_knows_what_was_acknowledged(database, students, intake, load):
    await students.register("s", spec_of(labels_per_second=1))
    await intake.offer("s", [observation(n, yes=0.8) for n in range(700)])
    before = students.watched("s")
    again = await load()
    after = again.watched("s")
    assert (after.counts, after.waiting, after.waiting_since) == (before.counts, before.waiting, before.waiting_since)
    assert (after.history.totals, after.history.reference) == (before.history.totals, before.history.reference)
    assert after.history.drift(before.last_event) == before.history.drift(before.last_event) is not None
    assert (after.last_event, after.next_number) == (before.last_event, before.next_number)
    second = Intake(database, again)
    second.start()
    assert told(await second.offer("s", [observation(n) for n in range(701)])) == (1, 700, 0, 1)
    await second.stop()
