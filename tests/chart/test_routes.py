"""What gateways send to which release, and in which parts."""

from __future__ import annotations

import pytest

from .conftest import CHART, one

GRPC = "gateway.networking.k8s.io/v1/GRPCRoute"
ENABLED = ("--set=supervisor.route.enabled=true", "--set=supervisor.route.parentRefs[0].name=public")


def ports(objects):
    """The ports of each Service."""
    return {
        found["metadata"]["name"]: [port["port"] for port in found["spec"]["ports"]]
        for found in objects
        if found["kind"] == "Service"
    }


@pytest.mark.parametrize("mode", ["deployment", "kserve"])
def test_a_route_leads_to_our_own_proto(render, mode):
    objects = render(*ENABLED, f"--set=supervisor.mode={mode}", "--set=supervisor.route.hostnames={w2s.example.org}")
    spec = one(objects, "GRPCRoute", "w2s-supervisor")["spec"]
    assert spec["parentRefs"] == [{"name": "public"}]
    assert spec["hostnames"] == ["w2s.example.org"]
    (rule,) = spec["rules"]
    assert rule["matches"][0] == {"method": {"service": "w2s.supervisor.v1.SupervisorService"}}
    assert rule["backendRefs"] == [{"name": "w2s-supervisor", "port": 50051, "weight": 100}]
    assert 50051 in ports(objects)["w2s-supervisor"]


def test_nothing_is_routed_unless_it_is_asked_for(rendered):
    assert not [found for found in rendered["default"] if found["kind"].endswith("Route")]


def test_gateways_are_told_what_the_port_speaks(rendered):
    protocols = {
        mode: one(rendered[mode], "Service", "w2s-supervisor")["spec"]["ports"][0]["appProtocol"]
        for mode in ("default", "kserve", "secured")
    }
    assert protocols == {"default": "kubernetes.io/h2c", "kserve": "kubernetes.io/h2c", "secured": "https"}


def test_calls_are_split_between_two_releases(rendered, render):
    (rule,) = one(rendered["autoscaled"], "GRPCRoute", "w2s-supervisor")["spec"]["rules"]
    assert {ref["name"]: ref["weight"] for ref in rule["backendRefs"]} == {"w2s-supervisor": 90, "next-supervisor": 10}
    canary = ports(render("-f", CHART / "ci/canary-values.yaml", name="next"))
    assert all(ref["port"] in {**ports(rendered["autoscaled"]), **canary}[ref["name"]] for ref in rule["backendRefs"])


def test_a_canary_is_a_supervisor_on_what_the_other_release_has(render, rendered):
    files = ("autoscaled", "canary")
    objects = render(*(f"--values={CHART}/ci/{file}-values.yaml" for file in files), name="next")
    assert not [found for found in objects if found["kind"] == "GRPCRoute"]
    assert [found["metadata"]["name"] for found in objects if found["kind"] == "Deployment"] == ["next-supervisor"]
    stable = {(found["kind"], found["metadata"]["name"]) for found in rendered["autoscaled"]}
    assert not stable & {(found["kind"], found["metadata"]["name"]) for found in objects}
    pod = one(objects, "Deployment", "next-supervisor")["spec"]["template"]["spec"]
    env = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    assert env["W2S_SUPERVISOR_ADDRESS"] == "dns:///next-supervisor.team.svc:50051"
    assert env["W2S_EVALUATOR_ADDRESS"] == "dns:///w2s-evaluator.team.svc:50051"
    (claim,) = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert ("PersistentVolumeClaim", claim["claimName"]) in stable
    # Alerts are one release's to make.
    kinds = [found["kind"] for found in objects]
    assert kinds.count("ServiceMonitor") == 1
    assert "PrometheusRule" not in kinds


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["supervisor.route.enabled=true"], "parentRefs"),
        (["supervisor.route.parentRefs[0].namespace=a"], "name"),
        (["supervisor.route.hostnames={10.0.0.1:443}"], "hostnames"),
        (["supervisor.route.canaries[0].name=next"], "weight"),
        (["supervisor.route.weight=-1"], "weight"),
        (["canaryOf=w2s"], "existingSecret"),
    ],
)
def test_routes_that_lead_nowhere_are_refused(helm, flags, said):
    ended = helm("template", "w2s", CHART, *(f"--set={flag}" for flag in flags))
    assert ended.returncode != 0
    assert said in ended.stderr


def test_a_cluster_without_gateway_api_is_told(helm):
    ended = helm("template", "w2s", CHART, *ENABLED)
    assert ended.returncode != 0
    assert f"{GRPC}: install Gateway API" in ended.stderr
