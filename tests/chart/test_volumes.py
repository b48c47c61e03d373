"""Each service writes its own kinds of artifacts, and nobody else's."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from .conftest import MODES, pod_specs

ROOT = PurePosixPath("/var/lib/w2s/artifacts")
# The trainer labels between the hops of a run.
WRITTEN = {
    "Deployment/w2s-supervisor": {"labels"},
    "Deployment/w2s-trainer": {"labels", "models"},
    "Deployment/w2s-evaluator": {"predictions"},
    "InferenceService/w2s-supervisor": {"labels"},
    "ClusterTrainingRuntime/w2s-student": {"labels", "models"},
}
# Whose artifacts are in a bucket.
REMOTE = {"secured"}


def artifacts(pod, container):
    """A container's mounts of the volume with the artifacts."""
    names = {
        volume["name"]
        for volume in pod.get("volumes", [])
        if volume.get("persistentVolumeClaim", {}).get("claimName", "").endswith("-artifacts")
    }
    return [mount for mount in container.get("volumeMounts", []) if mount["name"] in names]


@pytest.mark.parametrize("mode", MODES)
def test_each_service_writes_the_folders_of_its_own_artifacts_alone(rendered, mode):
    found = {}
    for name, pod in pod_specs(rendered[mode]):
        (container,) = pod["containers"]
        mounts = artifacts(pod, container)
        if mounts:
            readable = [mount for mount in mounts if mount.get("readOnly")]
            assert readable == [{"name": "artifacts", "mountPath": str(ROOT), "readOnly": True}], name
            written = [mount for mount in mounts if not mount.get("readOnly")]
            # A store finds its folders below one root.
            assert all(PurePosixPath(each["mountPath"]) == ROOT / each["subPath"] for each in written), name
            found[name] = {each["subPath"] for each in written}
    everyone = {name for name, _ in pod_specs(rendered[mode])} & WRITTEN.keys()
    assert found == ({} if mode in REMOTE else {name: WRITTEN[name] for name in everyone})


@pytest.mark.parametrize("mode", MODES)
def test_folders_are_made_by_who_writes_them_before_they_are_mounted(rendered, mode):
    for name, pod in pod_specs(rendered[mode]):
        (container,) = pod["containers"]
        written = [mount["subPath"] for mount in artifacts(pod, container) if "subPath" in mount]
        # A run's folders are those of the trainer, whose pod has made them.
        for maker in pod.get("initContainers", []) if written else ():
            assert maker["command"] == ["mkdir", "-p", *written], name
            assert artifacts(pod, maker) == [{"name": "artifacts", "mountPath": maker["workingDir"]}], name
        assert bool(pod.get("initContainers")) is bool(written and not name.startswith("ClusterTraining")), name
