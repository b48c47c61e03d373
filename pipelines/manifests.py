"""The pipelines as objects of a KFP that keeps them in Kubernetes: `Pipeline` and `PipelineVersion`.

For a KFP that runs with `--pipelinesStoreKubernetes=true`. A version's spec never changes, so its name carries
the hash of its content.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from pipelines.catalog import PIPELINES
from pipelines.compile import file_of

_API = "pipelines.kubeflow.org/v2beta1"


def version_of(content: bytes) -> str:
    """The name of a pipeline's version: what it holds."""
    return f"sha256-{hashlib.sha256(content).hexdigest()[:16]}"


def manifests(name: str, namespace: str) -> list[dict[str, Any]]:
    """A pipeline's two objects.

    Args:
        name: Its name in the catalogue.
        namespace: Where KFP looks for it.
    """
    content = file_of(name).read_bytes()
    spec, platform = yaml.safe_load_all(content)
    version = version_of(content)
    title = PIPELINES[name].title
    return [
        _object("Pipeline", name, namespace, {"displayName": name, "description": title}),
        _object(
            "PipelineVersion",
            f"{name}-{version.removeprefix('sha256-')}",
            namespace,
            {
                "displayName": version,
                "pipelineName": name,
                "description": title,
                "pipelineSpec": spec,
                "platformSpec": platform,
            },
        ),
    ]


def write_manifests(folder: Path, namespace: str) -> list[Path]:
    """Writes every pipeline's objects, a file each; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in sorted(PIPELINES):
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all(manifests(name, namespace), sort_keys=True, width=120))
        written.append(path)
    return written


def _object(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _API, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
