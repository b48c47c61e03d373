"""An upgrade changes nothing that Kubernetes refuses to change, and loses nothing that was kept."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import yaml

from .conftest import MODES

# What the release before made of each values file that it had.
RELEASED = Path(__file__).parent / "released.yaml"
_JOBSET = ("spec", "template", "spec")
# Fields that an API server refuses to change, by kind; a Job of a hook is deleted before it is made again.
IMMUTABLE = {
    "Deployment": [("spec", "selector")],
    "StatefulSet": [("spec", field) for field in ("selector", "serviceName", "volumeClaimTemplates")],
    "Service": [("spec", "clusterIP")],
    "PersistentVolumeClaim": [("spec", field) for field in ("accessModes", "storageClassName", "volumeName")],
    "RoleBinding": [("roleRef",)],
    # KServe's webhook, and the CEL rules of Kubeflow Trainer.
    "InferenceService": [("metadata", "annotations", "serving.kserve.io/deploymentMode")],
    "ClusterTrainingRuntime": [
        (*_JOBSET, field)
        for field in ("failurePolicy", "network", "startupPolicy", "successPolicy", "volumeClaimPolicies")
    ],
    # A version's content is its name.
    "PipelineVersion": [("spec",)],
}
# What uninstalls and upgrades have to leave, since runs, labels and teachers are in it.
KEPT = ("PersistentVolumeClaim",)


def key(found):
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def at(found, path):
    for name in path:
        found = found.get(name, {})
    return found


def refused(before, after):
    """What an upgrade from some objects to others would be refused for, or would lose."""
    new = {key(found): found for found in after}
    for old in before:
        found = new.get(key(old))
        if found is None and old["kind"] in KEPT:
            yield f"{key(old)} is gone"
        for path in IMMUTABLE.get(old["kind"], ()) if found else ():
            if at(old, path) != at(found, path):
                yield f"{key(old)} changes {'.'.join(path)}"


def snapshot(objects):
    """What an upgrade may not change, of each object that has some."""
    kept = []
    for found in objects:
        part = {"kind": found["kind"], "metadata": {"name": found["metadata"]["name"]}}
        if "namespace" in found["metadata"]:
            part["metadata"]["namespace"] = found["metadata"]["namespace"]
        # A version of a pipeline has a name of its own for each content.
        for path in IMMUTABLE.get(found["kind"], ()) if found["kind"] != "PipelineVersion" else ():
            where = part
            for name in path[:-1]:
                where = where.setdefault(name, {})
            if at(found, path) != {}:
                where[path[-1]] = at(found, path)
        if found["kind"] in IMMUTABLE and found["kind"] != "PipelineVersion":
            kept.append(part)
    return kept


@pytest.fixture(scope="module")
def released(rendered):
    """What the release before made; `W2S_RELEASED=1 make e2e-chart` takes what is made now, at a release."""
    if os.environ.get("W2S_RELEASED"):
        RELEASED.write_text(yaml.safe_dump({mode: snapshot(rendered[mode]) for mode in MODES}))
    return yaml.safe_load(RELEASED.read_text())


def test_the_release_before_upgrades_to_this_one_and_back(rendered, released):
    assert released
    for mode, before in released.items():
        assert list(refused(before, rendered[mode])) == []
        # A rollback asks the same, and leaves the claims that are new.
        assert [line for line in refused(rendered[mode], before) if "is gone" not in line] == []


@pytest.mark.parametrize(
    "flags",
    [
        ("supervisor.replicas=2", "database.existingSecret=x"),
        ("trainer.launcher=kubernetes",),
        ("supervisor.mode=kserve",),
        ("image.tag=9.9.9", "commonLabels.team=science"),
        ("tls.enabled=true", "tls.existingSecret=x", "auth.existingSecret=a", "auth.clientSecret=b"),
        ("student.enabled=true", "student.storageUri=s3://a/b"),
    ],
    ids=lambda flags: flags[0],
)
def test_other_values_upgrade_an_installation(rendered, render, flags):
    after = render(*(f"--set={flag}" for flag in flags))
    lost = [line for line in refused(rendered["default"], after) if "is gone" not in line]
    assert lost == []
    # A claim that is not in the release any more stays in the cluster.
    claims = [found for found in rendered["default"] if found["kind"] in KEPT]
    assert all(found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for found in claims)


@pytest.mark.parametrize(
    ("mode", "kind", "path", "value"),
    [
        ("default", "Deployment", ("spec", "selector", "matchLabels", "x"), "y"),
        ("default", "Service", ("spec", "clusterIP"), "10.0.0.1"),
        ("default", "PersistentVolumeClaim", ("spec", "accessModes"), ["ReadOnlyMany"]),
        ("trainjob", "ClusterTrainingRuntime", (*_JOBSET, "failurePolicy", "maxRestarts"), 9),
        ("trainjob", "RoleBinding", ("roleRef", "name"), "other"),
        ("kserve", "InferenceService", ("metadata", "annotations", "serving.kserve.io/deploymentMode"), "Knative"),
    ],
)
def test_a_change_that_an_upgrade_is_refused_for_is_noticed(rendered, released, mode, kind, path, value):
    after = copy.deepcopy(rendered[mode])
    for found in (one for one in after if one["kind"] == kind):
        where = found
        for name in path[:-1]:
            where = where[name]
        where[path[-1]] = value
    assert [line for line in refused(released[mode], after) if kind in line]


def test_a_claim_that_is_left_out_is_noticed(rendered, released):
    after = [found for found in rendered["default"] if found["metadata"]["name"] != "w2s-trainer"]
    assert [line for line in refused(released["default"], after) if "is gone" in line]


def test_hooks_run_after_every_upgrade_and_are_made_anew(rendered):
    jobs = [found for found in rendered["secured"] if found["kind"] == "Job"]
    assert jobs
    for job in jobs:
        notes = job["metadata"]["annotations"]
        assert notes["helm.sh/hook"] == "post-install,post-upgrade"
        assert "before-hook-creation" in notes["helm.sh/hook-delete-policy"]
