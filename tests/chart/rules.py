"""What API servers and webhooks ask beyond a schema: the CEL rules and checks that concern our objects.

Read in the definitions of Kubeflow Trainer 2.3 (its `x-kubernetes-validations`), the webhooks of KServe 0.20, and
the definitions of Gateway API 1.3. No CEL library is among the pinned ones, so each rule is written out.
"""

from __future__ import annotations

import re
from collections import Counter

_LABEL = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# What KServe and Kubernetes name after an InferenceService and its parts.
_PREDICTOR = "-predictor"
_FRAMEWORKS = ("huggingface", "lightgbm", "model", "onnx", "paddle", "pmml", "pytorch", "sklearn", "tensorflow")
_FRAMEWORKS += ("triton", "xgboost")
# A DNS label, since a host or a label's value has the name in it.
_LABELS = ("Service", "InferenceService", "ServingRuntime", "Job", "Pod", "Deployment", "ClusterTrainingRuntime")
_MAX_LABEL, _MAX_NAME, _MAX_MATCHES = 63, 253, 128


def broken(objects):
    """The rules that objects of one release break, as `KIND/NAME: rule`; none where a cluster takes them."""
    return [
        f"{found['kind']}/{found['metadata']['name']}: {rule}"
        for found in objects
        for check in (_names, *_CHECKS.get(found["kind"], ()))
        for rule in check(found, objects)
    ]


def _names(found, objects):
    name = found["metadata"]["name"]
    if found["kind"] in _LABELS and (not _LABEL.fullmatch(name) or len(name) > _MAX_LABEL):
        yield "name is no DNS-1035 label of 63 characters"
    if len(name) > _MAX_NAME or not _SUBDOMAIN.fullmatch(name):
        yield "name is no DNS subdomain"
    same = [(o["kind"], o["metadata"]["name"], o["metadata"].get("namespace")) for o in objects]
    if Counter(same)[found["kind"], name, found["metadata"].get("namespace")] > 1:
        yield "made twice"


def _inference_service(found, objects):
    predictor, annotations = found["spec"]["predictor"], found["metadata"].get("annotations", {})
    implementations = [name for name in _FRAMEWORKS if name in predictor]
    # A container of a custom predictor is an implementation, unless it overrides a framework's.
    if len(implementations) + (not implementations and "containers" in predictor) != 1:
        yield "exactly one predictor"
    if len(found["metadata"]["name"]) + len(_PREDICTOR) > _MAX_LABEL:
        yield "its predictor's name is longer than 63 characters"
    low, high = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if low < 0 or high < 0 or 0 < high < low:
        yield "minReplicas above maxReplicas"
    if predictor.get("logger", {}).get("mode", "all") not in ("all", "request", "response"):
        yield "logger mode"
    if annotations.get("serving.kserve.io/autoscalerClass", "hpa") not in ("hpa", "keda", "external", "none"):
        yield "autoscaler class"
    yield from _standard_mode(found, predictor, annotations)
    yield from _model(predictor.get("model"), objects)
    yield from _serving(predictor.get("containers", []))


def _standard_mode(found, predictor, annotations):
    standard = annotations.get("serving.kserve.io/deploymentMode") == "Standard"
    if "deploymentStrategy" in predictor and not standard:
        yield "deploymentStrategy outside Standard mode"
    # Read by the Knative mode alone, and ignored in silence by this one.
    ignored = {"canaryTrafficPercent", "containerConcurrency", "scaleMetric", "scaleTarget"} & set(predictor)
    if standard and ignored:
        yield f"ignored in Standard mode: {', '.join(sorted(ignored))}"
    if "canary" in found["spec"] and "model" not in predictor:
        yield "a canary needs a stable predictor with a model"


def _model(model, objects):
    if model is None:
        return
    if model.get("name"):
        yield "a model has no name of its own"
    runtimes = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "ServingRuntime"}
    runtime = runtimes.get(model.get("runtime"), {"supportedModelFormats": []})
    if model["modelFormat"]["name"] not in [known["name"] for known in runtime["supportedModelFormats"]]:
        yield "no such runtime for its format"
    elif model.get("protocolVersion", "v1") not in runtime.get("protocolVersions", ["v1"]):
        yield "its runtime does not speak the protocol"


def _serving(containers):
    if not containers:
        return
    if containers[0]["name"] != "kserve-container":
        yield "the first container is kserve-container"
    ports = [port.get("name", "") for port in containers[0].get("ports", [])]
    # The first port becomes port 80 of KServe's Service, which carries gRPC where there is some.
    if any(name.startswith(("h2c", "grpc")) for name in ports[1:]):
        yield "gRPC is the first port"
    if any(len(name) > 15 for name in ports) or len(set(ports)) < len(ports):
        yield "names of ports"
    if any(entry["name"] == "PYTHONPATH" for container in containers for entry in container.get("env", [])):
        yield "PYTHONPATH is refused"


def _serving_runtime(found, objects):
    formats = [(known["name"].lower(), known.get("version")) for known in found["spec"]["supportedModelFormats"]]
    if len(set(formats)) < len(formats):
        yield "a model format twice"
    yield from _serving(found["spec"]["containers"])


