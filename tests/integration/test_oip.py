"""The supervisor's Open Inference Protocol as KServe's clients use it, and one supervisor as another's teacher."""

from __future__ import annotations

import json
import threading

import grpc
import httpx2
import kserve
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_supervisor.oip.sdk import pb as oip
from w2s_supervisor.oip.sdk import pb_grpc

SERVICE = "inference.GRPCInferenceService"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SWAPS = 4


@pytest.fixture(scope="session")
def addresses(services):
    """Where the shared supervisor listens."""
    return json.loads((services.folder / "supervisor.json").read_text())


@pytest.fixture
def http(addresses):
    with httpx2.Client(base_url=f"http://{addresses['http']}", timeout=60) as client:
        yield client


@pytest.fixture
def stub(addresses):
    with grpc.insecure_channel(addresses["grpc"]) as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)


def probabilities(response):
    return np.array([label.probabilities for label in response.labels])


def tensors(examples):
    columns = {"text": [one.text for one in examples], "text_pair": [one.text_pair for one in examples]}
    return [kserve.InferInput(name, [len(texts)], "BYTES", texts) for name, texts in columns.items()]


def infer_request(examples, model="active", **fields):
    return kserve.InferRequest(model, tensors(examples), **fields)


async def test_every_protocol_answers_as_label_does(supervisor, active, addresses, http, examples):
    expected = supervisor.Label(examples=examples)
    async with kserve.InferenceGRPCClient(addresses["grpc"]) as client:
        over_grpc = await client.infer(infer_request(examples))
    async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2")) as client:
        over_http = await client.infer(f"http://{addresses['http']}", infer_request(examples), "active")
    instances = [{"text": one.text, "text_pair": one.text_pair} for one in examples]
    v1 = http.post("/v1/models/active:predict", json={"instances": instances}).json()

    for found in (
        over_grpc.get_output_by_name("probabilities").as_numpy(),
        over_http.get_output_by_name("probabilities").as_numpy(),
        [one["probabilities"] for one in v1["predictions"]],
    ):
        np.testing.assert_allclose(found, probabilities(expected), atol=1e-5)
    labels = [label.label for label in expected.labels]
    assert over_grpc.get_output_by_name("label").as_numpy().tolist() == labels
    assert [one["label"] for one in v1["predictions"]] == labels
    assert over_grpc.model_version == v1["digest"] == active.version.digest
    assert (v1["teacher"], v1["revision"]) == (active.name, active.version.revision)


def test_metadata_names_the_version_that_a_request_may_require(stub, active, teachers, examples, refused):
    metadata = stub.ModelMetadata(oip.ModelMetadataRequest(name="active"))
    assert (list(metadata.versions), metadata.platform) == ([active.version.digest], "w2s")
    pinned = infer_request(examples[:2], model_version=active.version.digest)
    assert stub.ModelInfer(pinned.to_grpc()).model_version == active.version.digest

    other = infer_request(examples[:2], model_version=teachers.b.version.digest)
    with refused("FAILED_PRECONDITION", words=teachers.b.version.digest):
        stub.ModelInfer(other.to_grpc())
    with refused("INVALID_ARGUMENT", "text_pair[1]"):
        stub.ModelInfer(infer_request([examples[0], common.Example(text="alone")]).to_grpc())
    with refused("NOT_FOUND"):
        stub.ModelReady(oip.ModelReadyRequest(name="nobody"))


def test_the_repository_loads_and_unloads_teachers(supervisor, active, weak, http, stub, refused):
    teacher = supervisor.register("oip", weak.result.model)

    def state():
        return supervisor.GetTeacher(name=teacher.name).state

    assert stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name="oip")).isLoaded
    assert state() == pb.TEACHER_STATE_LOADED
    assert http.get("/v2/models/oip/ready").status_code == 200
    assert http.post("/v2/repository/models/oip/unload").json() == {"name": "oip", "unload": True}
    assert state() == pb.TEACHER_STATE_REGISTERED
    assert http.get("/v2/models/oip/ready").status_code == 503
    assert http.post("/v2/repository/models/a/unload").status_code == 412
    with refused("NOT_FOUND"):
        stub.RepositoryModelUnload(oip.RepositoryModelUnloadRequest(model_name="nobody"))
    assert {"active", "a", "oip"} <= set(http.get("/v2/models").json()["models"])


