from __future__ import annotations

import contextlib
import json
import struct

import grpc
import kserve
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from w2s.models.inputs import Completion, Row
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.oip.sdk import pb

# P(many) = (vowels + 1) / (letters + 2).
AAA, XYZ, XYZ_AB = 4 / 5, 1 / 5, 2 / 7


@contextlib.contextmanager
def refused(code, field=None, words=""):
    with pytest.raises(grpc.RpcError) as caught:
        yield
    error = caught.value
    assert (error.code().name, words in error.details()) == (code, True), error.details()
    if field is not None:
        detail = error_details_pb2.BadRequest()
        assert rpc_status.from_call(error).details[0].Unpack(detail)
        assert [violation.field for violation in detail.field_violations] == [field]


def tensor(name, texts, shape=None, datatype="BYTES"):
    contents = pb.InferTensorContents(bytes_contents=[text.encode() for text in texts])
    return pb.ModelInferRequest.InferInputTensor(
        name=name, datatype=datatype, shape=[len(texts)] if shape is None else shape, contents=contents
    )


def asked(*inputs, model="active", **fields):
    return pb.ModelInferRequest(model_name=model, inputs=inputs, **fields)


def column(response, name):
    """An output's values, in the typed contents."""
    (found,) = [output for output in response.outputs if output.name == name]
    (values,) = [list(values) for _, values in found.contents.ListFields()]
    return values


@pytest.fixture
async def client(served):
    async with kserve.InferenceGRPCClient(served.grpc) as found:
        yield found


async def test_a_server_is_ready_once_a_teacher_is_active(client, desk):
    assert await client.is_server_live()
    assert not await client.is_server_ready()
    assert not await client.is_model_ready("active")

    desk.activate("vowels")
    assert await client.is_server_ready()
    assert [await client.is_model_ready(name) for name in ("active", "vowels", "reward")] == [True, True, False]


def test_a_server_says_what_it_is(stub):
    found = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert (found.name, list(found.extensions)) == ("w2s-supervisor", ["model_repository_extension"])


def described(tensors):
    return [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in tensors]


@pytest.mark.parametrize("name", ["vowels", "active"])
def test_metadata_describes_a_teacher_that_labels(stub, desk, name):
    desk.activate("vowels")
    found = stub.ModelMetadata(pb.ModelMetadataRequest(name=name))

    assert (found.name, list(found.versions), found.platform) == (name, ["digest-of-vowels"], "w2s")
    assert described(found.inputs) == [("text", "BYTES", [-1]), ("text_pair", "BYTES", [-1])]
    assert described(found.outputs) == [
        ("probabilities", "FP32", [-1, 2]),
        ("label", "INT64", [-1]),
        ("confidence", "FP32", [-1]),
    ]


def test_metadata_describes_a_teacher_that_scores(stub):
    found = stub.ModelMetadata(pb.ModelMetadataRequest(name="reward"))
    assert described(found.inputs) == [("prompt", "BYTES", [-1]), ("completion", "BYTES", [-1])]
    assert described(found.outputs) == [("score", "FP64", [-1])]


def test_models_that_are_not_there_have_no_metadata(stub):
    with refused("NOT_FOUND", words="teachers/nobody"):
        stub.ModelMetadata(pb.ModelMetadataRequest(name="nobody"))
    with refused("NOT_FOUND", words="teachers/nobody"):
        stub.ModelReady(pb.ModelReadyRequest(name="nobody"))
    with refused("FAILED_PRECONDITION", words="no teacher is active"):
        stub.ModelMetadata(pb.ModelMetadataRequest(name="active"))
    with refused("FAILED_PRECONDITION", words="teachers/mute"):
        stub.ModelMetadata(pb.ModelMetadataRequest(name="mute"))


def test_labels_say_who_gave_them(stub, desk):
    desk.activate("vowels")
    response = stub.ModelInfer(asked(tensor("text", ["aaa", "xyz"]), id="7"))

    assert column(response, "probabilities") == pytest.approx([1 - AAA, AAA, 1 - XYZ, XYZ])
    assert column(response, "label") == [1, 0]
    assert column(response, "confidence") == pytest.approx([AAA, 1 - XYZ])
    assert [list(output.shape) for output in response.outputs] == [[2, 2], [2], [2]]
    assert (response.id, response.model_name, response.model_version) == ("7", "active", "digest-of-vowels")
    assert {key: value.string_param for key, value in response.parameters.items()} == {
        "teacher": "teachers/vowels",
        "revision": "rule-1",
        "digest": "digest-of-vowels",
    }
    assert json.loads(response.outputs[0].parameters["label_names"].string_param) == ["few", "many"]
    assert desk.asked == [(Lane.ONLINE, [Row("aaa"), Row("xyz")])]


