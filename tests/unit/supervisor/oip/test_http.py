from __future__ import annotations

import asyncio
import http.client
import json
import logging
import signal
import socket
import subprocess
import sys
import time

import httpx
import kserve
import numpy as np
import pytest
from helpers.oip import LIMITS, MAX_BYTES, RuleDesk, oip_served

from w2s.errors import InvalidArgument
from w2s.rpc.access import Access
from w2s_supervisor.oip.http import OipHttp

# P(many) = (vowels + 1) / (letters + 2).
AAA, XYZ, XYZ_AB = 4 / 5, 1 / 5, 2 / 7


def tensor(name, data, **fields):
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data, **fields}


def infer(*inputs, **fields):
    return {"inputs": inputs, **fields}


def logged(caplog, wanted):
    """The records wanted, once there is one: a server logs a call after it has answered it."""
    deadline = time.monotonic() + 10
    while not (found := [record for record in caplog.records if wanted(record)]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_health_tells_the_truth(http, desk):
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").status_code == 503
    assert http.get("/v2/models/active/ready").status_code == 503

    desk.activate("vowels")
    assert http.get("/v2/health/ready").json() == {"ready": True}
    assert http.get("/v2/models/active/ready").json() == {"name": "active", "ready": True}
    assert http.get("/v1/models/vowels").json() == {"name": "vowels", "ready": True}
    assert http.get("/v2/models/reward/ready").status_code == 503
    assert http.get("/v1/models/reward").status_code == 503


def test_models_are_listed_with_their_states(http, desk):
    desk.activate("vowels")
    names = ["active", "vowels", "letters", "pairs", "reward", "mute"]

    assert http.get("/v1/models").json() == http.get("/v2/models").json() == {"models": names}
    index = http.post("/v2/repository/index").json()
    assert {entry["name"]: entry["state"] for entry in index} == {
        name: "READY" if name in ("active", "vowels") else "UNAVAILABLE" for name in names
    }
    ready = http.post("/v2/repository/index", json={"ready": True}).json()
    assert [entry["name"] for entry in ready] == ["active", "vowels"]


def test_metadata_says_who_a_teacher_is(http, desk):
    desk.activate("vowels")
    found = http.get("/v2/models/active").json()

    assert (found["name"], found["versions"], found["platform"]) == ("active", ["digest-of-vowels"], "w2s")
    assert found["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}
    assert found["properties"] == {
        "teacher": "teachers/vowels",
        "revision": "rule-1",
        "digest": "digest-of-vowels",
        "label_names": '["few", "many"]',
    }
    assert http.get("/v2/models/active/versions/digest-of-vowels").json() == found


def test_v1_predicts_texts_and_pairs(http, desk):
    desk.activate("vowels")
    instances = ["aaa", {"text": "xyz"}, {"text": "xyz", "text_pair": "ab"}]
    found = http.post("/v1/models/active:predict", json={"instances": instances}).json()

    assert [one["label"] for one in found["predictions"]] == [1, 0, 0]
    assert [one["probabilities"][1] for one in found["predictions"]] == pytest.approx([AAA, XYZ, XYZ_AB])
    assert [one["confidence"] for one in found["predictions"]] == pytest.approx([AAA, 1 - XYZ, 1 - XYZ_AB])
    assert (found["teacher"], found["digest"], found["label_names"]) == (
        "teachers/vowels",
        "digest-of-vowels",
        ["few", "many"],
    )


def test_v1_predicts_scores(http):
    found = http.post("/v1/models/reward:predict", json={"instances": [{"prompt": "a", "completion": "bbb"}]}).json()
    assert (found["predictions"], found["teacher"]) == ([{"score": 3.0}], "teachers/reward")


@pytest.mark.parametrize("path", ["/v2/models/active/infer", "/v2/models/active/versions/digest-of-vowels/infer"])
def test_v2_infers(http, desk, path):
    desk.activate("vowels")
    found = http.post(path, json=infer(tensor("text", ["aaa", "xyz"]), id="7")).json()

    outputs = {output["name"]: output for output in found["outputs"]}
    assert outputs["probabilities"]["data"] == pytest.approx([1 - AAA, AAA, 1 - XYZ, XYZ])
    assert (outputs["probabilities"]["shape"], outputs["label"]["data"]) == ([2, 2], [1, 0])
    assert (found["id"], found["model_name"], found["model_version"]) == ("7", "active", "digest-of-vowels")
    assert found["parameters"]["teacher"] == "teachers/vowels"


def test_v2_gives_the_outputs_that_are_asked_for(http, desk):
    desk.activate("vowels")
    chosen = http.post("/v2/models/active/infer", json=infer(tensor("text", ["aaa"]), outputs=[{"name": "label"}]))
    assert [output["name"] for output in chosen.json()["outputs"]] == ["label"]


@pytest.mark.parametrize("binary", [False, True])
async def test_the_sdk_client_is_answered(served, desk, binary):
    desk.activate("vowels")
    tensor_in = kserve.InferInput("text", [2], "BYTES")
    tensor_in.set_data_from_numpy(np.array(["aaa", "xyz"], dtype=object), binary_data=binary)
    request = kserve.InferRequest("active", [tensor_in], parameters={"binary_data_output": binary})
    async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2")) as client:
        assert await client.is_server_ready(served.http)
        response = await client.infer(served.http, request, "active")

    probabilities = response.get_output_by_name("probabilities").as_numpy()
    np.testing.assert_allclose(probabilities, [[1 - AAA, AAA], [1 - XYZ, XYZ]], rtol=1e-6)


def test_teachers_are_loaded_and_unloaded(http, desk):
    desk.activate("vowels")
    loaded = http.post("/v2/repository/models/letters/load")
    assert (loaded.json(), desk.loaded) == ({"name": "letters", "load": True}, {"vowels", "letters"})
    unloaded = http.post("/v2/repository/models/letters/unload")
    assert (unloaded.json(), desk.loaded) == ({"name": "letters", "unload": True}, {"vowels"})


def test_naming_a_teacher_loads_it(http, desk):
    assert http.post("/v1/models/letters:predict", json={"instances": ["a"]}).status_code == 200
    assert http.post("/v2/models/pairs/infer", json=infer(tensor("text", ["a"]), tensor("text_pair", ["b"]))).is_success
    assert desk.loaded == {"letters", "pairs"}


GOOD = {"instances": ["aaa"]}


@pytest.mark.parametrize(
    ("status", "words", "path", "content"),
    [
        (404, "teachers/nobody", "/v1/models/nobody:predict", GOOD),
        (404, "teachers/nobody", "/v2/models/nobody/infer", infer(tensor("text", ["a"]))),
        (404, "teachers/nobody", "/v2/repository/models/nobody/load", None),
        (412, "activate another", "/v2/repository/models/vowels/unload", None),
        (412, "digest-of-vowels", "/v2/models/active/versions/other/infer", infer(tensor("text", ["a"]))),
        (412, "teachers/mute", "/v1/models/mute:predict", GOOD),
        (503, "instances[1].text: the server went away", "/v1/models/active:predict", {"instances": ["a", "lost"]}),
        (500, "internal error; the server's log says more", "/v1/models/active:predict", {"instances": ["crash"]}),
        (405, "Method Not Allowed", "/v1/models/active:explain", GOOD),
    ],
)
def test_failures_are_json_with_their_status(http, desk, status, words, path, content):
    desk.activate("vowels")
    response = http.post(path, json=content)

    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert words in response.json()["error"]


@pytest.mark.parametrize(
    ("words", "content"),
    [
        ("body: is not JSON", b"{"),
        ("body: is not JSON", b'{"instances": ["\\ud800"]}'),
        ("instances: ", b"[]"),
        ("instances: ", b"{}"),
        ("instances: ", b'{"instances": []}'),
        ("instances[1]: ", b'{"instances": ["a", 1]}'),
        ("instances[0].text: is required", b'{"instances": [{"text_pair": "a"}]}'),
        ("instances[0].text: must be a string", b'{"instances": [{"text": 1}]}'),
        ("instances[1].text: is empty", b'{"instances": ["a", ""]}'),
        ("instances[0].words: is not known", b'{"instances": [{"text": "a", "words": "b"}]}'),
        ("instances[1].text: is bad", b'{"instances": ["a", "bad"]}'),
        ("instances[0].text_pair: is bad", b'{"instances": [{"text": "a", "text_pair": "bad"}]}'),
        ("text: at most 8 a call, got 9", json.dumps({"instances": ["a"] * 9}).encode()),
        ("instances[0].text: has 1,001", json.dumps({"instances": ["a" * 1001]}).encode()),
    ],
)
def test_wrong_v1_requests_are_refused_by_place(http, desk, words, content):
    desk.activate("vowels")
    response = http.post("/v1/models/active:predict", content=content)
    assert response.status_code == 400
    assert response.json()["error"].startswith(words)


def test_a_missing_pair_is_refused_by_place(http):
    response = http.post("/v1/models/pairs:predict", json={"instances": [{"text": "a", "text_pair": "b"}, "a"]})
    assert (response.status_code, response.json()) == (400, {"error": "instances[1].text_pair: is required"})


@pytest.mark.parametrize(
    ("words", "content"),
    [
        ("body: ", b"{"),
        ("inputs: Field required", b"{}"),
        ("inputs[0].shape: ", json.dumps(infer(tensor("text", ["a"], shape="a"))).encode()),
        ("text: is required", json.dumps(infer()).encode()),
        ("text: the data do not fill", json.dumps(infer(tensor("text", ["a"], shape=[2]))).encode()),
        ("text: the data do not fill", json.dumps(infer(tensor("text", ["a"], shape=[10**30]))).encode()),
        ("text: must have shape [N]", json.dumps(infer(tensor("text", ["a"], shape=[]))).encode()),
        ("text: must have shape [N]", json.dumps(infer(tensor("text", []))).encode()),
        ("text: must be BYTES", json.dumps(infer(tensor("text", [1], datatype="INT64"))).encode()),
        ("text[0]: must be a string", json.dumps(infer(tensor("text", [1]))).encode()),
        ("text[0]: must be a string", json.dumps(infer(tensor("text", [["a", "b"], ["c"]]))).encode()),
        ("text[1]: is empty", json.dumps(infer(tensor("text", ["a", ""]))).encode()),
        ("text: has no data", json.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}).encode()),
        ("outputs.words: ", json.dumps(infer(tensor("text", ["a"]), outputs=[{"name": "words"}])).encode()),
    ],
)
def test_wrong_v2_requests_are_refused_by_tensor_and_index(http, desk, words, content):
    desk.activate("vowels")
    response = http.post("/v2/models/active/infer", content=content)
    assert response.status_code == 400
    assert response.json()["error"].startswith(words)


