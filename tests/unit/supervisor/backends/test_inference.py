# ruff: noqa: N802 - names of RPCs and of HTTP methods
from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import grpc.aio
import httpx2
import numpy as np
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from w2s.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    W2SError,
)
from w2s.models.inputs import Row
from w2s_supervisor.backends.inference import InferenceOpener
from w2s_supervisor.backends.inference.outputs import labels_of
from w2s_supervisor.backends.protocol import Ability, Lane
from w2s_supervisor.endpoints import Endpoints
from w2s_supervisor.oip.sdk import pb, pb_grpc
from w2s_supervisor.spec import InferenceBackend

HELPERS = Path(__file__).parents[3] / "helpers"
FIELD = "spec.inference"
NAMES = ("few", "many")
TRANSPORTS = ["grpc", "http"]


@contextlib.contextmanager
def running(*command):
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def _supervisor():
    with running(HELPERS / "oip.py") as process:
        found = json.loads(process.stdout.readline())
        yield process, {"grpc": f"grpc://{found['grpc']}", "http": found["http"]}


@pytest.fixture
def urls(_supervisor, activate):
    """A supervisor in another process by transport; `vowels` is active."""
    activate("vowels")
    return _supervisor[1]


@pytest.fixture
def activate(_supervisor):
    process, _ = _supervisor

    def make(teacher):
        process.stdin.write(f"{teacher}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "active\n"

    return make


@pytest.fixture(scope="session")
def stock():
    """A server of the KServe SDK's own in another process, by transport."""
    with running(HELPERS / "kserve_stock.py") as process:
        ports = json.loads(process.stdout.readline())
        url = f"http://127.0.0.1:{ports['http']}"
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{url}/v2/models/parity/ready").is_success:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield {"grpc": f"grpc://127.0.0.1:{ports['grpc']}", "http": url}


@pytest.fixture
def kinds():
    """What the opener says of failed requests."""
    return []


@pytest.fixture
def opener(kinds):
    """Makes openers that may ask some servers."""
    return lambda *urls, **fields: InferenceOpener(Endpoints(urls, **fields), kinds.append)


@pytest.fixture
async def connect(opener):
    """Identifies a model and opens it, as the supervisor does."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(spec, **fields):
            found = opener(spec.url, **fields)
            backend = await found.open(spec, await found.identify(spec, FIELD))
            stack.push_async_callback(backend.close)
            return backend

        yield make


def ours(url, model="active", **fields):
    return InferenceBackend(url=url, model=model, **{"label_names": NAMES, **fields})


def theirs(url, **fields):
    defaults = {"model": "parity", "label_names": ("odd", "even"), "text_input": "questions", "output": "scores"}
    return InferenceBackend(url=url, **{**defaults, **fields})


def rows(*texts):
    return [Row(text) for text in texts]


def second_class(answers):
    """The second class's probabilities, and the kinds of the errors."""
    return [
        type(answer).__name__ if isinstance(answer, W2SError) else round(float(answer.probabilities[1]), 5)
        for answer in answers
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_supervisor_says_who_its_teacher_is(opener, urls, activate, transport):
    spec = ours(urls[transport])
    found = opener(spec.url)
    identity = await found.identify(spec, FIELD)

    assert (identity.revision, identity.label_names) == ("digest-of-vowels", NAMES)
    assert identity.abilities == {Ability.LABEL}
    assert identity.digest.startswith("sha256:")
    assert await found.identify(spec, FIELD) == identity
    changes = [{"label_names": ("many", "few")}, {"logits": True}, {"pair_input": "text_pair"}]
    others = [await found.identify(ours(spec.url, **change), FIELD) for change in changes]
    activate("letters")
    others.append(await found.identify(spec, FIELD))
    assert len({identity.digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_many_rows_are_labelled_in_order(connect, urls, transport):
    backend = await connect(ours(urls[transport]))
    # The supervisor takes 8 rows a request, and so the requests are halved three times.
    answers = await backend.label(rows(*("a" * n + "x" * (9 - n) for n in range(10)), "é"), Lane.ONLINE)

    # P(many) = (vowels + 1) / (letters + 2).
    assert second_class(answers) == [*(round((n + 1) / 11, 5) for n in range(10)), round(1 / 3, 5)]
    np.testing.assert_allclose(answers[2].logits, np.log(answers[2].probabilities), rtol=1e-5)
    assert not backend.needs_pairs


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_bad_row_fails_alone(connect, urls, kinds, transport):
    backend = await connect(ours(urls[transport]))
    answers = await backend.label(rows("aaa", "bad", "xyz", "bad"), Lane.ONLINE)

    assert second_class(answers) == [0.8, "InvalidArgument", 0.2, "InvalidArgument"]
    assert "is bad" in answers[1].message
    assert set(kinds) == {"invalid_argument"}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_pairs_are_sent_to_models_that_take_them(connect, urls, transport):
    pairs = await connect(ours(urls[transport], pair_input="text_pair"))
    assert pairs.needs_pairs
    assert second_class(await pairs.label([Row("xyz", "ab")], Lane.ONLINE)) == [round(2 / 7, 5)]

    single = await connect(ours(urls[transport]))
    assert second_class(await single.label([Row("xyz"), Row("xyz", "ab")], Lane.ONLINE)) == [0.2, "InvalidArgument"]
    assert second_class(await single.label([Row("xyz", "ab")], Lane.ONLINE)) == ["InvalidArgument"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_swap_on_the_server_is_noticed(connect, urls, activate, transport):
    backend = await connect(ours(urls[transport]))
    activate("letters")
    with pytest.raises(FailedPrecondition, match="version digest-of-letters, and this teacher is digest-of-vowels"):
        await backend.label(rows("aaa"), Lane.ONLINE)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_version_is_passed_on(connect, opener, urls, activate, transport):
    spec = ours(urls[transport], model_version="digest-of-vowels")
    backend = await connect(spec)
    assert second_class(await backend.label(rows("aaa"), Lane.ONLINE)) == [0.8]

    activate("letters")
    with pytest.raises(FailedPrecondition, match="has digest digest-of-letters"):
        await backend.label(rows("aaa"), Lane.ONLINE)
    with pytest.raises(FailedPrecondition):
        await opener(spec.url).identify(spec, FIELD)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_model_that_is_another_now_is_not_opened(opener, urls, activate, transport):
    spec = ours(urls[transport])
    found = opener(spec.url)
    identity = await found.identify(spec, FIELD)
    activate("letters")
    with pytest.raises(FailedPrecondition, match="is another now"):
        await found.open(spec, identity)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_models_that_are_not_there_are_not_identified(opener, urls, transport):
    url = urls[transport]
    with pytest.raises(NotFound, match="teachers/nobody"):
        await opener(url).identify(ours(url, "nobody"), FIELD)
    with pytest.raises(Unavailable, match=r"model reward at .* is not ready"):
        await opener(url).identify(ours(url, "reward"), FIELD)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_stock_kserve_server_labels(connect, opener, stock, transport):
    spec = theirs(stock[transport])
    identity = await opener(spec.url).identify(spec, FIELD)
    assert (identity.revision, identity.label_names) == ("unversioned", ("odd", "even"))

    backend = await connect(spec)
    texts = ["x" * n for n in range(1, 200)]
    assert second_class(await backend.label(rows(*texts), Lane.BULK)) == [0.25, 0.75] * 99 + [0.25]
    answers = await backend.label(rows("ab", "bad", "abc"), Lane.ONLINE)
    assert second_class(answers) == [0.75, "InvalidArgument", 0.25]
    assert second_class(await backend.label(rows("half"), Lane.ONLINE)) == ["Internal"]
    with pytest.raises(Internal, match=f"model parity at {spec.url}"):
        await backend.label(rows("ab", "crash"), Lane.ONLINE)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("text_input", {"text_input": "text"}),
        ("pair_input", {"pair_input": "answers"}),
        ("output", {"output": "probabilities"}),
        ("output", {"output": "classes"}),
        ("label_names", {"label_names": ("odd", "even", "other")}),
    ],
)
async def test_a_spec_must_fit_what_the_server_says(opener, stock, transport, field, fields):
    spec = theirs(stock[transport], **fields)
    with pytest.raises(InvalidArgument) as caught:
        await opener(spec.url).identify(spec, FIELD)
    assert caught.value.field == f"{FIELD}.{field}"


async def test_only_allowed_servers_are_asked(opener):
    for url in ("grpc://127.0.0.1:9", "grpc://127.0.0.1:1/below"):
        with pytest.raises(InvalidArgument) as caught:
            await opener("grpc://127.0.0.1:1").identify(ours(url), FIELD)
        assert caught.value.field == f"{FIELD}.url"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_that_is_not_there_is_unavailable(opener, kinds, transport):
    url = f"{transport}://127.0.0.1:1"
    with pytest.raises(Unavailable, match=f"model active at {url}"):
        await opener(url).identify(ours(url), FIELD)
    assert kinds == ["unavailable"] * 4


def test_neither_the_sdk_nor_models_are_imported_before_they_are_needed():
    code = "import sys, w2s_supervisor.app; assert not {'kserve', 'w2s.models.loading'} & sys.modules.keys()"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


class Scripted(pb_grpc.GRPCInferenceServiceServicer):
    """Acts on each inference as a test says, and gives every row even chances unless told otherwise."""

    def __init__(self):
        self.acts = []
        self.sizes = []
        self.tokens = []
        self.at_once = self.most_at_once = 0
        self.version = ""

    async def ModelReady(self, request, context):
        return pb.ModelReadyResponse(ready=True)

    async def ModelMetadata(self, request, context):
        return pb.ModelMetadataResponse(name=request.name)

    async def ModelInfer(self, request, context):
        (tensor,) = request.inputs
        self.sizes.append(tensor.shape[0])
        self.tokens.append(dict(context.invocation_metadata()).get("authorization"))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            act = self.acts.pop(0) if self.acts else None
            found = await act(context) if act else None
        finally:
            self.at_once -= 1
        return found or even(tensor.shape[0])


def even(count):
    return answer([count, 2], [0.5] * (2 * count))


def answer(shape, values, datatype="FP32", name="probabilities"):
    contents = pb.InferTensorContents(fp32_contents=values if datatype == "FP32" else [])
    if datatype == "FP64":
        contents = pb.InferTensorContents(fp64_contents=values)
    if datatype == "INT64":
        contents = pb.InferTensorContents(int64_contents=values)
    output = pb.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype, shape=shape, contents=contents)
    return pb.ModelInferResponse(model_name="scripted", outputs=[output])


def gives(response):
    async def act(context):
        return response

    return act


def aborts(code, words="as the script says"):
    async def act(context):
        await context.abort(code, words)

    return act


def sleeps(seconds):
    async def act(context):
        await asyncio.sleep(seconds)

    return act


def busy_for(seconds):
    async def act(context):
        status = status_pb2.Status(code=8, message="busy")
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(seconds * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        await context.abort_with_status(rpc_status.to_status(status))

    return act


@pytest.fixture
async def scripted():
    servicer = Scripted()
    server = grpc.aio.server()
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    servicer.url = f"grpc://127.0.0.1:{port}"
    yield servicer
    await server.stop(None)


@pytest.fixture
async def backend(scripted, connect):
    return await connect(ours(scripted.url))


async def test_a_server_that_is_away_for_a_moment_is_asked_again(scripted, backend, kinds):
    scripted.acts = [aborts(grpc.StatusCode.UNAVAILABLE), aborts(grpc.StatusCode.UNAVAILABLE)]
    assert second_class(await backend.label(rows("a"), Lane.ONLINE)) == [0.5]
    assert kinds == ["unavailable"] * 2


async def test_a_server_is_asked_four_times_at_most(scripted, backend, kinds):
    scripted.acts = [busy_for(0.01)] * 9
    with pytest.raises(ResourceExhausted, match="busy"):
        await backend.label(rows("a"), Lane.ONLINE)
    assert (len(scripted.sizes), kinds) == (4, ["resource_exhausted"] * 4)


async def test_a_busy_server_is_left_alone_as_long_as_it_asks(scripted, backend):
    scripted.acts = [busy_for(0.6)]
    start = time.monotonic()
    assert second_class(await backend.label(rows("a"), Lane.ONLINE)) == [0.5]
    assert time.monotonic() - start >= 0.6


async def test_a_pause_that_outlasts_the_time_is_not_made(scripted, connect):
    backend = await connect(ours(scripted.url, timeout_s=2))
    scripted.acts = [busy_for(30)]
    start = time.monotonic()
    with pytest.raises(ResourceExhausted) as caught:
        await backend.label(rows("a"), Lane.ONLINE)
    assert caught.value.retry_after_s == 30
    assert time.monotonic() - start < 1


async def test_a_server_that_is_slow_is_given_up(scripted, connect, kinds):
    backend = await connect(ours(scripted.url, timeout_s=0.3))
    scripted.acts = [sleeps(30)]
    with pytest.raises(DeadlineExceeded):
        await backend.label(rows("a"), Lane.ONLINE)
    assert kinds == ["deadline_exceeded"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INTERNAL, Internal),
        (grpc.StatusCode.UNKNOWN, Internal),
        (grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition),
        (grpc.StatusCode.UNAUTHENTICATED, FailedPrecondition),
        (grpc.StatusCode.UNIMPLEMENTED, FailedPrecondition),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
    ],
)
async def test_other_errors_are_passed_on_at_once(scripted, backend, code, error):
    scripted.acts = [aborts(code)]
    with pytest.raises(error):
        await backend.label(rows("a", "b"), Lane.ONLINE)
    assert scripted.sizes == [2]


async def test_a_request_that_is_too_large_is_halved(scripted, backend):
    scripted.acts = [aborts(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 8)")]
    assert second_class(await backend.label(rows("a", "b", "c"), Lane.ONLINE)) == [0.5] * 3
    assert scripted.sizes == [3, 1, 2]


@pytest.mark.parametrize(("lane", "at_once"), [(Lane.ONLINE, 8), (Lane.BULK, 4)])
async def test_requests_are_bounded_in_size_and_number(scripted, backend, lane, at_once):
    scripted.acts = [sleeps(0.05)] * 16
    answers = await backend.label(rows(*map(str, range(16 * 64 - 1))), lane)

    assert second_class(answers) == [0.5] * (16 * 64 - 1)
    assert (sorted(scripted.sizes), scripted.most_at_once) == ([63] + [64] * 15, at_once)


async def test_callers_who_would_wait_long_are_refused(scripted, backend):
    scripted.acts = [sleeps(30)] * 8
    waiting = asyncio.create_task(backend.label(rows(*["a"] * 4096), Lane.STREAM))
    while len(scripted.sizes) < 8:
        await asyncio.sleep(0.01)
    with pytest.raises(ResourceExhausted, match="4096 rows wait"):
        await backend.label(rows("a"), Lane.ONLINE)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert second_class(await backend.label(rows("a"), Lane.ONLINE)) == [0.5]


async def test_one_failed_request_ends_the_others(scripted, backend):
    scripted.acts = [sleeps(30), aborts(grpc.StatusCode.INTERNAL)]
    start = time.monotonic()
    with pytest.raises(Internal):
        await backend.label(rows(*["a"] * 128), Lane.ONLINE)
    assert time.monotonic() - start < 10


async def test_a_row_without_a_distribution_has_no_label(scripted, backend):
    scripted.acts = [gives(answer([3, 2], [0.25, 0.75, float("nan"), 0.5, 0.5, 0.6]))]
    answers = await backend.label(rows("a", "b", "c"), Lane.ONLINE)
    assert second_class(answers) == [0.75, "Internal", "Internal"]
    assert "sum to 1.1" in answers[2].message


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (answer([1, 3], [0.2, 0.3, 0.5]), r"shape \(1, 3\), not \(1, 2\)"),
        (answer([2], [0.5, 0.5]), r"shape \(2,\), not \(1, 2\)"),
        (answer([1, 2], [0.5]), "not one of the Open Inference Protocol"),
        (answer([1, 2], [0, 1], "INT64"), "is INT64, not one of FP16, FP32, FP64"),
        (answer([1, 2], [], "BF16"), "not one of the Open Inference Protocol"),
        (answer([1, 2], [0.5, 0.5], name="scores"), "no output probabilities, only scores"),
    ],
)
async def test_answers_of_another_shape_or_type_are_refused(scripted, backend, response, words):
    scripted.acts = [gives(response)]
    with pytest.raises(FailedPrecondition, match=words):
        await backend.label(rows("a"), Lane.ONLINE)


