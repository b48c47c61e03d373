"""The settings that every service shares, from W2S_* variables and flags."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="ServerSettings")


class ServerSettings(BaseSettings):
    """Settings of a server. A flag `--metrics-port` wins over a variable `W2S_METRICS_PORT`."""

    model_config = SettingsConfigDict(
        env_prefix="W2S_",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        extra="ignore",
        frozen=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless said otherwise")
    port: int = Field(50051, ge=0, le=65535, description="gRPC port; 0 for a free one")
    metrics_port: int = Field(9090, ge=0, le=65535, description="Prometheus HTTP port; 0 for a free one")
    reflection: bool = Field(False, description="Serve gRPC reflection, for grpcurl and the like")
    max_message_mib: int = Field(16, ge=1, le=1024, description="Largest message accepted or sent, in MiB")
    max_concurrent_rpcs: int = Field(256, ge=1, description="Calls in flight; more are RESOURCE_EXHAUSTED")
    drain_s: float = Field(20.0, ge=0, description="Seconds that calls in flight get when the server stops")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged")
    tls_cert_file: Path | None = Field(None, description="PEM of the gRPC server's certificate chain; unset, plaintext")
    tls_key_file: Path | None = Field(None, description="PEM of the certificate's private key")
    tls_client_ca_file: Path | None = Field(None, description="PEM of the CA that callers' certificates must be of")
    tokens_file: Path | None = Field(
        None, description="File of `NAME ROLE TOKEN` lines; unset, every caller may do everything"
    )
    max_calls_per_s: float = Field(0.0, ge=0, description="Calls a second that one caller may make; 0 for no limit")
    artifact_root: str = Field(description="Folder or fsspec URI of the artifact store, shared by all services")
    database_url: str = Field(description="SQLAlchemy URL of the service's state, such as sqlite:///runs.db")
    cache_folder: Path = Field(
        Path(tempfile.gettempdir(), "w2s-cache"), description="Local folder for what can be computed again"
    )
    announce: Path | None = Field(None, description="File to write the bound ports to once the server serves")
    exit_with_parent: bool = Field(False, description="Stop when standard input closes, as it does with a parent")


class ModelSettings(ServerSettings):
    """Settings of a server that runs models."""

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$", description="torch device: auto, cpu, cuda or cuda:N"
    )
    threads: int = Field(0, ge=0, description="CPU threads for models; 0 for all cores")
    token_budget: int = Field(4096, ge=1, description="Padded tokens a batch of inference")
    model_roots: tuple[str, ...] = Field((), description="Folders that file:// model addresses may be below")
    allow_hub: bool = Field(True, description="Whether hf:// model addresses may be fetched")


def refuse(program: str, field: str, problem: str) -> NoReturn:
    """Ends the process with 2, and one line that names the flag and says what is wrong."""
    print(f"{program}: --{field.replace('_', '-')}: {problem}", file=sys.stderr)  # noqa: T201 - no logs are set up yet
    sys.exit(2)


def parse_settings(settings: type[S], program: str) -> S:
    """Reads settings from flags and environment; exits with 2 and a clear message when they are wrong."""
    try:
        return settings(_cli_parse_args=sys.argv[1:], _cli_prog_name=program)  # type: ignore[call-arg]
    except ValidationError as error:
        problem = error.errors()[0]
        refuse(program, ".".join(map(str, problem["loc"])), problem["msg"])
