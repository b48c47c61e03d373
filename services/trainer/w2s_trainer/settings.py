"""Settings of the trainer."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from w2s.rpc.settings import ModelSettings


class TrainerSettings(ModelSettings):
    """Settings of the trainer, from W2S_* variables and flags."""

    slots: int | None = Field(
        None, ge=1, description="Processes that train at once and share the CPU threads; by default one a GPU, or 1"
    )
    max_queued: int = Field(1000, ge=1, description="Runs that may wait; more are RESOURCE_EXHAUSTED")
    launcher: Literal["local", "kubernetes"] = Field(
        "local", description="Where runs are executed: on this machine, or as Kubeflow TrainJobs"
    )
    train_token_budget: int = Field(
        0, ge=0, description="Padded tokens a batch of training; 0 for 16384 on a GPU and 1024 on a CPU"
    )
    checkpoint_seconds: float = Field(300.0, ge=0, description="Seconds between checkpoints; 0 for one each step")
    keep_checkpoints: int = Field(2, ge=1, description="Checkpoints kept of a stage of a run")
    max_restarts: int = Field(
        3, ge=1, description="Deaths of a run's process, in a row without a new checkpoint, that fail the run"
    )
    checkpoint_grace_s: float = Field(
        20.0, ge=0, description="Seconds that a run gets to write a checkpoint when the server stops"
    )
    namespace: str = Field("default", min_length=1, description="Kubernetes namespace of the TrainJobs")
    training_runtime: str = Field("w2s-student", min_length=1, description="Runtime that the TrainJobs refer to")
    training_runtime_kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = Field(
        "ClusterTrainingRuntime", description="Kind of that runtime: of the cluster, or of the namespace"
    )
    training_image: str = Field("", description="Image of the runs' pods; empty for the runtime's own")
    gpu_resource: str = Field(
        "", description="Kubernetes resource that a run asks one of for each process, such as nvidia.com/gpu"
    )
    kubernetes_url: str = Field(
        "", description="Kubernetes API without credentials, as of kubectl proxy; empty for in-cluster or kubeconfig"
    )


class RunSettings(TrainerSettings):
    """The same in a run's own process, from W2S_* variables alone: it has no database."""

    database_url: str = ""


# What a run's process needs to know of the server's settings, wherever it runs.
_PASSED_ON = (
    "artifact_root",
    "device",
    "token_budget",
    "train_token_budget",
    "model_roots",
    "allow_hub",
    "log_level",
    "checkpoint_seconds",
    "keep_checkpoints",
)


def run_variables(settings: TrainerSettings) -> dict[str, str]:
    """The W2S_* variables that give a run's process the settings of its server."""
    dumped = settings.model_dump(mode="json", include=set(_PASSED_ON))
    return {f"W2S_{name.upper()}": _variable(dumped[name]) for name in _PASSED_ON}


def _variable(value: object) -> str:
    # pydantic-settings reads what is not a scalar as JSON.
    return json.dumps(value) if isinstance(value, list) else str(value)
