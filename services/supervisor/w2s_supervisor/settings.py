"""Settings of the supervisor."""

from __future__ import annotations

from pydantic import Field

from w2s.rpc.settings import ModelSettings


class SupervisorSettings(ModelSettings):
    """Settings of the supervisor, from W2S_* variables and flags."""

    max_examples: int = Field(256, ge=1, description="Examples a Label call may carry")
    max_waiting: int = Field(64, ge=1, description="Label calls that may wait for the model")
    max_loaded: int = Field(3, ge=1, description="Teachers kept in memory, the active one included")
    label_slots: int = Field(1, ge=1, description="Labelling jobs that run at once")
