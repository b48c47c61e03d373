"""The TrainJob and the runtime it refers to, by the cluster's own rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from w2s_trainer.launch.manifest import trainjob, trainjob_name
from w2s_trainer.settings import RunSettings
from w2s_trainer.spec import Resources

ROOT = Path(__file__).parents[4]
CRDS = ROOT.parent / "shared" / "crds"
RUNTIME = yaml.safe_load((ROOT / "charts/w2s/files/training-runtime.yaml").read_text())


def strict(schema):
    """A CRD's structural schema as a JSON schema that refuses unknown fields, which a cluster drops silently."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: {name: strict(part) for name, part in value.items()} if key == "properties" else strict(value)
        for key, value in schema.items()
        if key not in ("default", "format")
    }
    if found.pop("x-kubernetes-int-or-string", False):
        found.pop("type", None)
        found["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in found and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def problems(body, plural):
    """What a cluster would refuse, or drop, of an object."""
    jsonschema = pytest.importorskip("jsonschema")
    path = CRDS / f"trainer.kubeflow.org_{plural}.yaml"
    if not path.exists():
        pytest.skip("the cluster's schemas are not here")
    (version,) = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in jsonschema.Draft7Validator(schema).iter_errors(body)
    ]


@pytest.fixture
def body(settings):
    """The TrainJob of a run with every setting."""
    resources = Resources(processes=4, nodes=2)
    chosen = settings(training_image="w2s-trainer:1", gpu_resource="nvidia.com/gpu", model_roots=("/models",))
    return trainjob("run-1", "token", resources, chosen)


def test_the_cluster_takes_the_trainjob_and_its_runtime(body):
    assert problems(body, "trainjobs") == []
    assert problems(RUNTIME, "clustertrainingruntimes") == []


def test_the_cluster_would_not_take_a_misspelt_field(body):
    body["spec"]["trainer"]["numNode"] = 1
    assert any("numNode" in problem for problem in problems(body, "trainjobs"))


def test_the_trainjob_says_what_is_run_where(body):
    trainer = body["spec"]["trainer"]
    assert trainer["command"] == ["torchrun"]
    assert trainer["args"] == ["--shutdown-timeout=20", "-m", "w2s_trainer.worker", "--run-id", "run-1"]
    assert (trainer["numNodes"], trainer["numProcPerNode"], trainer["image"]) == (2, 4, "w2s-trainer:1")
    assert trainer["resourcesPerNode"] == {"requests": {"nvidia.com/gpu": "4"}, "limits": {"nvidia.com/gpu": "4"}}
    assert body["metadata"]["annotations"] == {"w2s.dev/run": "run-1", "w2s.dev/launch": "token"}


def test_a_run_leaves_to_the_runtime_what_is_not_set(settings):
    trainer = trainjob("run-1", "token", Resources(), settings())["spec"]["trainer"]
    assert {"image", "resourcesPerNode"} & set(trainer) == set()


def test_pods_read_the_servers_settings_but_not_its_secrets(body, settings, monkeypatch):
    variables = {entry["name"]: entry["value"] for entry in body["spec"]["trainer"]["env"]}
    assert "W2S_DATABASE_URL" not in variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    read, served = RunSettings(), settings(model_roots=("/models",))
    for name in ("artifact_root", "device", "model_roots", "allow_hub", "checkpoint_seconds", "keep_checkpoints"):
        assert getattr(read, name) == getattr(served, name), name


def test_the_runtime_refers_to_what_the_trainjob_sets(body, settings):
    (node,) = RUNTIME["spec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    assert (RUNTIME["kind"], RUNTIME["metadata"]["name"]) == ("ClusterTrainingRuntime", "w2s-student")
    assert body["spec"]["runtimeRef"]["name"] == RUNTIME["metadata"]["name"]
    # The controller finds the trainer by these two names and this label.
    assert (node["name"], [container["name"] for container in pod["containers"]]) == ("node", ["node"])
    assert node["template"]["metadata"]["labels"]["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    assert pod["terminationGracePeriodSeconds"] > settings().checkpoint_grace_s + 10


def test_the_pods_are_restricted():
    pod = RUNTIME["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False


def test_names_fit_a_pods_host_name():
    long = ["a" * 63, "a" * 62 + "b", "0" + "-" * 40 + "0" * 22]
    names = [trainjob_name(run_id) for run_id in [*long, "7"]]
    assert names[-1] == "run-7"
    assert len(set(names)) == len(names)
    for name in names:
        assert len(f"{name}-node-0-999") <= 63
        assert name[0].isalpha()
        assert name[-1] != "-"
