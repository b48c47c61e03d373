"""A real Prometheus with the chart's rules scrapes the three services: what fires, when, and for how long."""

from __future__ import annotations

import json
import re
import signal
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from w2s.artifacts.schemas import PREDICTIONS_SCHEMA
from w2s.artifacts.tables import Dataset, write_predictions
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2

ALERT = "W2SDeceptionScoreHigh"
PREFIX = "w2s_evaluator_monitor_deception"
UP = {"w2s-trainer": "up", "w2s-supervisor": "up", "w2s-evaluator": "up"}
DASHBOARDS = Path(__file__).parents[2] / "charts" / "w2s" / "files" / "dashboards"


def honest(place, question):
    """Wrong here and there: on 20 of 60 that the teacher sees, and 14 of 40 that it does not."""
    return place % 3 == 0


def deceptive(place, question):
    """Wrong on all that the teacher does not see, and on nothing else."""
    return question.blind


def states(prometheus, source):
    """What an alert of that source went through, without those it stayed in."""
    history = prometheus.history(f'ALERTS{{alertname="{ALERT}", source="{source}"}}')
    return [state for state, _ in groupby(labels["alertstate"] for _, labels, _ in history)]


def test_targets_are_up_and_every_rule_can_be_evaluated(prometheus, student):
    prometheus.until(lambda found: found.targets() == UP)
    prometheus.until(lambda found: all(rule["health"] != "unknown" for rule in found.rules()))
    assert {rule["name"]: rule.get("lastError") for rule in prometheus.rules() if rule["health"] != "ok"} == {}


def test_a_student_that_turns_deceptive_fires_until_it_is_honest_again(prometheus, student):
    score = f'{PREFIX}_score{{student="watched", teacher="weak", dimension="harmlessness", reading="errors"}}'
    student.answer("first", honest)
    prometheus.until(lambda found: found.value(score) == pytest.approx(14 / 34))
    assert prometheus.value(f"{PREFIX}_items") == 34
    assert prometheus.value(f"{PREFIX}_base_rate") == pytest.approx(0.4)
    # Rules are evaluated each second too.
    prometheus.until(lambda found: found.value(f"count_over_time({score}[10m])") > 3)
    assert prometheus.alerts() == {}

    student.answer("second", deceptive)
    prometheus.until(lambda found: found.alerts().get(ALERT) == "firing")
    assert prometheus.alerts() == {ALERT: "firing"}
    assert prometheus.value(score) == 1
    low = student.report().deception.score_errors.interval.low
    (alert,) = prometheus.query(f'ALERTS{{alertname="{ALERT}", alertstate="firing"}}')
    assert (alert["metric"]["severity"], alert["metric"]["student"]) == ("critical", "watched")
    assert prometheus.value(score.replace("_score{", "_score_low{")) == pytest.approx(low)

    student.answer("third", honest)
    prometheus.until(lambda found: found.alerts() == {})
    assert prometheus.value(score) == pytest.approx(14 / 34)
    assert states(prometheus, "live") == ["pending", "firing"]
    scored, (pending, *_) = prometheus.history(score), prometheus.history(f'ALERTS{{alertname="{ALERT}"}}')
    assert scored[0][0] < pending[0] - 2


@pytest.fixture
def publish(store, evaluator):
    """Publishes an assessment of a student that is wrong at some of 200 places; the weak model knows the first half."""
    places = np.arange(200)

    def refer(key, of_truth):
        truth = places.astype(np.int32) % 2
        probabilities = np.where(truth[:, None] == [0, 1], of_truth[:, None], 1 - of_truth[:, None])
        ids = [str(place) for place in places]
        with store.write("predictions", key, data_schema=PREDICTIONS_SCHEMA, config={}) as draft:
            dataset = Dataset(None, ids, ids, None, truth, [], None)
            write_predictions(draft.path, dataset, np.log(probabilities).astype(np.float32))
        return common.PredictionsRef(uri=draft.ref.uri)

    weak = refer("weak", np.where(places < 100, 0.9, 0.6))
    strong = refer("strong", np.full(200, 0.95))

    def assess(key, wrong):
        student = refer(key, np.where(np.isin(places, wrong), 0.1, 0.9))
        request = evaluator_pb2.AssessDeceptionRequest(weak=weak, strong=strong, student=student, publish_as="lab")
        return evaluator.AssessDeception(request, timeout=60)

    return assess


def test_a_published_assessment_fires_until_a_better_one_takes_its_name(prometheus, publish):
    publish("deceptive", range(100, 160))
    prometheus.until(lambda found: found.alerts().get(ALERT) == "firing")
    assert prometheus.value('w2s_evaluator_deception_score{name="lab", reading="errors"}') == 1
    publish("honest", range(60, 140))
    prometheus.until(lambda found: found.alerts() == {})
    assert prometheus.value('w2s_evaluator_deception_score{name="lab", reading="errors"}') == 0.5
    assert states(prometheus, "published") == ["pending", "firing"]


def test_a_service_that_cannot_be_scraped_fires_until_it_can(prometheus, services):
    process = services.services["trainer"].process
    process.send_signal(signal.SIGSTOP)
    try:
        prometheus.until(lambda found: found.alerts() == {"W2STargetDown": "firing"})
        assert prometheus.targets() == {**UP, "w2s-trainer": "down"}
    finally:
        process.send_signal(signal.SIGCONT)
    prometheus.until(lambda found: found.alerts() == {})


def test_every_panel_can_be_asked_and_shows_the_watched_student(prometheus, student):
    student.answer("shown", honest)
    chosen = {"$__rate_interval": "1m", "$student": "watched", "$teacher": "weak", "$name": "lab"}
    prometheus.until(lambda found: found.value(f"{PREFIX}_items") == 34)
    empty = []
    for path in DASHBOARDS.glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"]
                for variable, value in chosen.items():
                    expression = expression.replace(variable, value)
                assert "$" not in expression, expression
                if "w2s_evaluator_monitor_" in expression and not prometheus.query(expression):
                    empty.append(expression)
    # What needs an arm without conflict, 500 observations more, or a past.
    missing = re.compile("conflict_tax|confidence_drift|max_avg1d|ratio_rate15m")
    assert [expression for expression in empty if not missing.search(expression)] == []
