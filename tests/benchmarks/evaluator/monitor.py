"""The live monitor: how much it takes in, in how much memory, and what watching costs a student."""

from __future__ import annotations

import contextlib
import queue
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
from threadpoolctl import threadpool_limits

from benchmarks.report import Report, at_most
from benchmarks.supervisor.world import LABELS, World, process
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import monitor_pb2 as pb
from w2s.evaluator.v1 import monitor_pb2_grpc

OBSERVATIONS, REQUEST = 1_000_000, 1000
ROUNDS, PREDICTIONS, PERIOD_S = 7, 200, 0.01
STUDENT = "students/bench"


class Monitor:
    """An evaluator in a process of its own that watches a student beside a real supervisor, at the default rate."""

    def __init__(self, target: str, texts: list[str]) -> None:
        self._channel = grpc.insecure_channel(target)
        self.stub = monitor_pb2_grpc.MonitorServiceStub(self._channel)
        self.texts = texts
        spec = pb.StudentSpec(dimension="privacy", label_names=LABELS)
        self.stub.RegisterStudent(pb.RegisterStudentRequest(student_id="bench", spec=spec), timeout=60)
        (self.server,) = (child for child in psutil.Process().children() if "w2s_evaluator" in child.cmdline())

    def observation(self, id_: str, n: int) -> pb.Observation:
        yes = 0.5 + (n % 50) / 100
        example = common.Example(id=id_, text=self.texts[n % len(self.texts)])
        return pb.Observation(example=example, probabilities=[1 - yes, yes])

    def report(self) -> pb.MonitorReport:
        return self.stub.GetMonitorReport(pb.GetMonitorReportRequest(name=STUDENT), timeout=60)

    def close(self) -> None:
        self._channel.close()


@contextlib.contextmanager
def monitor(folder: Path) -> Iterator[Monitor]:
    world = World(folder, 640)
    announced = folder / "evaluator.json"
    with world.supervisor() as supervisor:
        command = [sys.executable, "-m", "w2s_evaluator", "--port=0", "--metrics-port=0", "--events-port=0"]
        command += [f"--artifact-root={world.store.root}", f"--database-url=sqlite:///{folder}/evaluator.db"]
        command += [f"--supervisor-address={supervisor.target}", f"--announce={announced}", "--exit-with-parent"]
        with process([*command, "--log-level=warning"], announced) as addresses:
            found = Monitor(addresses["grpc"], world.texts)
            yield found
            found.close()


def stream(folder: Path, report: Report) -> None:
    """Everything at once: 1,000 a request over one stream, far above the rate at which it is labelled."""
    resident = {}
    with monitor(folder) as watching:

        def requests() -> Iterator[pb.ObserveRequest]:
            for start in range(0, OBSERVATIONS, REQUEST):
                rows = [watching.observation(str(n), n) for n in range(start, start + REQUEST)]
                yield pb.ObserveRequest(student=STUDENT, observations=rows)

        done, shed, begin = 0, 0, time.perf_counter()
        for answer in watching.stub.Observe(requests()):
            assert (answer.accepted, answer.duplicates, len(answer.refused)) == (REQUEST, 0, 0)
            done, shed = done + REQUEST, shed + answer.shed
            if done in (OBSERVATIONS // 10, OBSERVATIONS):
                resident[done] = watching.server.memory_info().rss / 2**20
        seconds = time.perf_counter() - begin
        said = watching.report()
    early, late = resident[OBSERVATIONS // 10], resident[OBSERVATIONS]
    report.add("monitor_memory_at_1e6_over_1e5_observations", at_most([late / early], 1.1))
    report.note(monitor_observations_per_s=OBSERVATIONS / seconds, monitor_shed_share=shed / OBSERVATIONS)
    report.note(
        monitor_rss_mib_at_1e5=early,
        monitor_rss_mib_at_1e6=late,
        monitor_labelled=sum(one.observations for one in said.teachers),
    )


class Sender:
    """What a student has beside it: a thread that sends what it is given, 100 at once at most."""

    def __init__(self, watching: Monitor) -> None:
        self._watching = watching
        self._queue: queue.SimpleQueue[tuple[str, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.accepted = 0

    def send(self, id_: str, n: int) -> None:
        self._queue.put((id_, n))

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        for answer in self._watching.stub.Observe(self._requests()):
            self.accepted += answer.accepted

    def _requests(self) -> Iterator[pb.ObserveRequest]:
        while (one := self._queue.get()) is not None:
            rows = [self._watching.observation(*one)]
            with contextlib.suppress(queue.Empty):
                while len(rows) < 100:
                    if (more := self._queue.get_nowait()) is None:
                        self._queue.put(None)
                        break
                    rows.append(self._watching.observation(*more))
            yield pb.ObserveRequest(student=STUDENT, observations=rows)


def student(folder: Path, report: Report) -> None:
    """A student that answers a hundred times a second, watched and not, round by round."""
    with monitor(folder) as watching, threadpool_limits(1):
        sender = Sender(watching)
        predict = model()
        latencies(predict, lambda n: None)
        watched, alone = [], []
        for number in range(ROUNDS):
            alone.append(latencies(predict, lambda n: None))
            watched.append(latencies(predict, lambda n, r=number: sender.send(f"{r}-{n}", n)))
        sender.close()
    assert sender.accepted == ROUNDS * PREDICTIONS
    ratios = [statistics.median(w) / statistics.median(a) for w, a in zip(watched, alone, strict=True)]
    report.add("student_median_latency_watched_over_alone", at_most(ratios, 1.05))
    for name, found in (("watched", watched), ("alone", alone)):
        every = np.concatenate(found)
        median, p99 = float(np.median(every)), float(np.percentile(every, 99))
        report.note(**{f"student_median_{name}_s": median, f"student_p99_{name}_s": p99})


def model():
    """A student of a few milliseconds: matrix products."""
    weights = np.random.default_rng(0).normal(size=(12, 384, 384)).astype(np.float32) / 20

    def predict() -> None:
        hidden = np.ones((32, 384), dtype=np.float32)
        for layer in weights:
            hidden = np.tanh(hidden @ layer)

    return predict


def latencies(predict, observe) -> list[float]:
    found = []
    for n in range(PREDICTIONS):
        begin = time.perf_counter()
        predict()
        observe(n)
        found.append(time.perf_counter() - begin)
        time.sleep(max(0.0, PERIOD_S - found[-1]))
    return found
