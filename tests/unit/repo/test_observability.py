"""Rules, runbooks and dashboards: whole, tested, and about what the services export."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from w2s.rpc.metrics import CallMetrics
from w2s.rpc.server import new_registry
from w2s_evaluator.comparisons.metrics import ComparisonMetrics
from w2s_evaluator.comparisons.published import Published
from w2s_evaluator.dropped import dropped_series
from w2s_evaluator.evaluations.metrics import EvaluationMetrics
from w2s_evaluator.events.metrics import EventMetrics
from w2s_evaluator.monitor.metrics import MonitorMetrics
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_trainer.metrics import TrainerMetrics

ROOT = Path(__file__).parents[3]
RUNBOOKS = ROOT / "docs" / "runbooks"
CHART = ROOT / "charts" / "w2s" / "files"

RULES = [
    rule
    for path in sorted((CHART / "rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = [rule for rule in RULES if "record" in rule]
CASES = [
    case
    for path in sorted((ROOT / "tests" / "observability" / "rules").glob("*_test.yaml"))
    for case in yaml.safe_load(path.read_text())["tests"]
]
DASHBOARDS = [json.loads(path.read_text()) for path in sorted((CHART / "dashboards").glob("*.json"))]

# What Prometheus says of its targets and alerts.
OF_PROMETHEUS = {"up", "ALERTS"}
SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"], "gauge": [""]}


def alert_id(alert):
    return "-".join([alert["alert"], *(value for key, value in alert["labels"].items() if key in ("source", "window"))])


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard):
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


def metrics_of(expression):
    """The metrics that a PromQL expression names."""
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    words = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*\b(?!\s*\()", text)
    return set(words) - {"and", "or", "unless", "offset", "bool"}


@pytest.fixture(scope="module")
def exported():
    """The names of all series that the services export."""
    registries = [new_registry() for _ in range(3)]
    SupervisorMetrics(registries[0])
    TrainerMetrics(registries[1])
    evaluator = registries[2]
    ComparisonMetrics(evaluator)
    EventMetrics(evaluator)
    dropped = dropped_series(evaluator)
    Published(None, 1, dropped, evaluator)
    MonitorMetrics(evaluator, dropped).export(lambda: ())
    # It is told of once there is one.
    EvaluationMetrics(evaluator).succeeded_before(SimpleNamespace(end_time=datetime.now(UTC)))
    for registry in registries:
        CallMetrics(registry)
    families = [family for registry in registries for family in registry.collect()]
    return {family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, [])}


def unknown(names, exported):
    recorded = {rule["record"] for rule in RECORDS}
    return names - exported - recorded - OF_PROMETHEUS


def test_metrics_of_an_expression_are_found():
    expression = """
        histogram_quantile(0.9, sum by (le, job) (rate(a_bucket{b="c {d}", e=~"f"}[5m]))) > ignoring (g)
        group_left () (h:i:j5m offset 1h) / 14.4 and on (k) label_replace(absent(up), "l", "m", "", "") or n[1d:5m]
    """
    assert metrics_of(expression) == {"a_bucket", "h:i:j5m", "up", "n"}


def test_rules_are_about_what_is_exported(exported):
    named = {rule.get("alert", rule.get("record")): metrics_of(rule["expr"]) for rule in RULES}
    assert all(named.values())
    assert {rule: wrong for rule, names in named.items() if (wrong := unknown(names, exported))} == {}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])
def test_panels_are_about_what_is_exported(dashboard, exported):
    named = {expression: metrics_of(expression) for expression in expressions(dashboard)}
    assert all(named.values())
    assert {expression: wrong for expression, names in named.items() if (wrong := unknown(names, exported))} == {}
    variables = [each for each in dashboard["templating"]["list"] if each["type"] == "query"]
    chosen = [re.match(r"label_values\((\w+)", each["query"]["query"]).group(1) for each in variables]
    assert unknown(set(chosen), exported) == set()
    used = {name for expression in expressions(dashboard) for name in re.findall(r"\$(\w+)", expression)}
    assert used - {"__rate_interval"} == {each["name"] for each in variables}


def test_runbooks_are_about_what_is_exported(exported):
    named = {page.name: set(re.findall(r"`(w2s_\w+)`", page.read_text())) for page in RUNBOOKS.iterdir()}
    assert {page: wrong for page, names in named.items() if (wrong := unknown(names, exported))} == {}


@pytest.mark.parametrize("alert", ALERTS, ids=alert_id)
def test_alerts_say_who_is_called_when_and_what_to_do(alert):
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert re.fullmatch(r"[1-9]\d*[mh]", alert["for"])
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    kebab = "-".join(re.findall(r"[A-Z][a-z]+", alert["alert"].removeprefix("W2S"))).lower()
    assert alert["annotations"]["runbook"] == f"docs/runbooks/{kebab}.md"
    page = (ROOT / alert["annotations"]["runbook"]).read_text()
    assert page.startswith(f"# {alert['alert']}\n\n**What it means.**")
    for part in ("Look first.", "Likely causes.", "Do.", "Ignore it"):
        assert f"\n**{part}" in page
    source = alert["labels"].get("source")
    assert source is None or f"`{source}`" in page or f'source="{source}"' in page


def test_every_runbook_is_of_an_alert():
    named = {Path(alert["annotations"]["runbook"]).name for alert in ALERTS}
    assert {page.name for page in RUNBOOKS.iterdir()} == named


@pytest.mark.parametrize("alert", ALERTS, ids=alert_id)
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent(alert):
    tests = [test for case in CASES for test in case.get("alert_rule_test", []) if test["alertname"] == alert["alert"]]
    fired = [found["exp_labels"] for test in tests for found in test["exp_alerts"]]
    assert any(alert["labels"].items() <= labels.items() for labels in fired)
    assert any(test["exp_alerts"] == [] for test in tests)


def test_every_recorded_series_has_a_value_in_a_case():
    asked = {name for case in CASES for test in case.get("promql_expr_test", []) for name in metrics_of(test["expr"])}
    assert {rule["record"] for rule in RECORDS} - asked == set()


def test_recorded_series_are_named_by_level_metric_and_operations():
    assert [
        rule["record"] for rule in RECORDS if not re.fullmatch(r"[a-z_]+:w2s_[a-z_]+:[a-z0-9_]+", rule["record"])
    ] == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])
def test_dashboards_work_with_any_data_source_and_place_their_panels_apart(dashboard):
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    asked = [{"type": "prometheus", "uid": "${datasource}"}]
    for panel in panels(dashboard):
        assert [panel["datasource"], *(t["datasource"] for t in panel["targets"])] == asked * (
            len(panel["targets"]) + 1
        )
        assert panel["fieldConfig"]["defaults"]["unit"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []


def overlap(one, other):
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))


def test_dashboards_have_names_that_stay():
    assert sorted(dashboard["uid"] for dashboard in DASHBOARDS) == [
        "w2s-deception",
        "w2s-overview",
        "w2s-supervisor",
        "w2s-trainer",
    ]