def test_swaps_fail_no_request_and_every_answer_says_whose_it_is(supervisor, active, teachers, http, stub, examples):
    asked = examples[:4]
    expected = {
        teacher.version.digest: probabilities(supervisor.Label(examples=asked, teacher=teacher.name))
        for teacher in (teachers.a, teachers.b)
    }
    instances = [{"text": one.text, "text_pair": one.text_pair} for one in asked]
    stopping = threading.Event()
    seen, failures = set(), []

    def check(digest, found):
        seen.add(digest)
        np.testing.assert_allclose(np.reshape(found, (len(asked), 2)), expected[digest], atol=1e-5)

    def ask():
        while not stopping.is_set():
            try:
                found = http.post("/v1/models/active:predict", json={"instances": instances}).raise_for_status().json()
                check(found["digest"], [one["probabilities"] for one in found["predictions"]])
                response = stub.ModelInfer(infer_request(asked).to_grpc())
                check(response.model_version, response.outputs[0].contents.fp32_contents)
            except Exception as error:  # the thread's end would go unnoticed
                failures.append(error)
                return

    asker = threading.Thread(target=ask)
    asker.start()
    for swap in range(SWAPS):
        supervisor.activate((teachers.b, teachers.a)[swap % 2])
    stopping.set()
    asker.join(60)

    assert failures == []
    assert seen == set(expected)


def health(channel):
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE)).status


def inference_spec(url, **fields):
    spec = pb.InferenceBackend(
        url=url, model="active", label_names=["irrelevant", "relevant"], pair_input="text_pair", **fields
    )
    return pb.TeacherSpec(inference=spec)


def test_a_supervisor_is_another_ones_teacher(serve, supervisor, active, teachers, addresses, examples, refused):
    urls = {"remote-grpc": f"grpc://{addresses['grpc']}", "remote-http": f"http://{addresses['http']}"}
    expected = probabilities(supervisor.Label(examples=examples))
    server = serve("supervisor", *(f"--endpoints={url}" for url in urls.values()))
    with (
        server.client() as other,
        grpc.insecure_channel(server.target) as channel,
        httpx2.Client(base_url=f"http://{server.addresses['http']}", timeout=60) as http,
    ):
        assert health(channel) == NOT_SERVING
        assert (http.get("/v2/health/live").status_code, http.get("/v2/health/ready").status_code) == (200, 503)
        assert http.post("/v1/models/active:predict", json={"instances": ["a"]}).status_code == 503
        with refused("INVALID_ARGUMENT", "spec.inference.url"):
            other.RegisterTeacher(teacher_id="bad", spec=inference_spec("grpc://elsewhere:80"))

        for id_, url in urls.items():
            teacher = other.RegisterTeacher(teacher_id=id_, spec=inference_spec(url))
            assert teacher.version.revision == active.version.digest
            assert other.activate(teacher).status.state == common.JOB_STATE_SUCCEEDED
            np.testing.assert_allclose(probabilities(other.Label(examples=examples)), expected, atol=1e-5)
        assert health(channel) == SERVING
        found = http.get("/v2/models/active").json()
        assert (http.get("/v2/health/ready").status_code, found["versions"]) == (200, [teacher.version.digest])

        supervisor.activate(teachers.b)
        for id_ in urls:
            with refused("FAILED_PRECONDITION", words=teachers.b.version.digest):
                other.Label(examples=examples, teacher=f"teachers/{id_}")


def test_the_protocol_can_be_switched_off(serve, refused):
    server = serve("supervisor", "--no-oip")
    assert "http" not in server.addresses
    with grpc.insecure_channel(server.target) as channel, refused("UNIMPLEMENTED"):
        pb_grpc.GRPCInferenceServiceStub(channel).ServerLive(oip.ServerLiveRequest())
