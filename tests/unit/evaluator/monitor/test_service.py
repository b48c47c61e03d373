from __future__ import annotations

import time

import pytest
from sqlalchemy import select, update

from w2s.errors import FailedPrecondition
from w2s_evaluator.monitor.service import Monitor
from w2s_evaluator.monitor.storing import forget_old, read_waiting, store_labels, store_truths
from w2s_evaluator.monitor.tables import ObservationRow, from_bytes
from w2s_evaluator.monitor.window import Labelled, Version
from w2s_evaluator.settings import EvaluatorSettings

from .conftest import observation, spec_of


async def test_nobody_is_watched_without_a_supervisor(database, store, metrics):
    settings = EvaluatorSettings(artifact_root=store.root, database_url="sqlite://", _cli_parse_args=[])
    monitor = Monitor(database, store, settings, metrics)
    await monitor.start()
    with pytest.raises(FailedPrecondition, match="W2S_SUPERVISOR_ADDRESS"):
        await monitor.register("s", spec_of())
    await monitor.stop()


async def test_what_has_left_the_window_is_deleted_and_meets_no_truth(database, students, intake):
    watched, _ = await students.register("s", spec_of(labels_per_second=1000))
    number = watched.student.number
    await intake.offer("s", [observation(n) for n in range(6)])

    def label(session):
        rows = [row for row in read_waiting(number, 10, session) if row.id != "o-5"]
        session.execute(update(ObservationRow).where(ObservationRow.id == "o-0").values(time=time.time() - 100))
        version = Version("teachers/a", "run", "sha256:a")
        said = from_bytes(rows[0].probabilities)
        return store_labels(number, [Labelled(r.number, r.time, version, said, said) for r in rows], [], session)

    stored = await database.run(label)
    since, oldest = time.time() - 60, stored[1].number
    truths = {f"o-{n}": 1 for n in range(6)}
    met = await database.run(lambda session: store_truths(number, truths, since, oldest, session))
    await database.run(lambda session: forget_old(number, since, oldest, session))
    left = await database.run(lambda session: session.scalars(select(ObservationRow.id)).all())
    assert {row.id for row in met} == set(left)
    assert "o-0" not in left
    assert len(left) in {4, 5}
    assert "o-5" in left
