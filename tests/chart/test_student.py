"""The student that KServe serves, and its canary."""

from __future__ import annotations

import pytest

from .conftest import CHART, one
from .test_routes import ports

ENABLED = ("student.enabled=true", "student.storageUri=pvc://a/b")
CANARY = "student.canary.storageUri=pvc://a/c"


def test_the_monitor_hears_each_model_under_its_own_name(rendered):
    for name in ("student", "student-canary"):
        predictor = one(rendered["kserve"], "InferenceService", name)["spec"]["predictor"]
        assert predictor["logger"] == {"mode": "all", "url": "http://w2s-evaluator.team.svc:8081/"}
        assert "events" in [
            port["name"] for port in one(rendered["kserve"], "Service", "w2s-evaluator")["spec"]["ports"]
        ]


def test_the_runtime_answers_with_what_the_monitor_reads(rendered):
    runtime = one(rendered["kserve"], "ServingRuntime", "w2s-student")["spec"]
    (container,) = runtime["containers"]
    assert "--return_probabilities" in container["args"]
    # One name for both models, since one route leads to them.
    assert "--model_name=student" in container["args"]
    # What is loaded is what the trainer wrote, and texts are in no log.
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in container["env"]
    assert "--disable_log_requests" in container["args"]
    assert not [argument for argument in container["args"] if "trust" in argument]
    for name in ("student", "student-canary"):
        model = one(rendered["kserve"], "InferenceService", name)["spec"]["predictor"]["model"]
        assert model["runtime"] == "w2s-student"
        assert model["protocolVersion"] in runtime["protocolVersions"]
        assert model["modelFormat"]["name"] in [known["name"] for known in runtime["supportedModelFormats"]]
        assert model["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_a_canary_gets_its_part(rendered, render):
    (rule,) = one(rendered["kserve"], "HTTPRoute", "student-students")["spec"]["rules"]
    weights = {ref["name"]: ref["weight"] for ref in rule["backendRefs"]}
    # KServe's Services, in Standard mode.
    assert weights == {"student-predictor": 80, "student-canary-predictor": 20}
    served = [name.removesuffix("-predictor") for name in weights]
    models = [one(rendered["kserve"], "InferenceService", name)["spec"]["predictor"]["model"] for name in served]
    assert [model["storageUri"].rpartition("/")[2] for model in models] == ["student", "next"]
    alone = render(*(f"--set={flag}" for flag in ENABLED), "--set=student.route.parentRefs[0].name=public")
    (rule,) = one(alone, "HTTPRoute", "student-students")["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "student-predictor", "port": 80, "weight": 100}]


def test_a_student_reaches_the_monitor_and_its_model_alone(rendered):
    policy = one(rendered["kserve"], "NetworkPolicy", "w2s-student")["spec"]
    labels = one(rendered["kserve"], "InferenceService", "student")["spec"]["predictor"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    monitor = policy["egress"][0]
    assert monitor["ports"] == [{"port": 8081}]
    evaluator = one(rendered["kserve"], "Deployment", "w2s-evaluator")["spec"]["template"]["metadata"]["labels"]
    assert monitor["to"][0]["podSelector"]["matchLabels"].items() <= evaluator.items()
    # What the services may reach is no student's to reach.
    (others,) = one(rendered["kserve"], "NetworkPolicy", "w2s")["spec"]["podSelector"]["matchExpressions"]
    assert others == {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["student"]}
    assert labels["app.kubernetes.io/component"] == "student"
    # The server's port, and the payload logger's before it.
    assert policy["ingress"][0]["ports"] == [{"port": 8080}, {"port": 9081}]
    assert ports(rendered["kserve"])["w2s-evaluator"][1] == 8081


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["student.enabled=true"], "storageUri"),
        (["student.enabled=true", "student.storageUri=/models"], "storageUri"),
        ([*ENABLED, CANARY], "parentRefs"),
        ([CANARY, "student.route.parentRefs[0].name=a"], "enabled"),
        ([*ENABLED, CANARY, "student.route.parentRefs[0].name=a", "student.canary.percent=101"], "percent"),
        ([*ENABLED, "auth.existingSecret=x", "auth.clientSecret=x"], "eventsOpen"),
        ([*ENABLED, "tls.enabled=true", "tls.existingSecret=x"], "eventsOpen"),
        # KServe's Service is NAME-canary-predictor: 63 characters at most.
        ([*ENABLED, f"student.name={'a' * 47}"], "student/name"),
    ],
)
def test_students_that_nobody_can_serve_are_refused(helm, flags, said):
    ended = helm("template", "w2s", CHART, *(f"--set={flag}" for flag in flags))
    assert ended.returncode != 0
    assert said in ended.stderr
