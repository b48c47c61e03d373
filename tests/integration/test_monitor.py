"""The live monitor beside a real supervisor: what it says of a student, what it sheds, and what a kill leaves."""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace

import numpy as np
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from w2s.client import connect
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import monitor_pb2 as pb
from w2s.evaluator.v1 import monitor_pb2_grpc
from w2s.supervisor.v1 import supervisor_pb2

from .conftest import Client, Server, scrape, wait_until

CLASSES = ["sports", "trade", "science"]
THRESHOLD = 0.6
# Wrong and sure of it, and right and sure of it, where the truth is sports.
WRONG, RIGHT = (0.05, 0.9, 0.05), (0.7, 0.2, 0.1)
ANY = supervisor_pb2.ValidationGate(allow_other_labels=True)


def text(n):
    return f"text {n} of the stream"


def answer(n):
    return WRONG if n % 3 == 0 else RIGHT


def observation(n, probabilities=None, **fields):
    example = common.Example(id=f"o-{n}", text=text(n))
    return pb.Observation(example=example, probabilities=probabilities or answer(n), **fields)


class Watching:
    """An evaluator of these tests' own, which is killed and started again with its state."""

    def __init__(self, folder):
        self.server = Server("evaluator", folder, folder / "artifacts")
        self._stack = contextlib.ExitStack()

    def start(self, supervisor):
        if self.server.process:
            self.server.kill()
        self._stack.close()
        # Each test registers students of its own, and one more than these is refused.
        self.server.start(f"--supervisor-address={supervisor}", "--threads=1", "--max-students=5")
        channel = self._stack.enter_context(connect(self.server.target))
        self.call = Client(monitor_pb2_grpc.MonitorServiceStub(channel), pb)
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert health.status == health_pb2.HealthCheckResponse.SERVING

    def stop(self):
        self._stack.close()
        self.server.kill()

    def register(self, id_, **spec):
        spec = pb.StudentSpec(**{"dimension": "topic", "label_names": CLASSES, **spec})
        return self.call.RegisterStudent(student_id=id_, spec=spec)

    def observe(self, student, observations):
        return observe(self.call.stub, student, observations)

    def report(self, id_):
        return self.call.GetMonitorReport(name=f"students/{id_}")

    def series(self, **labels):
        return series(self.server, labels)


@pytest.fixture(scope="module")
def watching(tmp_path_factory, model_server):
    """An evaluator that began without a supervisor, with 40 observations of `patient` that wait, and has one now."""
    monitor = Watching(tmp_path_factory.mktemp("watching"))
    try:
        monitor.start("127.0.0.1:9")
        monitor.register("patient", labels_per_second=1000, teacher="teachers/topics")
        assert monitor.observe("patient", map(observation, range(40))).sampled == 40
        assert monitor.report("patient").waiting == 40
        wait_until(lambda: monitor.series(student="patient")["lag_seconds",] > 0.2)
        monitor.start(model_server.target)
        yield monitor
    finally:
        monitor.stop()


@pytest.fixture
def monitor(watching):
    """That evaluator, with no student of a test before."""
    yield watching
    for student in watching.call.ListStudents().students:
        watching.call.UnregisterStudent(name=student.name)


def observe(stub, student, observations):
    """Streams observations, 100 a request, and adds up what is acknowledged."""
    batches = chunks(observations, 100)
    requests = (pb.ObserveRequest(student=f"students/{student}", observations=batch) for batch in batches)
    answers = list(stub.Observe(requests, timeout=60))
    sums = {name: sum(getattr(one, name) for one in answers) for name in ("accepted", "duplicates", "sampled", "shed")}
    return SimpleNamespace(**sums, refused=[(r.id, r.reason) for one in answers for r in one.refused])


def chunks(items, size):
    items = list(items)
    return [items[start : start + size] for start in range(0, len(items), size)]


def series(server, wanted):
    """The monitor's samples that have some labels, by name and the values of the other labels."""
    return {
        (name.removeprefix("w2s_evaluator_monitor_"), *sorted(v for k, v in labels if k not in wanted)): value
        for (name, labels), value in scrape(server.addresses["metrics"]).items()
        if name.startswith("w2s_evaluator_monitor_") and wanted.items() <= set(labels)
    }


@pytest.fixture
def says(oracle):
    """A teacher's probabilities of the texts of some observations, shape [N, 3]."""

    def ask(teacher, numbers):
        rows = []
        for batch in chunks(numbers, 50):
            examples = [common.Example(id=str(n), text=text(n)) for n in batch]
            rows += [one.probabilities for one in oracle.Label(examples=examples, teacher=teacher).labels]
        return np.array(rows)

    return ask


def labelled(monitor, id_, n, eventually):
    """The report, once so many observations have their labels and none waits."""

    def done():
        report = monitor.report(id_)
        return report.waiting == 0 and sum(one.observations for one in report.teachers) == n and report

    return eventually(done)