def _training_runtime(found, objects):
    spec, jobs = found["spec"], found["spec"]["template"]["spec"]
    policies = [name for name in ("torch", "mpi", "jax", "xgboost", "flux") if name in spec.get("mlPolicy", {})]
    if len(policies) > 1:
        yield "only one of the policies can be configured"
    for name in ("mpi", "flux"):
        if spec.get("mlPolicy", {}).get(name, {}).get("numProcPerNode", 1) < 1:
            yield f"numProcPerNode in {name} must be >= 1"
    targets = spec.get("mlPolicy", {}).get("torch", {}).get("envInjection", {}).get("targets", [])
    if any("node" in target.get("containerNames", []) for target in targets):
        yield "containerNames must not include the main node container"
    ordered = jobs.get("startupPolicy", {}).get("startupPolicyOrder") == "InOrder"
    if ordered and any("dependsOn" in job for job in jobs["replicatedJobs"]):
        yield "startupPolicy and dependsOn are mutually exclusive"
    for claim in (part for policy in jobs.get("volumeClaimPolicies", []) for part in policy["templates"]):
        if claim.get("metadata", {}).get("namespace"):
            yield "namespace cannot be set for volumeClaimPolicies templates"
    yield from _nodes(jobs["replicatedJobs"])


def _nodes(jobs):
    """Trainer's webhook: the job that trains, and the container that torchrun's variables go to."""
    step = "trainer.kubeflow.org/trainjob-ancestor-step"
    trains = [job for job in jobs if job["template"].get("metadata", {}).get("labels", {}).get(step) == "trainer"]
    if len(trains) != 1:
        yield "one job is the trainer's"
    for job in trains:
        pod = job["template"]["spec"]["template"]["spec"]
        if "node" not in [container["name"] for container in pod["containers"]]:
            yield "the trainer's container is node"
        if job.get("replicas", 1) != 1:
            yield "replicas of the trainer's job must be 1"


def _route(found, objects):
    spec = found["spec"]
    parents = Counter((p.get("namespace", ""), p["name"], p.get("sectionName", "")) for p in spec["parentRefs"])
    gateways = Counter((namespace, name) for namespace, name, _ in parents)
    if any(times > 1 for times in parents.values()):
        yield "sectionName must be unique for one parent"
    if any(not section and gateways[namespace, name] > 1 for namespace, name, section in parents):
        yield "sectionName must be specified for several references to one parent"
    rules = spec["rules"]
    if len(rules) > 16 or sum(len(rule.get("matches", [])) for rule in rules) > _MAX_MATCHES:
        yield "too many rules or matches"
    for rule in rules:
        yield from _matches(rule)
        yield from _backends(rule, objects)


def _matches(rule):
    for match in rule.get("matches", []):
        method = match.get("method", {})
        if "method" in match and not (method.get("service") or method.get("method")):
            yield "one or both of service or method must be specified"
        if not re.fullmatch(r"(?i)(\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*)?", method.get("service", "")):
            yield "service must only contain valid characters"
        path = match.get("path", {}).get("value", "/")
        if not path.startswith("/") or "//" in path or "/./" in path or "/../" in path:
            yield "value must be an absolute path"


def _backends(rule, objects):
    if len(rule["backendRefs"]) > 16:
        yield "too many backends"
    for ref in rule["backendRefs"]:
        if ref.get("kind", "Service") == "Service" and "port" not in ref:
            yield "must have port for Service reference"
        if not 0 <= ref.get("weight", 1) <= 1_000_000:
            yield "weight"
    if not sum(ref.get("weight", 1) for ref in rule["backendRefs"]):
        yield "no backend gets any of it"


def _scaler(found, objects):
    spec = found["spec"]
    if spec.get("minReplicas", 1) > spec["maxReplicas"]:
        yield "maxReplicas must be greater than or equal to minReplicas"
    target = spec["scaleTargetRef"]
    (scaled,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (target["kind"], target["name"])]
    # Each upgrade would otherwise set them back.
    if "replicas" in scaled["spec"]:
        yield "its target sets replicas too"


def _deployment(found, objects):
    spec = found["spec"]
    labels = spec["template"]["metadata"]["labels"]
    if not spec["selector"]["matchLabels"].items() <= labels.items():
        yield "selector does not match template labels"
    strategy = spec["strategy"]
    if strategy["type"] == "Recreate" and "rollingUpdate" in strategy:
        yield "rollingUpdate may not be specified when strategy type is Recreate"
    rolling = strategy.get("rollingUpdate", {"maxSurge": 1})
    if not rolling.get("maxSurge") and not rolling.get("maxUnavailable"):
        yield "maxUnavailable may not be 0 when maxSurge is 0"


_CHECKS = {
    "ClusterTrainingRuntime": (_training_runtime,),
    "Deployment": (_deployment,),
    "GRPCRoute": (_route,),
    "HTTPRoute": (_route,),
    "HorizontalPodAutoscaler": (_scaler,),
    "InferenceService": (_inference_service,),
    "ServingRuntime": (_serving_runtime,),
}
