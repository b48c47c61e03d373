"""Settings of the trainer."""

from __future__ import annotations

from pydantic import Field

from w2s.rpc.settings import ModelSettings


class TrainerSettings(ModelSettings):
    """Settings of the trainer, from W2S_* variables and flags."""

    slots: int = Field(1, ge=1, description="Runs that train at once; they share the CPU threads")
    max_queued: int = Field(1000, ge=1, description="Runs that may wait; more are RESOURCE_EXHAUSTED")