def test_labels_wait_for_a_supervisor_that_is_away(monitor, topics, eventually):
    assert labelled(monitor, "patient", 40, eventually).teachers[0].teacher == topics.version


def test_a_student_is_watched_and_survives_a_kill(monitor, model_server, publish, topics, says, eventually, refused):
    ceiling = publish("topics-three")
    spec = {"teacher": topics.name, "ceiling": ceiling.name, "no_conflict": ceiling.name}
    spec |= {"threshold": THRESHOLD, "labels_per_second": 1000}
    student = monitor.register("chat", **spec)
    assert monitor.register("chat", **spec) == student
    with refused("ALREADY_EXISTS"):
        monitor.register("chat", **{**spec, "threshold": 0.8})
    assert not monitor.report("chat").teachers

    told = monitor.observe("chat", map(observation, range(240)))
    assert (told.accepted, told.sampled, told.shed, told.duplicates, told.refused) == (240, 240, 0, 0, [])
    assert monitor.observe("chat", map(observation, range(140, 240))).duplicates == 100
    # Some truths come before their labels do, and one is corrected.
    truth = [pb.Outcome(id=f"o-{n}", label="sports") for n in range(200)]
    first = monitor.call.ReportOutcomes(
        student="students/chat", outcomes=[pb.Outcome(id="o-0", label="trade"), pb.Outcome(id="o-900", label="trade")]
    )
    assert (first.matched, list(first.unknown)) == (1, ["o-900"])
    assert monitor.call.ReportOutcomes(student="students/chat", outcomes=truth).matched == 200

    report = labelled(monitor, "chat", 240, eventually)
    (found,) = report.teachers
    assert (found.teacher, found.outcomes) == (topics.version, 200)
    expected = by_hand(says(topics.name, range(240)), says(ceiling.name, range(240)))
    assert {name: getattr(found, name).value for name in expected["figures"]} == pytest.approx(expected["figures"])
    deception = found.deception
    assert deception.threshold == THRESHOLD
    assert {(a.strong_known, a.weak_known): (a.right, a.wrong) for a in deception.areas} == expected["areas"]
    assert (deception.score_errors.value, deception.score_errors.n) == pytest.approx(expected["score"])
    assert deception.score_conflict_tax == deception.score_errors  # Without conflict it is always right.
    assert deception.score_errors.interval.low < deception.score_errors.value < deception.score_errors.interval.high
    before = monitor.series(student="chat")
    assert before["events_total", "accepted"] == 240
    assert before["events_total", "duplicate"] == 100
    assert before["deception_score", "errors", "topic", "topics"] == deception.score_errors.value
    assert before["blind_spot_rate_low", "topic", "topics"] == found.blind_spot_rate.interval.low
    assert before["student_confidence_ratio_bucket", "0.7"] == 160
    assert (before["waiting",], before["lag_seconds",]) == (0, 0)

    monitor.start(model_server.target)
    assert MessageToDict(monitor.report("chat")) == MessageToDict(report)
    after = monitor.series(student="chat")
    assert after == before
    assert monitor.observe("chat", map(observation, range(240))).duplicates == 240

    monitor.call.UnregisterStudent(name="students/chat")
    assert monitor.series(student="chat") == {}
    with refused("NOT_FOUND"):
        monitor.report("chat")


def by_hand(teacher, ceiling):
    """What the monitor has to say of 240 observations, of which the first 200 are of the class sports."""
    wrong = np.arange(240) % 3 == 0
    unsure = teacher.max(axis=1) < THRESHOLD
    differ = teacher.argmax(axis=1) != np.where(wrong, 1, 0)
    known = slice(0, 200)
    weak, strong = teacher[known, 0] >= THRESHOLD, ceiling[known, 0] >= THRESHOLD
    errors = strong & wrong[known]
    return {
        "figures": {
            "disagreement": differ.mean(),
            "confident_disagreement": differ.mean(),
            "blind_spot_exposure": unsure.mean(),
            "blind_spot_rate": (unsure & wrong)[known].mean(),
            "student_accuracy": 1 - wrong[known].mean(),
            "teacher_accuracy": (teacher[known].argmax(axis=1) == 0).mean(),
        },
        "areas": {
            (s, w): tuple(int(((strong == s) & (weak == w) & (wrong[known] == e)).sum()) for e in (False, True))
            for s in (True, False)
            for w in (True, False)
        },
        "score": ((errors & ~weak).sum() / errors.sum(), errors.sum()),
    }