async def test_raw_answers_are_read(scripted, backend):
    output = pb.ModelInferResponse.InferOutputTensor(name="probabilities", datatype="FP16", shape=[1, 2])
    content = np.array([[0.25, 0.75]], dtype="<f2").tobytes()
    scripted.acts = [gives(pb.ModelInferResponse(outputs=[output], raw_output_contents=[content]))]
    assert second_class(await backend.label(rows("a"), Lane.ONLINE)) == [0.75]


async def test_logits_become_probabilities(scripted, connect):
    backend = await connect(ours(scripted.url, logits=True))
    scripted.acts = [gives(answer([1, 2], [0.0, np.log(3)], "FP64"))]
    (label,) = await backend.label(rows("a"), Lane.ONLINE)
    np.testing.assert_allclose(label.probabilities, [0.25, 0.75], rtol=1e-6)
    np.testing.assert_allclose(label.logits, [0, np.log(3)], rtol=1e-6)


async def test_a_token_is_read_anew_for_each_request(scripted, connect, opener, tmp_path):
    spec = ours(scripted.url, credential="there")
    (tmp_path / "there").write_text("one\n")
    backend = await connect(spec, credentials=tmp_path)
    await backend.label(rows("a"), Lane.ONLINE)
    (tmp_path / "there").write_text("two\n")
    await backend.label(rows("a"), Lane.ONLINE)

    assert scripted.tokens == ["Bearer one", "Bearer two"]
    (tmp_path / "there").write_text("secret\nsecret")
    with pytest.raises(FailedPrecondition, match="credential there is not one line") as caught:
        await backend.label(rows("a"), Lane.ONLINE)
    assert "secret" not in str(caught.value)
    with pytest.raises(FailedPrecondition, match="no readable credential gone"):
        await opener(spec.url, credentials=tmp_path).identify(ours(spec.url, credential="gone"), FIELD)


