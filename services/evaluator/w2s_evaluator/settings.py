"""Settings of the evaluator."""

from __future__ import annotations

from pydantic import Field

from w2s.rpc.settings import ModelSettings


class EvaluatorSettings(ModelSettings):
    """Settings of the evaluator, from W2S_* variables and flags."""

    supervisor_address: str = Field("", description="gRPC target of the supervisor; needed to evaluate teachers")
    max_queued: int = Field(1000, ge=1, description="Evaluations that may wait; more are RESOURCE_EXHAUSTED")
