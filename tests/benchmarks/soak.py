"""Half an hour's work on all services in five minutes: none may leak or fail a call. `make soak` writes out/soak.json.

Real processes and tiny models. Clients label online, jobs label in bulk, teachers are swapped, and observations reach
the monitor: as often as `HALF_HOUR` says, evenly spread. W2S_SOAK_MINUTES says how many minutes' worth, 30 unless set.

What must hold:
- All of that work is answered, in a third of the time that it stands for at most, but for `SHED` of a kind's calls.
- No call fails but those that a limit of ours sheds (RESOURCE_EXHAUSTED), no job at all, and none hangs.
- Memory grows by `GROWTH_MIB` in half an hour's work at most. It is the slope of the second half, by Theil and Sen (the
  median of the slopes between all pairs, which outliers do not move), of the least of each ten seconds: in the first
  half, windows and the allocator's arenas fill, and during a swap two teachers are in memory. The words that a
  tokenizer remembers, which are whole texts to the tiny models' one, are filled in before anything counts. It is what
  the kernel counts (RSS), and nothing is trimmed: memory that the allocator keeps is memory that a pod is killed for.
- The median of open files in the last quarter exceeds that in the second by `FILES` at most.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
from helpers.tiny_models import byte_tokenizer, headed
from rich.console import Console
from rich.table import Table
from scipy.stats import theilslopes
from support.faults import ANY, CLASSES, examples_dataset, model_teacher

from w2s.artifacts import ArtifactStore
from w2s.client import connect, follow
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import monitor_pb2, monitor_pb2_grpc
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s_cli.local import LocalServices

MINUTES = int(os.environ.get("W2S_SOAK_MINUTES", "30"))
OUT = Path(__file__).parents[2] / "out" / "soak.json"
# A deployment with ten labels a second, a job each ten seconds, a swap each five and observations each two.
HALF_HOUR = {"label": 18_000, "bulk": 180, "swap": 360, "observe": 900}
# Where the machine keeps up; otherwise as fast as it can, to the limit.
PLANNED_S, LIMIT_S = MINUTES * 10.0, MINUTES * 20.0
GROWTH_MIB, LEAST_OF_S = 16.0, 10.0
FILES = 4
SHED = 0.01
# What is under way when the time is over has this long to end.
HUNG_S = 60.0
CLIENTS, ROWS, OBSERVATIONS = 4, 2000, 20
# More distinct texts than a tokenizer remembers words: it takes 1.2 KB each, and lets go of none.
WORDS = 40_000
# A student's window is full before the second half begins.
WINDOW = 200


@dataclass
class Seen:
    """What calls met with, and how the services were meanwhile.

    Attributes:
        calls: Calls by kind and code.
        seconds: How long those took that were answered, by kind.
        wrong: The first words of what should not have been.
        samples: (seconds since the start, MiB, open files), by service.
    """

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    samples: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)

    @contextlib.contextmanager
    def call(self, kind: str) -> Any:
        """Counts and times a call, and goes on whatever it met with."""
        since = time.monotonic()
        try:
            yield
        except grpc.RpcError as error:
            code = error.code().name
            if code != "RESOURCE_EXHAUSTED":
                self.wrong.append(f"{kind}: {code}: {error.details()}")
        except Exception as error:
            code = type(error).__name__
            self.wrong.append(f"{kind}: {code}: {error}")
        else:
            code = "OK"
            self.seconds.setdefault(kind, []).append(time.monotonic() - since)
        self.calls[kind, code] += 1


class Soak:
    """The services, and those who keep them busy."""

    def __init__(self, folder: Path, services: LocalServices) -> None:
        self.seen, self.over = Seen(), threading.Event()
        self._services = services
        self._since = 0.0
        store = ArtifactStore(services.artifact_root)
        self._dataset = examples_dataset(store, "soak", ROWS, CLASSES)
        self._words = examples_dataset(store, "words", WORDS, CLASSES)
        with self._supervisor() as stub:
            for id_ in ("one", "two"):
                request = pb.RegisterTeacherRequest(teacher_id=id_, spec=model_teacher(folder, id_))
                stub.RegisterTeacher(request, timeout=60)
                self._fill_words(stub, f"teachers/{id_}")
            _activate(stub, "teachers/one")

    def run(self) -> None:
        """Works until all is done, or the time is over."""
        workers = [self._label] * CLIENTS + [self._bulk, self._swap, self._observe]
        threads = [threading.Thread(target=worker, name=worker.__name__, daemon=True) for worker in workers]
        sampler = threading.Thread(target=self._sample)
        self._since = time.monotonic()
        for thread in (*threads, sampler):
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self._since + LIMIT_S - time.monotonic()))
        self.over.set()
        sampler.join()
        until = time.monotonic() + HUNG_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self.seen.wrong.append(f"{thread.name}: a call has no answer {HUNG_S:.0f} s after the end")

    def _turns(self, kind: str, workers: int = 1) -> Iterator[int]:
        """The numbers of the calls that one of some workers makes, each when it is due."""
        count = work(kind) // workers
        for number in range(count):
            due = self._since + PLANNED_S * number / count
            if self.over.wait(max(0.0, due - time.monotonic())):
                return
            yield number

    def _fill_words(self, stub: Any, teacher: str) -> None:
        job = stub.LabelDataset(pb.LabelDatasetRequest(dataset=self._words, teacher=teacher), timeout=30)
        follow(stub.WatchLabelingJob, pb.WatchLabelingJobRequest(name=job.name))

    def _label(self) -> None:
        with self._supervisor() as stub:
            for number in self._turns("label", CLIENTS):
                # Texts of their own each time: what is kept of a text shows.
                rows = range(8 * number, 8 * number + 1 + number % 8)
                batch = [common.Example(id=f"l{row}", text=f"text {row} of a client") for row in rows]
                with self.seen.call("label"):
                    assert len(stub.Label(pb.LabelRequest(examples=batch), timeout=30).labels) == len(batch)

    def _bulk(self) -> None:
        with self._supervisor() as stub:
            for _ in self._turns("bulk"):
                with self.seen.call("bulk"):
                    request = pb.LabelDatasetRequest(dataset=self._dataset, teacher="teachers/one")
                    job = stub.LabelDataset(request, timeout=30)
                    follow(stub.WatchLabelingJob, pb.WatchLabelingJobRequest(name=job.name))

    def _swap(self) -> None:
        with self._supervisor() as stub:
            for number in self._turns("swap"):
                with self.seen.call("swap"):
                    _activate(stub, f"teachers/{('two', 'one')[number % 2]}")

    def _observe(self) -> None:
        with connect(self._services.services["evaluator"].grpc) as channel:
            stub = monitor_pb2_grpc.MonitorServiceStub(channel)
            window = monitor_pb2.Window(observations=WINDOW)
            spec = monitor_pb2.StudentSpec(dimension="topic", label_names=CLASSES, labels_per_second=50, window=window)
            stub.RegisterStudent(monitor_pb2.RegisterStudentRequest(student_id="soak", spec=spec), timeout=30)
            for turn in self._turns("observe"):
                rows = range(turn * OBSERVATIONS, (turn + 1) * OBSERVATIONS)
                with self.seen.call("observe"):
                    (told,) = stub.Observe(iter([_observations(rows)]), timeout=30)
                    assert told.accepted == OBSERVATIONS, told
                with self.seen.call("report"):
                    stub.GetMonitorReport(monitor_pb2.GetMonitorReportRequest(name="students/soak"), timeout=30)

    def _sample(self) -> None:
        processes = {name: psutil.Process(one.process.pid) for name, one in self._services.services.items()}
        while not self.over.wait(1):
            for name, process in processes.items():
                with self.seen.call("alive"):
                    sample = time.monotonic() - self._since, process.memory_info().rss / 2**20, process.num_fds()
                    self.seen.samples.setdefault(name, []).append(sample)

    @contextlib.contextmanager
    def _supervisor(self) -> Any:
        with connect(self._services.services["supervisor"].grpc) as channel:
            yield supervisor_pb2_grpc.SupervisorServiceStub(channel)


def _activate(stub: Any, name: str) -> None:
    swap = stub.ActivateTeacher(pb.ActivateTeacherRequest(name=name, gate=ANY), timeout=30)
    follow(stub.WatchActivation, pb.WatchActivationRequest(name=swap.name))


def _observations(numbers: range) -> monitor_pb2.ObserveRequest:
    rows = [
        monitor_pb2.Observation(
            example=common.Example(id=f"o{number}", text=f"text {number} of the stream"), probabilities=(0.7, 0.2, 0.1)
        )
        for number in numbers
    ]
    return monitor_pb2.ObserveRequest(student="students/soak", observations=rows)


def work(kind: str) -> int:
    """Calls of a kind that the minutes stand for."""
    return HALF_HOUR[kind] * MINUTES // 30


def figures(seen: Seen) -> dict[str, Any]:
    """What was found, as JSON."""
    return {
        "minutes_worth": MINUTES,
        "seconds": max(samples[-1][0] for samples in seen.samples.values()),
        "growth_bound_mib": GROWTH_MIB,
        "services": {name: _service(samples) for name, samples in seen.samples.items()},
        "calls": {
            kind: {
                "codes": {code: count for (each, code), count in seen.calls.items() if each == kind},
                "p50_ms": float(np.percentile(seconds, 50) * 1e3),
                "p99_ms": float(np.percentile(seconds, 99) * 1e3),
            }
            for kind, seconds in seen.seconds.items()
            if kind != "alive"
        },
        "wrong": seen.wrong[:20],
    }


def _service(samples: list[tuple[float, float, int]]) -> dict[str, float]:
    times, memory, files = (np.array(column) for column in zip(*samples, strict=True))
    tens = times // LEAST_OF_S
    late = [ten for ten in np.unique(tens) if ten * LEAST_OF_S >= times[-1] / 2]
    slope = theilslopes([memory[tens == ten].min() for ten in late], late).slope / LEAST_OF_S
    quarter = len(files) // 4
    grown = np.median(files[-quarter:]) - np.median(files[quarter : 2 * quarter])
    return {
        "mib": float(memory[-1]),
        "growth_mib": float(slope * times[-1] * 30 / MINUTES),
        "files": int(files[-1]),
        "files_grown": float(grown),
    }


def problems(found: dict[str, Any]) -> list[str]:
    """What should not have been."""
    said = list(found["wrong"])
    for kind in HALF_HOUR:
        done = found["calls"].get(kind, {"codes": {}})["codes"].get("OK", 0)
        if done < (1 - SHED) * (work(kind) // CLIENTS * CLIENTS):
            said.append(f"only {done} of {work(kind)} calls of {kind} were answered in {LIMIT_S:.0f} s")
    for name, one in found["services"].items():
        # Said too where the time was too short for a slope.
        if not one["growth_mib"] <= GROWTH_MIB:
            grown = f"{name} grows by {one['growth_mib']:.1f} MiB in half an hour's work"
            said.append(f"{grown}; {GROWTH_MIB:.0f} is the bound")
        if one["files_grown"] > FILES:
            said.append(f"{name} keeps {one['files_grown']:.0f} more files open")
    return said


def show(found: dict[str, Any], say: Callable[..., None]) -> None:
    """Prints the figures as tables."""
    say(f"{found['minutes_worth']} minutes' work in {found['seconds']:.0f} s")
    table = Table("service", "MiB", "MiB grown in half an hour's work", "files", "files grown")
    for name, one in found["services"].items():
        table.add_row(
            name, f"{one['mib']:.0f}", f"{one['growth_mib']:+.1f}", f"{one['files']}", f"{one['files_grown']:+.0f}"
        )
    say(table)
    table = Table("call", "codes", "p50 ms", "p99 ms")
    for kind, one in found["calls"].items():
        codes = ", ".join(f"{code} {count}" for code, count in one["codes"].items())
        table.add_row(kind, codes, f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}")
    say(table)


def main() -> int:
    """Soaks, and says whether all held: 0 where it did."""
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, id_ in enumerate(("one", "two")):
            headed("bert", seed=number, id2label=dict(enumerate(CLASSES))).save_pretrained(folder / id_)
            byte_tokenizer().save_pretrained(folder / id_)
        variables = {
            "W2S_ALLOW_HUB": "false",
            "W2S_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "W2S_MODEL_ROOTS": json.dumps([name]),
            "W2S_LOG_LEVEL": "warning",
        }
        with LocalServices(folder / "services", variables=variables) as services:
            soak = Soak(folder, services)
            soak.run()
    found = figures(soak.seen)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1))
    show(found, console.print)
    said = problems(found)
    for problem in said:
        console.print(problem, style="red")
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())
