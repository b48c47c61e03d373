from __future__ import annotations

import time

import numpy as np

from w2s_evaluator.monitor.window import Labelled, Version

from .conftest import observation, spec_of

NAME = "w2s_evaluator_monitor_"


def label(watched, n, teacher="a", truth=None):
    version = Version(f"teachers/{teacher}", "run", f"sha256:{teacher}")
    student, said = np.array([0.1, 0.9]), np.array([0.6, 0.4])
    watched.settle(
        [Labelled(number, time.time(), version, student, said, truth=truth) for number in range(n)], failed=[]
    )


async def test_series_are_there_where_they_are_defined_and_end_with_the_student(students, intake, metrics, registry):
    metrics.export(lambda: students.all)
    watched, _ = await students.register("s", spec_of())
    await intake.offer("s", [observation(n) for n in range(5)])
    assert registry.get_sample_value(f"{NAME}waiting", {"student": "s"}) == 5
    assert 0 <= registry.get_sample_value(f"{NAME}lag_seconds", {"student": "s"}) < 10
    events = {
        outcome: registry.get_sample_value(f"{NAME}events_total", {"student": "s", "outcome": outcome})
        for outcome in ("accepted", "duplicate", "shed", "refused")
    }
    assert events == {"accepted": 5, "duplicate": 0, "shed": 0, "refused": 0}
    assert not beside_teachers(registry)

    await students.register("t", spec_of())
    label(students.watched("t"), 4)
    one = {"student": "t", "teacher": "a", "dimension": "topic"}
    assert registry.get_sample_value(f"{NAME}observations", one) == 4
    assert registry.get_sample_value(f"{NAME}disagreement", one) == 1
    assert beside_teachers(registry) == {
        NAME + name
        for name in ("observations", "outcomes", "disagreement", "confident_disagreement", "blind_spot_exposure")
    }
    await students.unregister("t")
    assert not beside_teachers(registry)
    await students.unregister("s")
    assert not [s for family in registry.collect() for s in family.samples if "student" in s.labels]
    assert watched.student.id == "s"


async def test_two_versions_of_one_teacher_are_one_series(students, metrics, registry):
    metrics.export(lambda: students.all)
    watched, _ = await students.register("s", spec_of())
    label(watched, 3)
    other = Version("teachers/a", "run", "sha256:other")
    watched.settle([Labelled(9, time.time(), other, np.array([0.1, 0.9]), np.array([0.2, 0.8]))], failed=[])
    one = {"student": "s", "teacher": "a", "dimension": "topic"}
    values = [s.value for f in registry.collect() for s in f.samples if s.name == f"{NAME}observations"]
    assert values == [registry.get_sample_value(f"{NAME}observations", one)] == [1]


def beside_teachers(registry):
    return {s.name for family in registry.collect() for s in family.samples if "teacher" in s.labels}