async def test_the_sdk_client_is_answered_as_it_asks(client, desk):
    desk.activate("vowels")
    typed = kserve.InferInput("text", [2], "BYTES", ["aaa", "xyz"])
    raw = kserve.InferInput("text", [2], "BYTES")
    raw.set_data_from_numpy(np.array(["aaa", "xyz"], dtype=object))

    for tensor_in in (typed, raw):
        response = await client.infer(kserve.InferRequest("active", [tensor_in]))
        probabilities = response.get_output_by_name("probabilities").as_numpy()
        np.testing.assert_allclose(probabilities, [[1 - AAA, AAA], [1 - XYZ, XYZ]], rtol=1e-6)
        assert response.get_output_by_name("label").as_numpy().tolist() == [1, 0]


def test_raw_requests_have_raw_responses(stub, desk):
    desk.activate("vowels")
    bare = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1])
    response = stub.ModelInfer(asked(bare, raw_input_contents=[struct.pack("<I", 3) + b"aaa"]))

    assert np.frombuffer(response.raw_output_contents[0], "<f4").tolist() == pytest.approx([1 - AAA, AAA])
    assert np.frombuffer(response.raw_output_contents[1], "<i8").tolist() == [1]


def test_pairs_are_labelled_together_in_whichever_order_the_inputs_come(stub):
    response = stub.ModelInfer(asked(tensor("text_pair", ["ab"]), tensor("text", ["xyz"]), model="vowels"))
    assert column(response, "probabilities") == pytest.approx([1 - XYZ_AB, XYZ_AB])


def test_completions_are_scored(stub, desk):
    inputs = tensor("prompt", ["a", "a"]), tensor("completion", ["bb", "ccc"])
    response = stub.ModelInfer(asked(*inputs, model="reward"))

    assert column(response, "score") == [2.0, 3.0]
    assert response.outputs[0].datatype == "FP64"
    assert desk.asked == [(Lane.ONLINE, [Completion("a", "bb"), Completion("a", "ccc")])]


def test_outputs_can_be_chosen(stub):
    chosen = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in ("label", "confidence")]
    response = stub.ModelInfer(asked(tensor("text", ["aaa"]), model="vowels", outputs=chosen))
    assert [output.name for output in response.outputs] == ["label", "confidence"]

    unknown = [pb.ModelInferRequest.InferRequestedOutputTensor(name="logits")]
    with refused("INVALID_ARGUMENT", "outputs.logits"):
        stub.ModelInfer(asked(tensor("text", ["aaa"]), model="vowels", outputs=unknown))


def test_naming_a_teacher_loads_it(stub, desk):
    stub.ModelInfer(asked(tensor("text", ["aaa"]), model="letters"))
    assert desk.loaded == {"letters"}


def test_nobody_answers_while_no_teacher_is_active(stub, desk):
    with refused("FAILED_PRECONDITION", words="no teacher is active"):
        stub.ModelInfer(asked(tensor("text", ["aaa"])))
    assert desk.loaded == set()


def test_a_version_is_a_digest_that_must_be_right(stub, desk):
    desk.activate("vowels")
    response = stub.ModelInfer(asked(tensor("text", ["aaa"]), model_version="digest-of-vowels"))
    assert response.model_version == "digest-of-vowels"

    with refused("FAILED_PRECONDITION", words="digest-of-vowels"):
        stub.ModelInfer(asked(tensor("text", ["aaa"]), model_version="digest-of-letters"))
    with refused("FAILED_PRECONDITION"):
        stub.ModelMetadata(pb.ModelMetadataRequest(name="active", version="digest-of-letters"))
    with refused("FAILED_PRECONDITION"):
        stub.ModelReady(pb.ModelReadyRequest(name="active", version="digest-of-letters"))
    assert stub.ModelReady(pb.ModelReadyRequest(name="active", version="digest-of-vowels")).ready