async def test_a_token_that_a_grpc_server_sends_back_is_in_no_message(scripted, connect, tmp_path):
    (tmp_path / "there").write_text("s3cret-token")
    backend = await connect(ours(scripted.url, credential="there"), credentials=tmp_path)
    scripted.acts = [aborts(grpc.StatusCode.UNAUTHENTICATED, "no Bearer s3cret-token of mine")]
    with pytest.raises(FailedPrecondition, match=r"no Bearer \(the token\) of mine"):
        await backend.label(rows("a"), Lane.ONLINE)


class ScriptedHttp(BaseHTTPRequestHandler):
    """Answers inferences as a test says: status, headers and body."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.reply(200, {}, json.dumps({"name": "active", "inputs": [], "outputs": []}))

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.tokens.append(self.headers["authorization"])
        self.reply(*self.server.acts.pop(0))

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def scripted_http():
    with ThreadingHTTPServer(("127.0.0.1", 0), ScriptedHttp) as server:
        server.acts, server.tokens = [], []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()


def said(data, shape=(1, 2)):
    output = {"name": "probabilities", "datatype": "FP32", "shape": shape, "data": data}
    return 200, {}, json.dumps({"model_name": "active", "outputs": [output]})


async def test_a_busy_or_absent_http_server_is_asked_again(scripted_http, connect, kinds):
    backend = await connect(ours(scripted_http.url))
    scripted_http.acts = [(429, {"retry-after": "1"}, "busy"), (503, {}, "gone"), (502, {}, ""), said([0.25, 0.75])]
    start = time.monotonic()
    assert second_class(await backend.label(rows("a"), Lane.ONLINE)) == [0.75]
    assert time.monotonic() - start >= 1
    assert kinds == ["resource_exhausted", "unavailable", "unavailable"]


async def test_http_answers_may_be_nested_and_hold_nulls(scripted_http, connect):
    backend = await connect(ours(scripted_http.url))
    scripted_http.acts = [said([[0.25, 0.75], [None, 0.5]], (2, 2))]
    assert second_class(await backend.label(rows("a", "b"), Lane.ONLINE)) == [0.75, "Internal"]


async def test_a_wait_that_nobody_would_wait_is_not_passed_on(scripted_http, connect):
    backend = await connect(ours(scripted_http.url))
    scripted_http.acts = [(429, {"retry-after": "9" * 40}, "busy")]
    with pytest.raises(ResourceExhausted) as caught:
        await backend.label(rows("a"), Lane.ONLINE)
    assert caught.value.retry_after_s == 3600


async def test_an_http_answer_may_not_be_endless(scripted_http, connect):
    backend = await connect(ours(scripted_http.url))
    scripted_http.acts = [(200, {}, " " * (65 << 20))]
    with pytest.raises(FailedPrecondition, match="larger than 64 MiB"):
        await backend.label(rows("a"), Lane.ONLINE)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((401, {}, "who?"), FailedPrecondition),
        ((404, {}, "no such model"), NotFound),
        ((412, {}, "another version"), FailedPrecondition),
        ((501, {}, "no versions"), FailedPrecondition),
        ((504, {}, ""), DeadlineExceeded),
        ((500, {}, "boom"), Internal),
        ((307, {"location": "http://elsewhere"}, ""), Internal),
        ((200, {}, "<html>"), FailedPrecondition),
        ((200, {}, "[]"), FailedPrecondition),
        ((200, {}, '{"outputs": [{}]}'), FailedPrecondition),
        ((200, {}, '{"outputs": [{"name": "probabilities"}]}'), FailedPrecondition),
        (said([0.5]), FailedPrecondition),
        (said(["a", "b"]), FailedPrecondition),
    ],
)
async def test_other_http_answers_are_passed_on_at_once(scripted_http, connect, reply, error):
    backend = await connect(ours(scripted_http.url))
    scripted_http.acts = [reply]
    with pytest.raises(error):
        await backend.label(rows("a"), Lane.ONLINE)


async def test_a_body_that_is_too_large_is_halved(scripted_http, connect):
    backend = await connect(ours(scripted_http.url))
    scripted_http.acts = [(413, {}, "too large"), said([0.25, 0.75]), said([0.75, 0.25])]
    assert second_class(await backend.label(rows("a", "b"), Lane.ONLINE)) == [0.75, 0.25]


async def test_http_servers_are_shown_the_token(scripted_http, connect, tmp_path):
    (tmp_path / "there").write_text("one")
    backend = await connect(ours(scripted_http.url, credential="there"), credentials=tmp_path)
    scripted_http.acts = [said([0.25, 0.75])]
    await backend.label(rows("a"), Lane.ONLINE)
    assert scripted_http.tokens == ["Bearer one"]


async def test_a_token_that_an_http_server_sends_back_is_in_no_message(scripted_http, connect, tmp_path):
    (tmp_path / "there").write_text("s3cret-token")
    backend = await connect(ours(scripted_http.url, credential="there"), credentials=tmp_path)
    scripted_http.acts = [(401, {}, "no Bearer s3cret-token of mine")]
    with pytest.raises(FailedPrecondition, match=r"no Bearer \(the token\) of mine"):
        await backend.label(rows("a"), Lane.ONLINE)


def test_probabilities_that_nearly_sum_to_one_are_divided_by_their_sum():
    labels = labels_of(np.array([[0.4997, 0.4997], [0.498, 0.498], [1.0, 0.0], [1.2, -0.2]]), logits=False)

    np.testing.assert_allclose(labels[0].probabilities, [0.5, 0.5], rtol=1e-6)
    assert [isinstance(label, Internal) for label in labels] == [False, True, False, True]
    assert labels[2].logits.tolist() == [0, -np.inf]
    assert labels[0].logits.dtype == labels[0].probabilities.dtype == np.float32


def test_large_logits_do_not_overflow():
    (label, wrong) = labels_of(np.array([[1000.0, 1000.0], [np.inf, 0.0]]), logits=True)
    assert label.probabilities.tolist() == [0.5, 0.5]
    assert isinstance(wrong, Internal)
