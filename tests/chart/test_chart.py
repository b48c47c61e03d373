"""Every mode renders to what clusters accept, and nothing else does."""

from __future__ import annotations

import difflib
import functools
import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from pipelines.components import CONFIG_MAP, IMAGE, TLS_FOLDER, TLS_SECRET

from .conftest import APIS, CHART, CRDS, MODES, definition, one, pod_specs

KUBERNETES = "1.35.0"
CUSTOM = {
    ("InferenceService", "serving.kserve.io_inferenceservices"),
    ("ServingRuntime", "serving.kserve.io_servingruntimes"),
    ("ClusterTrainingRuntime", "trainer.kubeflow.org_clustertrainingruntimes"),
    ("Pipeline", "pipelines.kubeflow.org_pipelines"),
    ("PipelineVersion", "pipelines.kubeflow.org_pipelineversions"),
}
_OPEN = "x-kubernetes-preserve-unknown-fields"
GOLDEN = Path(__file__).parent / "golden.yaml"


def closed(schema):
    """A definition's schema that refuses what a cluster would drop in silence: fields that it does not have."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items()}
    fields = found.get("properties")
    if isinstance(fields, dict) and found.get("type") == "object" and not found.get(_OPEN):
        known = {"apiVersion": {}, "kind": {}, "metadata": {}} if "spec" in fields else {}
        found = {"additionalProperties": False, **found, "properties": {**known, **fields}}
    return found


@functools.cache
def validator(file, version):
    """Holds objects to one version of a definition."""
    (found,) = (each for each in definition(file)["spec"]["versions"] if each["name"] == version)
    return jsonschema.Draft7Validator(closed(found["schema"]["openAPIV3Schema"]))


def test_lint(helm):
    ended = helm("lint", "--strict", CHART)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("mode", MODES)
def test_core_objects_are_what_kubernetes_knows(rendered, mode):
    for found in rendered[mode]:
        group = found["apiVersion"].rpartition("/")[0]
        if "." not in group or (group.endswith(".k8s.io") and group != "gateway.networking.k8s.io"):
            kubernetes_validate.validate(found, KUBERNETES, strict=True)


@pytest.mark.skipif(not CRDS.is_dir(), reason="the CRDs to validate against are not here")
@pytest.mark.parametrize("mode", MODES)
def test_custom_objects_meet_their_definitions(rendered, mode):
    for kind, file in CUSTOM:
        for found in (one_ for one_ in rendered[mode] if one_["kind"] == kind):
            validator(file, found["apiVersion"].rpartition("/")[2]).validate(found)


def test_a_field_that_no_definition_has_is_noticed():
    schema = {"type": "object", "properties": {"size": {"x-kubernetes-int-or-string": True}}}
    jsonschema.validate({"size": 1}, closed(schema))
    with pytest.raises(jsonschema.ValidationError, match="sizes"):
        jsonschema.validate({"sizes": 1}, closed(schema))


@pytest.mark.parametrize("mode", MODES)
def test_pods_are_restricted(rendered, mode):
    pods = dict(pod_specs(rendered[mode]))
    assert len(pods) >= 2
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is (name == "Deployment/w2s-trainer" and mode == "trainjob"), name
        assert not any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")), name
        for volume in pod.get("volumes", []):
            assert "hostPath" not in volume, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name


@pytest.mark.parametrize("mode", MODES)
def test_services_drain_before_they_are_killed(rendered, mode):
    for name, pod in pod_specs(rendered[mode]):
        for container in pod["containers"]:
            if "lifecycle" in container:
                drain = next(float(e["value"]) for e in container["env"] if e["name"] == "W2S_DRAIN_S")
                assert pod["terminationGracePeriodSeconds"] > drain + 5, name
                assert container["readinessProbe"], name


@pytest.mark.parametrize("mode", MODES)
def test_selectors_never_change(rendered, mode):
    # An upgrade to other values must not be refused for an immutable field.
    for found in rendered[mode]:
        if found["kind"] == "Deployment":
            component = found["metadata"]["labels"]["app.kubernetes.io/component"]
            assert found["spec"]["selector"]["matchLabels"] == {
                "app.kubernetes.io/name": f"w2s-{component}",
                "app.kubernetes.io/instance": "w2s",
            }


def test_pipelines_find_the_services(rendered):
    found = one(rendered["default"], "ConfigMap", CONFIG_MAP)["data"]
    assert found["W2S_TRAINER_ADDRESS"] == "dns:///w2s-trainer.team.svc:50051"
    assert set(found) == {f"W2S_{name}_ADDRESS" for name in ("SUPERVISOR", "TRAINER", "EVALUATOR")} | {
        "W2S_ARTIFACT_ROOT"
    }


def test_pipelines_find_the_services_in_each_namespace_that_they_run_in(rendered):
    found = [o for o in rendered["secured"] if o["metadata"]["name"] == CONFIG_MAP]
    assert [o["metadata"]["namespace"] for o in found] == ["team", "kubeflow"]
    assert found[0]["data"] == found[1]["data"]


def test_pipelines_are_told_of_tls_where_the_services_speak_it(rendered):
    secured = one(rendered["secured"], "ConfigMap", CONFIG_MAP)["data"]
    files = {name: path for name, path in secured.items() if name.endswith("_FILE")}
    assert files == {
        "W2S_SERVER_CA_FILE": f"{TLS_FOLDER}/ca.crt",
        "W2S_CLIENT_CERT_FILE": f"{TLS_FOLDER}/tls.crt",
        "W2S_CLIENT_KEY_FILE": f"{TLS_FOLDER}/tls.key",
    }
    # In the release's own namespace it is the one that the services have.
    assert one(rendered["secured"], "Certificate", "w2s-tls")["spec"]["secretName"] == TLS_SECRET


def test_pipelines_run_in_the_image_that_hooks_run_in(rendered):
    job = dict(pod_specs(rendered["secured"]))["Job/w2s-register-pipelines"]["containers"][0]
    assert job["image"] == IMAGE
    assert job["command"][-1] == "--namespace=science"
    # What it says last is why an installation failed.
    assert job["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_cuda_images_are_the_services(rendered):
    images = {name: pod["containers"][0]["image"] for name, pod in pod_specs(rendered["secured"])}
    assert images["Deployment/w2s-trainer"] == "w2s/trainer:0.1.0-cuda"
    assert images["Job/w2s-register-teachers"] == "w2s/pipelines:0.1.0"


def test_state_outlives_an_uninstall(rendered):
    claims = [found for found in rendered["default"] if found["kind"] == "PersistentVolumeClaim"]
    assert len(claims) == 4
    assert all(c["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for c in claims)
    # One process a SQLite file: it migrates before it serves, and the old one has gone by then.
    assert one(rendered["default"], "Deployment", "w2s-trainer")["spec"]["strategy"] == {"type": "Recreate"}
    assert one(rendered["secured"], "Deployment", "w2s-supervisor")["spec"]["strategy"]["type"] == "RollingUpdate"


def test_secrets_come_from_secrets(rendered):
    pod = dict(pod_specs(rendered["secured"]))["Deployment/w2s-evaluator"]
    env = {entry["name"]: entry for entry in pod["containers"][0]["env"]}
    assert env["W2S_DATABASE_URL"]["valueFrom"]["secretKeyRef"] == {"name": "w2s-postgres", "key": "evaluator"}
    assert env["HF_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "hub"
    assert env["W2S_TOKENS_FILE"]["value"] == "/etc/w2s/tokens/tokens"
    assert env["W2S_TLS_CLIENT_CA_FILE"]["value"] == env["W2S_SERVER_CA_FILE"]["value"]
    assert env["W2S_ARTIFACT_ROOT"]["value"] == "s3://bucket/w2s"
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "w2s-s3"}}]
    # Kubelets speak no TLS to gRPC.
    assert pod["containers"][0]["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_http_speaks_tls_where_nobody_ends_it_before(rendered, render):
    def told(objects, kind, component):
        (container,) = dict(pod_specs(objects))[f"{kind}/w2s-{component}"]["containers"]
        return {entry["name"] for entry in container["env"] if entry.get("value") == "true"} & {
            "W2S_HTTP_TLS",
            "W2S_EVENTS_TLS",
        }

    assert told(rendered["secured"], "Deployment", "supervisor") == {"W2S_HTTP_TLS"}
    assert told(rendered["secured"], "Deployment", "evaluator") == {"W2S_EVENTS_TLS"}
    assert told(rendered["default"], "Deployment", "supervisor") == set()
    # KServe's gateway speaks plaintext to the pod, and its payload logger to the monitor.
    flags = ("tls.enabled=true", "tls.existingSecret=x", "supervisor.mode=kserve", "evaluator.eventsOpen=true")
    served = render(*(f"--set={flag}" for flag in flags))
    assert told(served, "InferenceService", "supervisor") == set()
    assert told(served, "Deployment", "evaluator") == set()


def test_gpus_are_asked_for_where_models_run(rendered):
    limits = {n: p["containers"][0]["resources"].get("limits", {}) for n, p in pod_specs(rendered["secured"])}
    assert limits["Deployment/w2s-supervisor"]["nvidia.com/gpu"] == 1
    assert limits["Deployment/w2s-trainer"]["nvidia.com/gpu"] == 2
    assert "nvidia.com/gpu" not in limits["Deployment/w2s-evaluator"]
    # Runs are TrainJobs: their own pods have the GPUs.
    jobs = dict(pod_specs(rendered["trainjob"]))["Deployment/w2s-trainer"]["containers"][0]["resources"]
    assert "nvidia.com/gpu" not in jobs["limits"]


def test_kserve_serves_both_protocols_in_the_order_that_it_needs(rendered):
    found = one(rendered["kserve"], "InferenceService", "w2s-supervisor")
    assert found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    (container,) = found["spec"]["predictor"]["containers"]
    # KServe's rules: that name, and gRPC first, since the first port becomes the Service's port 80.
    assert container["name"] == "kserve-container"
    assert [port["name"] for port in container["ports"]][:2] == ["h2c", "http"]
    assert container["readinessProbe"]


def test_kserve_replaces_pods_as_the_database_allows(render):
    flags = ("--set=supervisor.mode=kserve",)
    found = one(render(*flags), "InferenceService", "w2s-supervisor")["spec"]["predictor"]
    assert found["deploymentStrategy"] == {"type": "Recreate"}
    more = ("--set=database.existingSecret=x", "--set=supervisor.replicas=2")
    objects = render(*flags, *more)
    found = one(objects, "InferenceService", "w2s-supervisor")["spec"]["predictor"]
    assert found["deploymentStrategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    budget = one(objects, "PodDisruptionBudget", "w2s-supervisor")["spec"]["selector"]["matchLabels"]
    assert budget.items() <= found["labels"].items()


def test_runs_have_the_artifacts_and_the_nodes_that_the_trainer_has(rendered, render):
    pod = dict(pod_specs(rendered["trainjob"]))["ClusterTrainingRuntime/w2s-student"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    volume = next(v for v in pod["volumes"] if v["name"] == "artifacts")
    trainer = dict(pod_specs(rendered["trainjob"]))["Deployment/w2s-trainer"]
    assert volume in trainer["volumes"]
    mounts = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "artifacts"]
    assert mounts == [m for m in trainer["containers"][0]["volumeMounts"] if m["name"] == "artifacts"] != []
    s3 = ("artifacts.store=s3", "artifacts.uri=s3://b/w", "artifacts.existingSecret=keys", "models.existingSecret=hub")
    objects = render("--set=trainer.launcher=kubernetes", *(f"--set={flag}" for flag in s3))
    (node,) = dict(pod_specs(objects))["ClusterTrainingRuntime/w2s-student"]["containers"]
    assert node["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert node["env"][-1]["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "HF_TOKEN"}
    assert "artifacts" not in [mount["name"] for mount in node["volumeMounts"]]


def test_trainjobs_need_few_verbs(rendered):
    (rule,) = one(rendered["trainjob"], "Role", "w2s-trainer")["rules"]
    assert rule["resources"] == ["trainjobs"]
    assert set(rule["verbs"]) == {"get", "list", "watch", "create", "delete"}
    runtime = one(rendered["trainjob"], "ClusterTrainingRuntime", "w2s-student")
    env = {
        e["name"]: e.get("value")
        for e in dict(pod_specs(rendered["trainjob"]))["Deployment/w2s-trainer"]["containers"][0]["env"]
    }
    assert env["W2S_TRAINING_RUNTIME"] == runtime["metadata"]["name"]


def test_prometheus_names_jobs_as_alerts_do(rendered):
    monitor = one(rendered["secured"], "ServiceMonitor", "w2s-trainer")
    service = one(rendered["secured"], "Service", "w2s-trainer")
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "w2s-trainer"
    rules = one(rendered["secured"], "PrometheusRule", "w2s")["spec"]["groups"]
    written = [yaml.safe_load(path.read_text())["groups"] for path in sorted((CHART / "files/rules").glob("*.yaml"))]
    assert [group["name"] for group in rules] == [group["name"] for groups in written for group in groups]
    dashboards = [o for o in rendered["secured"] if o["metadata"]["name"].startswith("w2s-dashboard-")]
    assert len(dashboards) == 4
    assert all(json.loads(next(iter(found["data"].values())))["panels"] for found in dashboards)


def test_everything_else_is_denied(rendered):
    policy = one(rendered["default"], "NetworkPolicy", "w2s")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    internet = [peer for rule in policy["egress"] for peer in rule.get("to", []) if "ipBlock" in peer]
    # The cloud's metadata is no model hub.
    assert internet == [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}}]
    runs = one(rendered["trainjob"], "NetworkPolicy", "w2s-runs")["spec"]
    (runtime,) = [o for o in rendered["trainjob"] if o["kind"] == "ClusterTrainingRuntime"]
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    labels = job["template"]["spec"]["template"]["metadata"]["labels"]
    assert runs["podSelector"]["matchLabels"].items() <= labels.items()
    assert runs["policyTypes"] == ["Ingress", "Egress"]
    # Clients of the trainer do not end at a run's pod.
    selector = one(rendered["trainjob"], "Service", "w2s-trainer")["spec"]["selector"]
    assert not selector.items() <= labels.items()
    offline = one(rendered["trainjob"], "NetworkPolicy", "w2s")["spec"]
    assert not [peer for rule in offline["egress"] for peer in rule.get("to", []) if "ipBlock" in peer]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["supervisor.replcas=2"], "replcas"),
        (["supervisor.replicas=2"], "existingSecret"),
        (["supervisor.autoscaling.enabled=true"], "existingSecret"),
        (["artifacts.store=s3"], "uri"),
        (["auth.existingSecret=tokens"], "clientSecret"),
        (["tls.enabled=true"], "issuer"),
        (["tls.mutual=true"], "enabled"),
        (["pipelines.registration=both"], "registration"),
        (["supervisor.gpu.count=-1"], "count"),
        (["image.variant=cuda"], "gpu/count"),
        (["trainer.gpu.count=1"], "/trainer/gpu/count': maximum: got 1, want 0"),
        (["student.image=kserve/huggingfaceserver:v0.20.0-gpu"], "/student/gpu/count': minimum"),
        (["student.gpu.count=1"], "/student/image"),
        (["auth.clientSecret=token"], "/auth/existingSecret"),
        (["tls.existingSecret=x"], "/tls/enabled"),
        (["tls.issuer.name=x"], "/tls/enabled"),
        (["artifacts.uri=s3://a/b"], "/artifacts/uri"),
        (["artifacts.existingSecret=x"], "/artifacts/existingSecret"),
        (["artifacts.store=s3", "artifacts.uri=s3://a/b", "artifacts.existingClaim=x"], "/artifacts/existingClaim"),
        (["supervisor.mode=kserve", "supervisor.autoscaling.enabled=true", "database.existingSecret=x"], "autoscaling"),
        (["student.name=9"], "student/name"),
        (["trainer.slots=0"], "slots"),
    ],
)
def test_values_that_make_no_sense_are_refused(helm, flags, said):
    ended = helm("template", "w2s", CHART, *(f"--set={flag}" for flag in flags))
    assert ended.returncode != 0
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("flags", "api"),
    [
        (["supervisor.mode=kserve"], "serving.kserve.io/v1beta1"),
        (["trainer.launcher=kubernetes"], "trainer.kubeflow.org/v1alpha1"),
        (["tls.enabled=true", "tls.issuer.name=x"], "cert-manager.io/v1"),
        (["monitoring.enabled=true"], "monitoring.coreos.com/v1"),
        (["pipelines.registration=objects"], "pipelines.kubeflow.org/v2beta1"),
        (["student.enabled=true", "student.storageUri=pvc://a/b"], "serving.kserve.io/v1beta1"),
    ],
)
def test_a_cluster_that_lacks_an_api_is_told_which(helm, flags, api):
    others = [flag for known in APIS if known != api for flag in ("--api-versions", known)]
    ended = helm("template", "w2s", CHART, *others, *(f"--set={flag}" for flag in flags))
    assert ended.returncode != 0
    assert f"{api}: install" in ended.stderr or f"no {api}" in ended.stderr


def test_the_default_is_as_it_was(rendered):
    # After a change on purpose: W2S_GOLDEN=1 make e2e-chart.
    import os

    text = yaml.safe_dump_all(rendered["default"], sort_keys=True)
    if os.environ.get("W2S_GOLDEN"):
        GOLDEN.write_text(text)
    difference = difflib.unified_diff(GOLDEN.read_text().splitlines(), text.splitlines(), "golden", "now", lineterm="")
    assert "\n".join(difference) == ""


def test_every_value_is_described():
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        key, _, value = line.strip().partition(":")
        if key and not key.startswith(("#", "-")) and value.strip():
            assert lines[number - 1].strip().startswith("#") or line.startswith(("    requests", "    limits")), line
