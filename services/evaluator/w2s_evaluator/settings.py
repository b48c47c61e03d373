"""Settings of the evaluator."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from w2s.rpc.settings import ModelSettings


class EvaluatorSettings(ModelSettings):
    """Settings of the evaluator, from W2S_* variables and flags."""

    supervisor_address: str = Field(
        "", description="gRPC target of the supervisor; needed to evaluate teachers and to monitor students"
    )
    max_queued: int = Field(1000, ge=1, description="Evaluations that may wait; more are RESOURCE_EXHAUSTED")
    toxicity_scorer: str = Field(
        "lexicon", description="What scores toxicity: lexicon, or the address of a two-class classifier artifact"
    )
    benchmark_tasks: Path | None = Field(None, description="Folder of task files for the evaluation harness")
    events_port: int = Field(8081, ge=0, le=65535, description="HTTP port that takes CloudEvents; 0 for a free one")
    events_tls: bool = Field(False, description="Take events by TLS alone, with the gRPC server's certificate")
    events_open: bool = Field(
        False, description="Take events without a token where calls need one: KServe's logger shows none"
    )
    max_students: int = Field(100, ge=1, description="Students watched at once; more are RESOURCE_EXHAUSTED")
    max_published: int = Field(200, ge=1, description="Names that comparisons are published under; more are counted")
