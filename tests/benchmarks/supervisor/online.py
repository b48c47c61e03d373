"""Many online callers at once: against a KServe ModelServer, and while teachers are swapped."""

from __future__ import annotations

import asyncio
import itertools
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import numpy as np

from benchmarks.report import Report, at_least, at_most
from benchmarks.supervisor.world import Supervisor, World, process
from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc

CLIENTS, ROUNDS, SECONDS, SWAPS = 32, 3, 6.0, 6

# Labels one text over a channel and says which teacher did.
Ask = Callable[[grpc.aio.Channel, str], Awaitable[str]]


async def ask_ours(channel: grpc.aio.Channel, text: str) -> str:
    stub = supervisor_pb2_grpc.SupervisorServiceStub(channel)
    request = pb.LabelRequest(examples=[common.Example(id="0", text=text)])
    response: pb.LabelResponse = await stub.Label(request, timeout=60)
    return response.teacher.digest


def ask_kserve() -> Ask:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as oip
    from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as oip_grpc

    async def ask(channel: grpc.aio.Channel, text: str) -> str:
        tensor = oip.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(text.encode())
        request = oip.ModelInferRequest(model_name="teacher", inputs=[tensor])
        return (await oip_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)).model_name

    return ask


@dataclass
class Load:
    """Closed-loop callers, each with a channel of its own and no retries."""

    target: str
    ask: Ask
    texts: list[str]
    calls: list[tuple[float, float]] = field(default_factory=list)
    digests: list[list[str]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    async def run(self, until: Callable[[], bool]) -> None:
        await asyncio.gather(*(self._caller(number, until) for number in range(CLIENTS)))

    async def _caller(self, number: int, until: Callable[[], bool]) -> None:
        mine: list[str] = []
        self.digests.append(mine)
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self.target, options=options) as channel:
            while not until():
                start = time.perf_counter()
                try:
                    mine.append(await self.ask(channel, self.texts[number % len(self.texts)]))
                except grpc.aio.AioRpcError as error:
                    self.failures.append(error)
                self.calls.append((start, time.perf_counter()))
                number += CLIENTS


def throughput(target: str, ask: Ask, texts: list[str]) -> float:
    """Answers a second, after a second of warming up."""
    load = Load(target, ask, texts)
    begin = time.perf_counter()
    asyncio.run(load.run(lambda: time.perf_counter() - begin > SECONDS + 1))
    assert not load.failures, load.failures[0]
    return sum(end > begin + 1 for _, end in load.calls) / SECONDS


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


def against_kserve(folder: Path, report: Report) -> None:
    world = World(folder, 640)
    announced = folder / "kserve.json"
    model = world.store.read(world.models[0].uri).path
    peer = [sys.executable, str(Path(__file__).with_name("kserve_peer.py")), str(model), str(announced)]
    ask = ask_kserve()
    with process([*peer, *map(str, free_ports())], announced) as addresses:
        _await(addresses["grpc"], ask)
        for dtype in ("float32", "bfloat16"):
            ours, theirs = [], []
            with world.supervisor(f"--dtype={dtype}") as supervisor:
                for _ in range(ROUNDS):
                    ours.append(throughput(supervisor.target, ask_ours, world.texts))
                    theirs.append(throughput(addresses["grpc"], ask, world.texts))
            ratios = [mine / peer for mine, peer in zip(ours, theirs, strict=True)]
            report.add(f"online_{dtype}_over_kserve_without_batching", at_least(ratios, 4.0))
            mine, peers = statistics.median(ours), statistics.median(theirs)
            report.note(**{f"online_{dtype}_rows_per_s": mine, f"kserve_beside_{dtype}_rows_per_s": peers})


def _await(target: str, ask: Ask) -> None:
    """Returns once a server answers."""
    while True:
        try:
            return throughput_probe(target, ask)
        except grpc.aio.AioRpcError:
            time.sleep(0.2)


def throughput_probe(target: str, ask: Ask) -> None:
    async def once() -> None:
        async with grpc.aio.insecure_channel(target) as channel:
            await ask(channel, "are you there")

    asyncio.run(once())


def swaps_under_load(folder: Path, report: Report) -> None:
    world = World(folder, 640, teachers=SWAPS + 1)
    # Two fit in memory: every swap loads a teacher from the store.
    with world.supervisor("--max-loaded=2") as supervisor:
        teachers = [supervisor.register(f"teacher-{n}", model) for n, model in enumerate(world.models)]
        load, windows = asyncio.run(_swap(supervisor, teachers, world.texts))
    begin = load.calls[0][0]
    calm = [(s, e) for s, e in load.calls if s > begin + 2 and not any(s < b and e > a for a, b in windows)]
    steady = _p99([end - start for start, end in calm])
    report.add("swap_failed_calls", at_most([float(len(load.failures))], 0))
    during = [_p99([end - start for start, end in load.calls if start < b and end > a]) for a, b in windows]
    report.add("swap_p99_over_steady_p99", at_most([p99 / steady for p99 in during], 2.0))
    order = {teacher.version.digest: n for n, teacher in enumerate(teachers)}
    backwards = sum(order[b] < order[a] for mine in load.digests for a, b in itertools.pairwise(mine))
    report.add("swap_teachers_seen_again_after_their_successor", at_most([float(backwards)], 0))
    seconds = statistics.median([b - a for a, b in windows])
    report.note(swaps=len(windows), swap_seconds=seconds, steady_p99_s=steady, calls=len(load.calls))


async def _swap(
    supervisor: Supervisor, teachers: list[pb.Teacher], texts: list[str]
) -> tuple[Load, list[tuple[float, float]]]:
    load, windows, done = Load(supervisor.target, ask_ours, texts), [], asyncio.Event()
    running = asyncio.create_task(load.run(done.is_set))
    await asyncio.sleep(SECONDS + 2)
    for teacher in teachers[1:]:
        start = time.perf_counter()
        await asyncio.to_thread(supervisor.activate, teacher)
        windows.append((start, time.perf_counter()))
        await asyncio.sleep(2)
    done.set()
    await running
    return load, windows


def _p99(latencies: list[float]) -> float:
    return float(np.percentile(latencies, 99))
