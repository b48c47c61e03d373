"""What a run is executed on; no part of what decides its result."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from w2s_trainer.spec.frozen import Frozen


class Sharding(StrEnum):
    """How several processes share a run: whole models (DDP), or parts of one (FSDP)."""

    DATA_PARALLEL = "SHARDING_DATA_PARALLEL"
    FULLY_SHARDED = "SHARDING_FULLY_SHARDED"


class Resources(Frozen):
    """What a run is executed on.

    Attributes:
        processes: Processes on each node, one a GPU where there are GPUs.
        nodes: Nodes.
        sharding: How the processes share the run.
    """

    processes: int = Field(default=1, ge=1, le=1024)
    nodes: int = Field(default=1, ge=1, le=1024)
    sharding: Sharding = Sharding.DATA_PARALLEL
