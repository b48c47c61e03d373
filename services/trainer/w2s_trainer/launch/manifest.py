"""A run as a Kubeflow TrainJob."""

from __future__ import annotations

import hashlib
from typing import Any

from w2s_trainer.launch.processes import LAUNCH, WORKER, torchrun_flags
from w2s_trainer.settings import TrainerSettings, run_variables
from w2s_trainer.spec import Resources

GROUP = "trainer.kubeflow.org"
VERSION = "v1alpha1"
RUN = "w2s.dev/run"
LAUNCHED = "w2s.dev/launch"

# A pod's host name, `NAME-node-0-NNN`, is a label of 63 characters.
_MAX_NAME = 50
_DIGEST = 8


def trainjob_name(run_id: str) -> str:
    """The name of a run's TrainJob: the same for each of its attempts."""
    # It begins with a letter, as DNS names of services do.
    name = f"run-{run_id}"
    if len(name) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _MAX_NAME - _DIGEST - 1].rstrip('-')}-{digest}"


def trainjob(run_id: str, launch: str, resources: Resources, settings: TrainerSettings, module: str = WORKER) -> Any:
    """The TrainJob of a run.

    Args:
        run_id: The run's id.
        launch: The launch's token, which its processes know and the next server reads.
        resources: What the run is executed on.
        settings: The runtime, image and GPU resource, and what the run's processes need to know.
        module: What each process runs.
    """
    trainer: dict[str, Any] = {
        "command": ["torchrun"],
        "args": torchrun_flags(settings, module, run_id),
        "env": [{"name": name, "value": value} for name, value in _variables(launch, settings).items()],
        "numNodes": resources.nodes,
        "numProcPerNode": resources.processes,
    }
    if settings.training_image:
        trainer["image"] = settings.training_image
    if settings.gpu_resource:
        gpus = {settings.gpu_resource: str(resources.processes)}
        trainer["resourcesPerNode"] = {"requests": gpus, "limits": gpus}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": trainjob_name(run_id),
            "namespace": settings.namespace,
            "labels": {"app.kubernetes.io/part-of": "w2s", "app.kubernetes.io/managed-by": "w2s-trainer"},
            "annotations": {RUN: run_id, LAUNCHED: launch},
        },
        "spec": {
            "runtimeRef": {
                "name": settings.training_runtime,
                "apiGroup": GROUP,
                "kind": settings.training_runtime_kind,
            },
            "trainer": trainer,
        },
    }


def _variables(launch: str, settings: TrainerSettings) -> dict[str, str]:
    return {**run_variables(settings), "W2S_THREADS": str(settings.threads), LAUNCH: launch}
