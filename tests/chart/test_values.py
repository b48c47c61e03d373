"""Values that Kubernetes would refuse, or drop in silence, end at the chart's schema."""

from __future__ import annotations

import json

import pytest

from .conftest import CHART, one

SELECTOR = {"matchLabels": {"app": "a"}}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"extraEnv": [{"value": "x"}]}, "name"),
        ({"extraEnv": [{"name": "A B"}]}, "extraEnv/0/name"),
        ({"extraEnv": [{"name": "A", "value": 1}]}, "extraEnv/0/value"),
        ({"extraEnv": [{"name": "A", "valeFrom": {}}]}, "valeFrom"),
        ({"extraEnv": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}, "key"),
        ({"extraEnv": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}]}, "extraEnv/0"),
        ({"resources": {"limit": {}}}, "limit"),
        ({"resources": {"limits": {"memory": "8 Gi"}}}, "memory"),
        ({"resources": {"requests": {"cpu": -1}}}, "cpu"),
        ({"gpu": {"count": 1.5}}, "count"),
        ({"nodeSelector": {"gpu": True}}, "nodeSelector/gpu"),
        ({"tolerations": [{"key": "a", "operater": "Exists"}]}, "operater"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "tolerations/0"),
        ({"tolerations": [{"operator": "Equal", "value": "b"}]}, "key"),
        ({"topologySpreadConstraints": [{**SPREAD, "maxSkew": 0}]}, "maxSkew"),
        ({"topologySpreadConstraints": [{**SPREAD, "labelSelectors": SELECTOR}]}, "labelSelectors"),
        ({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}]}, "whenUnsatisfiable"),
    ],
)
def test_parts_of_pods_are_refused(helm, value, said):
    ended = helm("template", "w2s", CHART, f"--set-json=trainer={json.dumps(value)}")
    assert ended.returncode != 0
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "extraEgress/0"),
        ({"port": 9000}, "port"),
        ({"ports": [{"port": 0}]}, "port"),
        ({"ports": [{"port": 9000, "protocol": "tcp"}]}, "protocol"),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.1"}}]}, "cidr"),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": SELECTOR}]}, "to/0"),
    ],
)
def test_rules_of_egress_are_refused(helm, rule, said):
    ended = helm("template", "w2s", CHART, f"--set-json=networkPolicy.extraEgress={json.dumps([rule])}")
    assert ended.returncode != 0
    assert said in ended.stderr


def test_no_object_of_the_schema_takes_what_it_does_not_know():
    def open_parts(schema, path=""):
        if isinstance(schema, dict):
            fields = schema.get("properties")
            # A condition says something of an object that is closed elsewhere.
            if isinstance(fields, dict) and schema.get("type") == "object" and schema.get("additionalProperties", True):
                yield path
            if schema.get("type") == "object" and "properties" not in schema and "additionalProperties" not in schema:
                yield path
        parts = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
        for name, part in parts:
            yield from open_parts(part, f"{path}/{name}")

    # What Helm hands from a chart to those in it.
    assert list(open_parts(json.loads((CHART / "values.schema.json").read_text()))) == ["/properties/global"]


def test_a_store_on_a_port_of_its_own_is_reached(rendered, render):
    rule = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 9000, "protocol": "TCP"}]}
    assert rule in one(rendered["secured"], "NetworkPolicy", "w2s")["spec"]["egress"]
    more = ("trainer.launcher=kubernetes", "student.enabled=true", "student.storageUri=s3://a/b")
    objects = render(*(f"--set={flag}" for flag in more), f"--set-json=networkPolicy.extraEgress={json.dumps([rule])}")
    for name in ("w2s", "w2s-runs", "w2s-student"):
        assert rule in one(objects, "NetworkPolicy", name)["spec"]["egress"]
