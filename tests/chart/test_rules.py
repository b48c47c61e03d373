"""Every object of every mode keeps the rules that no schema holds, and each rule notices what breaks it."""

from __future__ import annotations

import copy
import re

import pytest

from .conftest import CHART, CRDS, MODES, definition
from .rules import broken

NODE = ("template", "spec", "replicatedJobs", 0)
POD = ("predictor", "containers", 0)
RULE = ("rules", 0)
# A mode, an object of it, where of its spec what is put, and the rule that it breaks.
CASES = [
    ("kserve", "InferenceService/student", ("predictor", "sklearn"), {}, "exactly one predictor"),
    ("kserve", "InferenceService/student", ("predictor", "minReplicas"), 2, "minReplicas above"),
    ("kserve", "InferenceService/student", ("predictor", "logger", "mode"), "some", "logger mode"),
    ("kserve", "InferenceService/student", ("predictor", "canaryTrafficPercent"), 10, "ignored in Standard mode"),
    ("kserve", "InferenceService/student", ("predictor", "model", "name"), "x", "no name of its own"),
    ("kserve", "InferenceService/student", ("predictor", "model", "runtime"), "other", "no such runtime"),
    ("kserve", "InferenceService/student", ("predictor", "model", "protocolVersion"), "v2", "speak the protocol"),
    ("kserve", "InferenceService/w2s-supervisor", ("canary",), [], "stable predictor with a model"),
    ("kserve", "InferenceService/w2s-supervisor", (*POD, "name"), "supervisor", "kserve-container"),
    ("kserve", "InferenceService/w2s-supervisor", (*POD, "ports", 1, "name"), "grpc", "gRPC is the first port"),
    ("kserve", "InferenceService/w2s-supervisor", (*POD, "ports", 2, "name"), "http", "names of ports"),
    ("kserve", "InferenceService/w2s-supervisor", (*POD, "env", 0, "name"), "PYTHONPATH", "PYTHONPATH"),
    ("kserve", "ServingRuntime/w2s-student", ("supportedModelFormats",), [{"name": "a"}, {"name": "A"}], "twice"),
    ("kserve", "ServingRuntime/w2s-student", ("containers", 0, "name"), "server", "kserve-container"),
    ("kserve", "GRPCRoute/w2s-supervisor", ("parentRefs",), [{"name": "a"}, {"name": "a"}], "must be unique"),
    ("kserve", "GRPCRoute/w2s-supervisor", ("parentRefs", 1), {"name": "public", "namespace": "gateways"}, "specified"),
    ("kserve", "GRPCRoute/w2s-supervisor", (*RULE, "matches", 0, "method"), {}, "service or method"),
    ("kserve", "GRPCRoute/w2s-supervisor", (*RULE, "matches", 0, "method", "service"), "a/b", "valid characters"),
    ("kserve", "GRPCRoute/w2s-supervisor", (*RULE, "matches"), [{}] * 129, "too many rules"),
    ("kserve", "GRPCRoute/w2s-supervisor", (*RULE, "backendRefs", 0), {"name": "a"}, "must have port"),
    ("kserve", "GRPCRoute/w2s-supervisor", (*RULE, "backendRefs", 0, "weight"), 0, "no backend"),
    ("kserve", "HTTPRoute/student-students", (*RULE, "matches", 0, "path", "value"), "v1", "absolute path"),
    ("trainjob", "ClusterTrainingRuntime/w2s-student", ("mlPolicy", "mpi"), {}, "only one of the policies"),
    ("trainjob", "ClusterTrainingRuntime/w2s-student", ("mlPolicy",), {"mpi": {"numProcPerNode": 0}}, ">= 1"),
    (
        "trainjob",
        "ClusterTrainingRuntime/w2s-student",
        ("mlPolicy", "torch", "envInjection"),
        {"targets": [{"containerNames": ["node"]}]},
        "main node container",
    ),
    ("trainjob", "ClusterTrainingRuntime/w2s-student", (*NODE, "replicas"), 2, "must be 1"),
    ("trainjob", "ClusterTrainingRuntime/w2s-student", (*NODE, "template", "metadata"), {}, "one job is"),
    ("autoscaled", "HorizontalPodAutoscaler/w2s-supervisor", ("maxReplicas",), 0, "greater than or equal"),
    ("autoscaled", "Deployment/w2s-supervisor", ("replicas",), 2, "sets replicas too"),
    ("default", "Deployment/w2s-trainer", ("selector", "matchLabels", "x"), "y", "does not match template"),
    ("default", "Deployment/w2s-trainer", ("strategy", "rollingUpdate"), {"maxSurge": 1}, "Recreate"),
    ("secured", "Deployment/w2s-trainer", ("strategy", "rollingUpdate"), {"maxSurge": 0}, "maxUnavailable may not"),
]


