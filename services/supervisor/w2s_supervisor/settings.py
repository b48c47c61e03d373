"""Settings of the supervisor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from w2s.rpc.settings import ModelSettings


class SupervisorSettings(ModelSettings):
    """Settings of the supervisor, from W2S_* variables and flags."""

    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="What models compute in; auto is bfloat16 on a GPU and float32 on a CPU"
    )
    token_budget: int = Field(
        0, ge=0, description="Padded tokens a batch; 0 for 1024 on a CPU, whose caches they fit, and 16384 on a GPU"
    )
    max_examples: int = Field(256, ge=1, description="Examples a call may carry")
    max_characters: int = Field(1_000_000, ge=1, description="Characters a call's texts may have in all")
    max_waiting: int = Field(1024, ge=1, description="Sequences that may wait for a teacher; more are refused")
    batch_delay_ms: float = Field(2.0, ge=0, le=1000, description="Longest wait for a batch to fill, in milliseconds")
    max_generations: int = Field(16, ge=1, description="Generate calls at once; more are refused")
    max_loaded: int = Field(3, ge=1, description="Teachers kept in memory, the active and the previous one included")
    memory_mib: int = Field(0, ge=0, description="Memory for teachers' weights in MiB; 0 for what is free")
    keep_previous: bool = Field(True, description="Keep the teacher before the active one in memory, for a rollback")
    swap_drain_s: float = Field(60.0, ge=0, description="Seconds a swap waits for calls on the old teacher to end")
    label_slots: int = Field(1, ge=1, description="Labelling jobs that run at once")
    label_patience_s: float = Field(
        600.0, ge=0, description="Seconds a labelling job waits for a teacher that does not answer, before it fails"
    )
    chunk_rows: int = Field(2048, ge=1, description="Rows a labelling job commits at once")
    endpoints: tuple[str, ...] = Field(
        (), description="Addresses of servers that teachers may be behind, such as http://tgi.models.svc:8080"
    )
    credentials_folder: Path | None = Field(None, description="Folder with one file a bearer token, for endpoints")
    replica: str = Field("", max_length=255, description="This replica's name; made of host and process when empty")
    follow_s: float = Field(1.0, gt=0, description="Seconds between looks at which teacher should be active")
    oip: bool = Field(True, description="Serve the Open Inference Protocol too, over gRPC and HTTP")
    http_port: int = Field(
        8080, ge=0, le=65535, description="HTTP port of the Open Inference Protocol; 0 for a free one"
    )
    http_tls: bool = Field(
        False, description="Serve HTTP by TLS too, with the gRPC server's certificate; unset where a gateway ends TLS"
    )