def raw(*contents, names=("text",), shape=(2,)):
    tensors = [pb.ModelInferRequest.InferInputTensor(name=name, datatype="BYTES", shape=shape) for name in names]
    return asked(*tensors, raw_input_contents=contents)


def packed(*texts):
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def invalid_utf8():
    request = asked(tensor("text", ["aaa", "b"]))
    request.inputs[0].contents.bytes_contents[1] = b"\xff"
    return request


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("text", asked()),
        ("text", asked(tensor("text_pair", ["a"]))),
        ("words", asked(tensor("text", ["a"]), tensor("words", ["a"]))),
        ("text", asked(tensor("text", ["a"]), tensor("text", ["a"]))),
        ("text", asked(tensor("text", ["a"], datatype="FP32"))),
        ("text", asked(tensor("text", ["a"], datatype="TEXT"))),
        ("text", asked(tensor("text", ["a"], shape=[2]))),
        ("text", asked(tensor("text", ["a", "b"], shape=[1]))),
        ("text", asked(tensor("text", ["a"], shape=[1, 1]))),
        ("text", asked(tensor("text", ["a"], shape=[-1]))),
        ("text", asked(tensor("text", []))),
        ("text_pair", asked(tensor("text", ["a", "b"]), tensor("text_pair", ["a"]))),
        ("text[1]", asked(tensor("text", ["a", ""]))),
        ("text[1]", invalid_utf8()),
        ("text[1]", raw(packed(b"a", b"\xff"))),
        ("text", raw(packed(b"a"))),
        ("text", raw(packed(b"a", b"b")[:-1])),
        ("text", raw(b"\xff\xff\xff\xff")),
        ("raw_input_contents", raw(packed(b"a", b"b"), packed(b"a", b"b"))),
        ("raw_input_contents", asked(tensor("text", ["a"]), raw_input_contents=[packed(b"a")])),
        ("text", asked(tensor("text", ["a"] * 9))),
        ("text[1]", asked(tensor("text", ["a", "b" * 1000]))),
        ("prompt", asked(tensor("completion", ["a"]), model="reward")),
        ("text", asked(tensor("text", ["a"]), model="reward")),
        ("completion[0]", asked(tensor("prompt", ["a"]), tensor("completion", [""]), model="reward")),
        ("text_pair[1]", asked(tensor("text", ["a", "b"]), tensor("text_pair", ["a", ""]), model="pairs")),
        ("text[1]", asked(tensor("text", ["aaa", "bad"]))),
        ("text_pair[1]", asked(tensor("text", ["aaa", "b"]), tensor("text_pair", ["", "bad"]))),
    ],
)
def test_wrong_inputs_are_refused_by_name_and_index(stub, desk, field, request_):
    desk.activate("vowels")
    with refused("INVALID_ARGUMENT", field):
        stub.ModelInfer(request_)


def test_one_row_that_fails_fails_the_request_with_its_status(stub, desk):
    desk.activate("vowels")
    with refused("UNAVAILABLE", words="text[2]: the server went away"):
        stub.ModelInfer(asked(tensor("text", ["aaa", "xyz", "lost"])))


def test_a_busy_teacher_says_when_to_come_back(stub, desk):
    desk.activate("vowels")
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(asked(tensor("text", ["busy"])))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info = error_details_pb2.RetryInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.retry_delay.ToTimedelta().total_seconds() == 2.5


def test_a_fault_of_ours_is_not_told(stub, desk):
    desk.activate("vowels")
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(asked(tensor("text", ["crash"])))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in caught.value.details()


def test_teachers_are_loaded_and_unloaded(stub, desk):
    desk.activate("vowels")
    loaded = stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="letters"))
    assert (loaded.model_name, loaded.isLoaded, desk.loaded) == ("letters", True, {"vowels", "letters"})
    assert stub.ModelReady(pb.ModelReadyRequest(name="letters")).ready

    unloaded = stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="letters"))
    assert (unloaded.model_name, unloaded.isUnloaded, desk.loaded) == ("letters", True, {"vowels"})


def test_what_cannot_be_loaded_or_unloaded_is_said(stub, desk):
    desk.activate("vowels")
    with refused("NOT_FOUND"):
        stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="nobody"))
    with refused("NOT_FOUND"):
        stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="nobody"))
    with refused("FAILED_PRECONDITION", words="activate another first"):
        stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="vowels"))
    with refused("INVALID_ARGUMENT", "model_name"):
        stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="active"))