def changed(objects, name, path, value):
    """Objects of which one has another value at a path of its spec."""
    objects = copy.deepcopy(objects)
    (part,) = [found["spec"] for found in objects if f"{found['kind']}/{found['metadata']['name']}" == name]
    for step in path[:-1]:
        part = part[step]
    if isinstance(part, list) and path[-1] == len(part):
        part.append(value)
    else:
        part[path[-1]] = value
    return objects


@pytest.mark.parametrize("mode", MODES)
def test_every_object_keeps_the_rules(rendered, mode):
    assert broken(rendered[mode]) == []


@pytest.mark.parametrize(("mode", "name", "path", "value", "rule"), CASES, ids=[case[-1] for case in CASES])
def test_a_broken_rule_is_noticed(rendered, mode, name, path, value, rule):
    assert [line for line in broken(changed(rendered[mode], name, path, value)) if rule in line]


@pytest.mark.parametrize(("name", "rule"), [("a" * 64, "63 characters"), ("9a", "DNS-1035"), ("a_b", "subdomain")])
def test_a_name_that_no_cluster_takes_is_noticed(rendered, name, rule):
    objects = copy.deepcopy(rendered["kserve"])
    for found in objects:
        if found["kind"] == "InferenceService":
            found["metadata"]["name"] = name
    assert [line for line in broken(objects) if rule in line]
    # The two have one name now.
    assert [line for line in broken(objects) if "made twice" in line]


def test_the_longest_names_keep_the_rules(render):
    long = "a" * 40
    objects = render(f"--set=fullnameOverride={long}", "-f", CHART / "ci/kserve-values.yaml", name="w" * 53)
    assert broken(objects) == []


@pytest.mark.skipif(not CRDS.is_dir(), reason="the CRDs whose rules are counted are not here")
def test_no_rule_of_the_definitions_is_left_out():
    """A definition with another rule than those that are written out has to be read again."""

    def rules(schema):
        if isinstance(schema, dict):
            yield from (rule["rule"] for rule in schema.get("x-kubernetes-validations", []))
        parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
        for part in parts:
            yield from rules(part)

    found = {}
    for file in ("trainer.kubeflow.org_clustertrainingruntimes", "serving.kserve.io_inferenceservices"):
        found[file] = {re.sub(r"\s", "", rule) for rule in rules(definition(file))}
    assert found["serving.kserve.io_inferenceservices"] == set()
    # Six fields are immutable: test_upgrades.py holds those.
    assert found["trainer.kubeflow.org_clustertrainingruntimes"] == {
        "[has(self.torch),has(self.mpi),has(self.jax),has(self.xgboost),has(self.flux)].filter(x,x).size()<=1",
        "self>=1",
        "!self.exists(c,c=='node')",
        "!(has(self.startupPolicy)&&self.startupPolicy.startupPolicyOrder=='InOrder'"
        "&&self.replicatedJobs.exists(x,has(x.dependsOn)))",
        "self==oldSelf",
        "self.templates.all(t,!has(t.metadata.namespace)||size(t.metadata.namespace)==0)",
    }
