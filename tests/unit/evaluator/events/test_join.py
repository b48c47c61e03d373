from __future__ import annotations

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from w2s.database import Database
from w2s.errors import InvalidArgument, NotFound, Unavailable
from w2s_evaluator.events.join import Joiner
from w2s_evaluator.events.metrics import EventMetrics
from w2s_evaluator.events.parse import Half, Side
from w2s_evaluator.events.tables import count_halves, expire_halves
from w2s_evaluator.migrations import EVALUATOR
from w2s_evaluator.monitor.observation import Acknowledgement, Observation

TIME = datetime(2026, 11, 25, 10, tzinfo=UTC)


class Monitor:
    """Two students, and what is said of them."""

    def __init__(self):
        self.taken = []
        self.services = {"team/a": "student-a", "team/b": "student-b"}

    def by_inference_service(self, service):
        return self.services.get(service)

    def label_names(self, student_id):
        return ("no", "yes")

    async def offer(self, student_id, observations):
        self.taken += [(student_id, observation) for observation in observations]
        return Acknowledgement(len(observations), 0, 0, 0, [])


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/state.db", EVALUATOR)
    yield database
    database.close()


@pytest.fixture
def monitor():
    return Monitor()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def joiner(database, monitor, registry):
    joiner = Joiner(database, monitor, monitor, EventMetrics(registry))
    await joiner.start()
    yield joiner
    await joiner.stop()


def request(*texts, id_="1", service="team/a"):
    return Half(service, id_, Side.REQUEST, TIME - timedelta(seconds=1), {"instances": list(texts)})


def response(*rows, id_="1", service="team/a"):
    return Half(service, id_, Side.RESPONSE, TIME, {"predictions": [list(row) for row in rows]})


async def test_an_inference_is_given_on_once_whole_in_either_order(joiner, monitor):
    assert await joiner.take(request("x")) == "waiting"
    assert await joiner.take(response((0.25, 0.75))) == "joined"
    assert await joiner.take(response((0.5, 0.5), id_="2", service="team/b")) == "waiting"
    assert await joiner.take(request("y", id_="2", service="team/b")) == "joined"

    assert monitor.taken == [
        ("student-a", Observation("1", "x", "", (0.25, 0.75), TIME)),
        ("student-b", Observation("2", "y", "", (0.5, 0.5), TIME)),
    ]


async def test_every_text_of_a_request_is_an_observation(joiner, monitor):
    await joiner.take(request("x", "y"))
    await joiner.take(response((1, 0), (0, 1)))

    assert [(found.id, found.text, found.probabilities) for _, found in monitor.taken] == [
        ("1/0", "x", (1.0, 0.0)),
        ("1/1", "y", (0.0, 1.0)),
    ]


async def test_repeated_events_change_nothing(joiner, monitor):
    halves = (request("x"), response((0.25, 0.75)))
    for half in itertools.chain.from_iterable(zip(halves, halves, strict=True)):
        await joiner.take(half)

    assert len(monitor.taken) == 1
    assert [await joiner.take(half) for half in halves] == ["duplicate", "duplicate"]
    assert len(monitor.taken) == 1


async def test_events_that_come_together_are_joined(joiner, monitor):
    halves = [half for n in range(300) for half in (request("x", id_=f"{n}"), response((0, 1), id_=f"{n}"))]
    outcomes = await asyncio.gather(*map(joiner.take, halves[::2] + halves[1::2]))

    assert outcomes.count("joined") >= 300
    assert sorted(int(found.id) for _, found in monitor.taken) == list(range(300))


async def test_one_id_of_two_services_is_two_inferences(joiner, monitor):
    await joiner.take(request("x"))
    assert await joiner.take(response((1, 0), service="team/b")) == "waiting"
    assert monitor.taken == []


async def test_halves_that_do_not_fit_are_refused_and_forgotten(joiner, monitor, database):
    await joiner.take(request("x", "y"))
    assert await joiner.take(response((1, 0))) == "refused"
    assert (monitor.taken, await database.run(count_halves)) == ([], 0)


async def test_events_of_nobody_and_of_other_classes_are_refused_at_once(joiner, database):
    with pytest.raises(NotFound, match="team/c"):
        await joiner.take(request("x", service="team/c"))
    with pytest.raises(InvalidArgument, match="2 probabilities"):
        await joiner.take(response((0.2, 0.3, 0.5)))
    assert await database.run(count_halves) == 0


async def test_what_was_acknowledged_is_joined_by_a_later_server(joiner, monitor, database):
    await joiner.take(request("x"))
    await joiner.stop()
    later = Joiner(database, monitor, monitor, EventMetrics(CollectorRegistry()))
    await later.start()

    assert await later.take(response((0, 1))) == "joined"
    await later.stop()
    assert [found.text for _, found in monitor.taken] == ["x"]


async def test_an_inference_that_was_stored_and_not_given_on_is_given_on_at_the_start(joiner, monitor, database):
    await joiner.take(request("x"))
    await joiner.take(response((0, 1)))
    await joiner.stop()
    # As the server would leave it that ends between the two.
    restore = text("update event_halves set body = :body where side = :side")
    for half in (request("x"), response((0, 1))):
        body = {"body": json.dumps(half.body), "side": half.side.value}
        await database.run(lambda session, body=body: session.execute(restore, body))
    registry = CollectorRegistry()
    later = Joiner(database, monitor, monitor, EventMetrics(registry))
    await later.start()
    while len(monitor.taken) < 2:
        await asyncio.sleep(0.01)
    await later.stop()

    assert monitor.taken[0] == monitor.taken[1]
    assert registry.get_sample_value("w2s_evaluator_cloudevents_total", {"outcome": "joined"}) == 1


async def test_halves_that_nothing_follows_expire_and_are_counted(joiner, monitor, database):
    await joiner.take(request("x"))
    await joiner.take(response((0, 1)))
    await joiner.take(request("alone", id_="2"))

    assert await database.run(partial(expire_halves, age=timedelta(minutes=1))) == 0
    assert await database.run(partial(expire_halves, age=timedelta(0))) == 1
    assert await database.run(count_halves) == 0


async def test_a_database_that_fails_is_said_and_the_event_is_taken_later(joiner, monitor, database):
    await database.run(lambda session: session.execute(text("alter table event_halves rename to gone")))
    with pytest.raises(Unavailable, match="send them again"):
        await joiner.take(request("x"))
    await database.run(lambda session: session.execute(text("alter table gone rename to event_halves")))

    assert await joiner.take(request("x")) == "waiting"
