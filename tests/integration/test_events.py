"""CloudEvents of a student's InferenceService, posted to the real evaluator."""

from __future__ import annotations

import http.client
import json

import pytest
from integration.conftest import scrape

from w2s.evaluator.v1 import monitor_pb2

READY = {"specversion": "1.0", "source": "http://localhost:9081/", "namespace": "team", "component": "predictor"}


@pytest.fixture(scope="module")
def student(services, monitor):
    spec = monitor_pb2.StudentSpec(
        dimension="relevance", label_names=["irrelevant", "relevant"], inference_service="team/student"
    )
    student = monitor.RegisterStudent(student_id="by-events", spec=spec)
    yield student
    monitor.UnregisterStudent(name=student.name)


@pytest.fixture
def post(services):
    """Posts one event: (status, what the server answered)."""

    def send(side, body, id_, service="student", mode="binary"):
        type_ = f"org.kubeflow.serving.inference.{side}"
        attributes = {**READY, "id": id_, "type": type_, "inferenceservicename": service}
        if mode == "binary":
            headers = {f"ce-{name}": value for name, value in attributes.items()}
            headers["content-type"] = "application/json"
            content = json.dumps(body)
        else:
            headers = {"content-type": "application/cloudevents+json"}
            content = json.dumps({**attributes, "data": body})
        connection = http.client.HTTPConnection(services.services["evaluator"].events, timeout=60)
        try:
            connection.request("POST", "/", content, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    return send


REQUEST = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a passage"]}]}
RESPONSE = {"outputs": [{"name": "probabilities", "shape": [1, 2], "datatype": "FP32", "data": [0.125, 0.875]}]}


@pytest.fixture
def counted(services):
    """A sample of the evaluator's metrics: `counted("cloudevents_total", outcome="joined")`."""

    def read(name, **labels):
        address = services.services["evaluator"].metrics
        return scrape(address).get((f"w2s_evaluator_{name}", frozenset(labels.items())), 0)

    return read


def test_both_events_of_an_inference_are_one_observation(post, student, counted):
    for mode, id_ in (("binary", "1"), ("structured", "2")):
        assert post("response", RESPONSE, id_, mode=mode) == (202, {"outcome": "waiting"})
        assert post("request", REQUEST, id_, mode=mode) == (202, {"outcome": "joined"})
        assert post("request", REQUEST, id_, mode=mode) == (202, {"outcome": "duplicate"})

    assert counted("monitor_events_total", student="by-events", outcome="accepted") == 2
    assert counted("cloudevents_total", outcome="joined") == 2


def test_events_that_cannot_be_taken_are_refused_and_counted(post, student, counted):
    before = [counted("cloudevents_total", outcome=outcome) for outcome in ("unknown_student", "malformed")]
    assert post("request", REQUEST, "1", service="other")[0] == 404
    for side, body, words in (
        ("request", {"instances": [1]}, "instances[0].text: must be a string"),
        ("response", {"predictions": [[1]]}, "predictions[0]: must be 2 probabilities, one for each class"),
        ("answer", {}, "type: must be org.kubeflow.serving.inference.request"),
    ):
        status, answer = post(side, body, "1")
        assert (status, answer["error"].startswith(words)) == (400, True), answer
    after = [counted("cloudevents_total", outcome=outcome) for outcome in ("unknown_student", "malformed")]
    assert [now - then for then, now in zip(before, after, strict=True)] == [1, 3]


def test_a_body_over_the_limit_is_not_read(services):
    connection = http.client.HTTPConnection(services.services["evaluator"].events, timeout=60)
    connection.putrequest("POST", "/")
    connection.putheader("content-length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