@pytest.mark.parametrize(
    ("words", "size", "length", "data"),
    [
        ("text[0]: is not valid UTF-8", 5, None, b"\x01\x00\x00\x00\xff"),
        ("text: the data do not fill", 5, None, b"\x02\x00\x00\x00a"),
        ("text: has no data, nor a binary_data_size within", 6, None, b"\x01\x00\x00\x00a"),
        ("text: has no data, nor a binary_data_size within", -1, None, b""),
        ("inference-header-content-length: ", 5, "x", b""),
        ("inference-header-content-length: ", 5, "100000", b""),
        ("inference-header-content-length: ", 5, "9" * 5000, b""),
    ],
)
def test_wrong_binary_inputs_are_refused(http, desk, words, size, length, data):
    desk.activate("vowels")
    head = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    body = json.dumps({"inputs": [head]}).encode()
    headers = {"inference-header-content-length": length or str(len(body))}
    response = http.post("/v2/models/active/infer", content=body + data, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"].startswith(words)


def test_while_no_teacher_is_active_the_service_is_unavailable(http, desk):
    for response in (
        http.post("/v1/models/active:predict", json=GOOD),
        http.post("/v2/models/active/infer", json=infer(tensor("text", ["a"]))),
        http.get("/v2/models/active"),
    ):
        assert (response.status_code, response.json()) == (503, {"error": "no teacher is active"})
    assert desk.loaded == set()


def test_a_busy_teacher_says_when_to_come_back(http, desk):
    desk.activate("vowels")
    response = http.post("/v1/models/active:predict", json={"instances": ["busy"]})
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")


def test_a_fault_of_ours_is_in_the_log_and_the_connection_lives_on(served, desk, caplog):
    desk.activate("vowels")
    connection = http.client.HTTPConnection(served.http.removeprefix("http://"))
    connection.connect()
    line = connection.sock
    for text, status in (("crash", 500), ("aaa", 200), ("", 400), ("aaa", 200)):
        connection.request("POST", "/v1/models/active:predict", json.dumps({"instances": [text]}))
        response = connection.getresponse()
        assert (response.status, b"secret" in response.read()) == (status, False)
        assert connection.sock is line
    assert [str(record.exc_info[1]) for record in logged(caplog, lambda record: record.exc_info)] == ["a secret"]


def test_one_line_is_logged_a_request_and_none_of_its_content(http, desk, caplog):
    caplog.set_level(logging.INFO)
    desk.activate("vowels")
    http.post("/v1/models/active:predict?key=hidden", json={"instances": ["confidential"]})

    (record,) = logged(caplog, lambda record: record.getMessage() == "call")
    assert (record.method, record.code) == ("POST /v1/models/active:predict", 200)
    said = " ".join(str(vars(record)) for record in caplog.records if record.name != "httpx")
    assert "confidential" not in said
    assert "hidden" not in said


def test_bodies_over_the_limit_are_refused(served, http, desk):
    desk.activate("vowels")
    huge = b"x" * (MAX_BYTES + 1)
    for content in (huge, (huge[start : start + 65536] for start in range(0, len(huge), 65536))):
        response = http.post("/v1/models/active:predict", content=content)
        assert (response.status_code, list(response.json())) == (413, ["error"])
    assert http.post("/v1/models/active:predict", json=GOOD).status_code == 200


def test_there_are_no_other_pages(http):
    for path in ("/", "/docs", "/redoc", "/openapi.json", "/metrics", "/v2/models/", "/v2/health/ready/"):
        response = http.get(path)
        assert (response.status_code, response.json()) == (404, {"error": "Not Found"})
    assert http.get("/v2/models/active/infer").json() == {"error": "Method Not Allowed"}


async def test_a_taken_port_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = OipHttp(RuleDesk(), LIMITS, "127.0.0.1", taken.getsockname()[1], MAX_BYTES, Access())
        with pytest.raises(InvalidArgument, match=r"^http_port: cannot listen on 127\.0\.0\.1:[0-9]+; is it taken"):
            await server.start()


async def test_requests_in_flight_end_before_the_server_does_and_signals_are_left_alone():
    desk = RuleDesk()
    desk.activate("vowels")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = OipHttp(desk, LIMITS, "127.0.0.1", 0, MAX_BYTES, Access())
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://{server.address}") as client:
        sleepy = asyncio.create_task(client.post("/v1/models/active:predict", json={"instances": ["sleep 0.5"]}))
        while not desk.asked:
            await asyncio.sleep(0.01)
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        await server.stop(10)

        assert (await sleepy).status_code == 200
        with pytest.raises(httpx.ConnectError):
            await client.get("/v2/health/live")


async def test_a_stop_does_not_wait_longer_than_it_is_told():
    desk = RuleDesk()
    desk.activate("vowels")
    async with oip_served(desk) as served, httpx.AsyncClient(base_url=served.http) as client:
        sleepy = asyncio.create_task(client.post("/v1/models/active:predict", json={"instances": ["sleep 60"]}))
        while not desk.asked:
            await asyncio.sleep(0.01)
    with pytest.raises(httpx.HTTPError):
        await sleepy


def test_the_sdk_does_not_read_our_flags_nor_set_up_logs_or_signals():
    flag = "--protocol=ours"
    code = (
        "import logging, signal, sys\n"
        "before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)\n"
        "import w2s_supervisor.oip.http, w2s_supervisor.oip.servicer\n"
        f"assert sys.argv == ['-c', {flag!r}], sys.argv\n"
        "assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before\n"
        "loggers = [logging.getLogger(name) for name in (None, 'kserve', 'kserve.trace', 'uvicorn', 'uvicorn.error')]\n"
        "assert not any(logger.handlers for logger in loggers)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
