"""The smallest service on the scaffolding: `python tests/helpers/tiny_service.py --help`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
from prometheus_client import CollectorRegistry

from w2s.common.v1 import common_pb2 as common
from w2s.rpc import Context, server
from w2s.rpc.access import Access
from w2s.rpc.health import Health
from w2s.rpc.settings import ServerSettings
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s.trainer.v1 import trainer_pb2_grpc

NAMES = ("w2s.trainer.v1.TrainerService", "w2s.test.Further")
EVENTS = 40


class Tiny(trainer_pb2_grpc.TrainerServiceServicer):
    """Says of its further name what GetRun names last, and streams events for 4 s; other methods are left out."""

    names = NAMES

    def __init__(self, settings: ServerSettings, registry: CollectorRegistry) -> None:
        self._health: Health | None = None

    def register(self, server: grpc.aio.Server) -> None:
        trainer_pb2_grpc.add_TrainerServiceServicer_to_server(self, server)

    async def start(self, health: Health, access: Access) -> dict[str, server.Listener]:
        self._health = health
        await health.set(NAMES[1], False)
        return {}

    async def stop(self) -> None:
        pass

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.Run:  # noqa: N802
        await self._health.set(NAMES[1], request.name == "runs/serving")
        return pb.Run(name=request.name)

    async def WatchRun(  # noqa: N802
        self, request: pb.WatchRunRequest, context: Context
    ) -> AsyncIterator[common.JobEvent]:
        for sequence in range(request.after_sequence + 1, EVENTS + 1):
            await asyncio.sleep(0.1)
            ended = sequence == EVENTS
            yield common.JobEvent(
                sequence=sequence, state=common.JOB_STATE_SUCCEEDED if ended else common.JOB_STATE_RUNNING
            )


def main() -> None:
    # So young that a test sees connections end.
    server.CONNECTION_AGE_S, server.CONNECTION_GRACE_S = 1.0, 0.3
    server.serve(ServerSettings, "tiny", "__main__:Tiny")


if __name__ == "__main__":
    main()