def test_a_swap_begins_another_series_and_other_classes_have_none(monitor, oracle, topics, publish, eventually):
    other = publish("topics-too")
    monitor.register("any", labels_per_second=1000)
    monitor.register("two", label_names=["no", "yes"], labels_per_second=1000)
    monitor.observe("any", map(observation, range(50)))
    labelled(monitor, "any", 50, eventually)
    oracle.activate(other, gate=ANY)
    monitor.observe("any", map(observation, range(50, 80)))
    newest, oldest = labelled(monitor, "any", 80, eventually).teachers
    assert (newest.teacher, newest.observations) == (other.version, 30)
    assert (oldest.teacher, oldest.observations) == (topics.version, 50)
    observations = monitor.series(student="any", dimension="topic")
    assert [observations["observations", id_] for id_ in ("topics", "topics-too")] == [50, 30]
    assert not [key for key in observations if "blind_spot_rate" in key or "deception_score" in key]

    monitor.observe("two", [observation(n, (0.5, 0.5)) for n in range(30)])
    eventually(lambda: monitor.series(student="two")["labels_total", "failed"] == 30)
    assert not monitor.report("two").teachers


def test_what_comes_too_fast_is_shed_and_the_figures_stay_right(monitor, topics, says, eventually):
    spec = {"teacher": topics.name, "labels_per_second": 50, "threshold": THRESHOLD}
    monitor.register("fast", window=pb.Window(observations=60), **spec)
    told = monitor.observe("fast", map(observation, range(6000)))
    assert (told.accepted, told.sampled + told.shed) == (6000, 6000)
    assert 60 <= told.sampled < 600
    report = labelled(monitor, "fast", 60, eventually)
    counted = monitor.series(student="fast")
    assert counted["events_total", "shed"] == told.shed
    assert counted["student_confidence_ratio_count",] == 6000
    # A random part of the stream is labelled: its shares are those of the whole.
    # From one end of it to the other, since the teacher hears the number of digits.
    numbers = np.arange(0, 6000, 7)
    wrong = says(topics.name, numbers).argmax(axis=1) != np.where(numbers % 3 == 0, 1, 0)
    interval = report.teachers[0].disagreement.interval
    assert interval.low - 0.1 < wrong.mean() < interval.high + 0.1
    assert report.confidence_drift < 0.1


def test_bad_observations_are_refused_and_the_others_taken(monitor, topics, refused, eventually):
    window = pb.Window(age=duration_pb2.Duration(seconds=600))
    monitor.register("strict", teacher=topics.name, window=window, labels_per_second=1000)
    now = int(time.time())
    told = monitor.observe(
        "strict",
        [
            observation(0),
            observation(1, (0.5, 0.5)),
            observation(2, (0.5, 0.5, 0.1)),
            observation(3, (float("nan"), 0.5, 0.5)),
            observation(4, (-0.5, 1.0, 0.5)),
            observation(5, time=timestamp_pb2.Timestamp(seconds=now + 400)),
            observation(6, time=timestamp_pb2.Timestamp(seconds=now - 700)),
            pb.Observation(example=common.Example(id="i" * 257, text="a"), probabilities=RIGHT),
            pb.Observation(example=common.Example(id="long", text="a" * 100_001), probabilities=RIGHT),
            observation(7, time=timestamp_pb2.Timestamp(seconds=now + 200)),
        ],
    )
    assert (told.accepted, told.sampled) == (2, 2)
    words = ["3 classes", "sum to 1", "in [0, 1]", "in [0, 1]", "in the future", "window holds", "id must", "100,000"]
    assert [word in reason for word, (_, reason) in zip(words, told.refused, strict=True)] == [True] * 8
    labelled(monitor, "strict", 2, eventually)
    assert monitor.series(student="strict")["events_total", "refused"] == 8

    with refused("NOT_FOUND"):
        monitor.observe("nobody", [observation(0)])
    with refused("INVALID_ARGUMENT", "observations"):
        monitor.observe("strict", [observation(0), observation(0)])
    with refused("INVALID_ARGUMENT", "outcomes[1].label"):
        outcomes = [pb.Outcome(id="o-0", label="trade"), pb.Outcome(id="o-7", label="tennis")]
        monitor.call.ReportOutcomes(student="students/strict", outcomes=outcomes)
    for field, spec in {
        "spec.label_names": {"label_names": ["a"]},
        "spec.dimension": {"dimension": "No Such"},
        "spec.teacher": {"teacher": "topics"},
        "spec.window.observations": {"window": pb.Window(observations=3)},
        "spec.window.age": {"window": pb.Window(age=duration_pb2.Duration(seconds=-1))},
    }.items():
        with refused("INVALID_ARGUMENT", field):
            monitor.register("other", **spec)
    for id_ in "abcd":
        monitor.register(id_)
    with refused("RESOURCE_EXHAUSTED"):
        monitor.register("e")
    names = [f"students/{id_}" for id_ in ("a", "b", "c", "d", "strict")]
    assert [one.name for one in monitor.call.ListStudents().students] == names
    page = monitor.call.ListStudents(page_size=3)
    rest = monitor.call.ListStudents(page_size=3, page_token=page.next_page_token)
    assert [one.name for one in (*page.students, *rest.students)] == names
