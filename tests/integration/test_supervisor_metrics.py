"""What the supervisor exports, read off its metrics port before and after what it counts."""

from __future__ import annotations

import threading

import grpc
import pytest

from w2s.artifacts import ArtifactStore
from w2s.artifacts.tables import write_examples
from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb

from .conftest import scrape

SERVICE = "w2s.supervisor.v1.SupervisorService"
OUTCOMES = ("succeeded", "failed", "cancelled")
PROMPT = pb.PromptTemplate(template="{text} is", answers=[" good", " bad"], label_names=["good", "bad"])


def rows(*texts):
    return [common.Example(id=str(n), text=text) for n, text in enumerate(texts)]


@pytest.fixture
def series(model_server):
    """The samples that have a label of that value: `series(teacher="teachers/a")`, by name and the other labels."""

    def find(**wanted):
        samples = scrape(model_server.addresses["metrics"])
        return {
            (name, labels.difference(wanted.items())): value
            for (name, labels), value in samples.items()
            if wanted.items() <= labels
        }

    return find


@pytest.fixture
def total(series):
    """One series' value by its name without the prefix: `total("labels_total", teacher="teachers/a")`."""
    return lambda name, **labels: series(**labels).get((f"w2s_supervisor_{name}", frozenset()), 0)


@pytest.fixture
def handled(metric):
    return lambda method, code: metric(
        "grpc_server_handled_total", grpc_service=SERVICE, grpc_method=method, grpc_code=code
    )


def test_labels_are_counted_with_their_tokens_batches_and_waits(oracle, publish, total, series):
    teacher = {"teacher": publish("topics", "counted").name}
    # Its warm-up is a batch too, so it is loaded first.
    oracle.Label(examples=rows("a"), **teacher)
    names = ("labels_total", "failed_labels_total", "tokens_total", "batch_size_sum", "queue_wait_seconds_count")
    before = [total(name, **teacher) for name in names]
    batches = total("batch_size_count", **teacher)
    texts = ["a", "four", "a longer text", "text", "é"]
    oracle.Label(examples=rows(*texts), **teacher)
    list(oracle.stub.LabelStream(iter([pb.LabelRequest(examples=rows("one"), **teacher)]), timeout=30))

    # The tokens of this model are bytes.
    tokens = sum(len(text.encode()) for text in (*texts, "one"))
    after = [total(name, **teacher) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [6, 0, tokens, 6, 6]
    assert 2 <= total("batch_size_count", **teacher) - batches <= 6
    assert total("queue_length", **teacher) == 0
    assert 0 < total("queue_wait_seconds_sum", **teacher) < 5
    assert ("w2s_supervisor_queue_length", frozenset()) in series(**teacher)


def test_confidences_fall_into_their_buckets(oracle, publish, total, series):
    teacher = {"teacher": publish("topics", "confident").name}
    texts = [f"text {n}" * (n + 1) for n in range(20)]
    found = [label.confidence for label in oracle.Label(examples=rows(*texts), **teacher).labels]

    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in series(**teacher).items()
        if name == "w2s_supervisor_label_confidence_ratio_bucket"
    }
    assert {0.5, 0.9, 1.0} < set(buckets)
    assert buckets == {bound: sum(confidence <= bound for confidence in found) for bound in buckets}
    assert 0 < buckets[0.75] < 20
    assert total("label_confidence_ratio_sum", **teacher) == pytest.approx(sum(found))


def test_rows_without_a_label_and_generated_tokens_are_counted(oracle, publish, total):
    teacher = {"teacher": publish("lm", "lm-counted", language_model=pb.LanguageModelReading(prompt=PROMPT)).name}
    first, second = oracle.Label(examples=rows("word " * 2100, "word"), **teacher).labels
    assert (first.label, list(first.probabilities), first.error.code) == (-1, [], 3)
    assert second.label >= 0
    assert (total("labels_total", **teacher), total("failed_labels_total", **teacher)) == (1, 1)
    assert total("label_confidence_ratio_count", **teacher) == 1

    list(oracle.Generate(prompts=["once"], samples=3, max_new_tokens=5, temperature=1, seed=1, **teacher))
    assert total("generated_tokens_total", **teacher) == 15


def test_one_teacher_is_active_at_every_moment(oracle, topics, publish, series, model_server):
    seen, done = [], threading.Event()

    def watch():
        while not done.is_set():
            samples = scrape(model_server.addresses["metrics"])
            seen.append([dict(labels) for name, labels in samples if name == "w2s_supervisor_teacher_info"])

    watching = threading.Thread(target=watch)
    watching.start()
    other = publish("topics-too")
    for teacher in (other, topics, other):
        oracle.activate(teacher)
    done.set()
    watching.join()

    versions = [
        {"teacher": t.name, "revision": t.version.revision, "digest": t.version.digest} for t in (topics, other)
    ]
    assert all(infos in ([], [versions[0]], [versions[1]]) for infos in seen)
    assert sum(not infos for infos in seen) <= len(seen) // 2
    assert series(**versions[1])[("w2s_supervisor_teacher_info", frozenset())] == 1
    assert len([name for name, _ in series() if name == "w2s_supervisor_teacher_info"]) == 1


def test_swaps_are_counted_and_timed_by_outcome(oracle, topics, publish, total, model_server, eventually):
    def counts():
        return [
            [
                total("teacher_swaps_total", outcome=outcome),
                total("teacher_swap_seconds_count", outcome=outcome),
                total("jobs_total", kind="activations", state=outcome),
            ]
            for outcome in OUTCOMES
        ]

    store = ArtifactStore(str(model_server.artifact_root))
    names = list(topics.label_names)
    with store.write("datasets", "slow-probe", data_schema="w2s.examples/1", config={"label_names": names}) as draft:
        texts = [{"id": str(n), "text": f"{n:3}" * 170, "text_pair": None, "label": 0} for n in range(200)]
        write_examples(draft.path, texts)
    before, seconds = counts(), total("teacher_swap_seconds_sum", outcome="succeeded")
    assert oracle.activate(publish("topics-too")).status.state == common.JOB_STATE_SUCCEEDED
    assert oracle.activate(publish("reward", reward=pb.RewardReading())).status.state == common.JOB_STATE_FAILED
    gate = pb.ValidationGate(probe=common.DatasetRef(uri=draft.ref.uri))
    long = oracle.ActivateTeacher(name=publish("slow").name, gate=gate)
    oracle.until(long, lambda event: event.progress.stage == "gate")
    oracle.CancelActivation(name=long.name)
    assert oracle.ended(long).status.state == common.JOB_STATE_CANCELLED

    eventually(lambda: counts() == [[value + 1 for value in values] for values in before])
    assert 0 < total("teacher_swap_seconds_sum", outcome="succeeded") - seconds < 30


@pytest.mark.parametrize(
    "backend",
    [
        {"text_generation": pb.TextGenerationBackend(url="http://127.0.0.1:9")},
        {"inference": pb.InferenceBackend(url="http://127.0.0.1:9", model="m", label_names=["a", "b"], timeout_s=1)},
    ],
    ids=["text-generation", "inference"],
)
def test_failures_of_servers_behind_teachers_are_counted(oracle, series, refused, backend):
    def errors():
        return {
            dict(labels)["kind"]: v for (n, labels), v in series().items() if n == "w2s_supervisor_backend_errors_total"
        }

    before = errors()
    with refused("UNAVAILABLE"):
        oracle.RegisterTeacher(teacher_id="nowhere", spec=pb.TeacherSpec(**backend))
    assert sum(errors().values()) > sum(before.values())
    assert set(errors()) <= {"connection", "unavailable", "timeout", "model"}
    assert errors().get("model", 0) == before.get("model", 0)


def test_calls_are_counted_by_the_code_that_they_end_with(oracle, topics, handled, refused, busy, publish, eventually):
    asked = (
        ("Label", "OK"),
        ("Label", "INVALID_ARGUMENT"),
        ("Label", "NOT_FOUND"),
        ("Label", "FAILED_PRECONDITION"),
        ("Label", "DEADLINE_EXCEEDED"),
        ("Label", "CANCELLED"),
        ("Label", "RESOURCE_EXHAUSTED"),
        ("LabelStream", "OK"),
        ("LabelStream", "FAILED_PRECONDITION"),
        ("Generate", "CANCELLED"),
    )
    lm = publish("lm", "plain-lm", language_model=pb.LanguageModelReading())
    publish("slow")
    oracle.Label(examples=rows("a"), teacher="teachers/slow")
    before = [handled(*key) for key in asked]
    oracle.Label(examples=rows("a"))
    for code, fields in (
        ("INVALID_ARGUMENT", {"examples": []}),
        ("NOT_FOUND", {"examples": rows("a"), "teacher": "teachers/nobody"}),
        ("FAILED_PRECONDITION", {"examples": rows("a"), "required_digest": "sha256:another"}),
    ):
        with refused(code):
            oracle.Label(**fields)
    with busy():
        slow = {"examples": rows("a"), "teacher": "teachers/slow"}
        with refused("DEADLINE_EXCEEDED"):
            oracle.stub.Label(pb.LabelRequest(**slow), timeout=0.1)
        call = oracle.stub.Label.future(pb.LabelRequest(**slow), timeout=60)
        with refused("RESOURCE_EXHAUSTED"):
            oracle.Label(**{**slow, "examples": rows(*"abcdefghijklmnopqrstuvwxyz" * 3)})
        call.cancel()
    list(oracle.stub.LabelStream(iter([pb.LabelRequest(examples=rows("a"))]), timeout=30))
    pinned = pb.LabelRequest(examples=rows("a"), required_digest="sha256:another")
    with refused("FAILED_PRECONDITION"):
        list(oracle.stub.LabelStream(iter([pinned]), timeout=30))
    generation = oracle.Generate(prompts=["once"], teacher=lm.name, max_new_tokens=2000)
    next(generation)
    generation.cancel()

    # `busy` itself makes two calls that end well.
    expected = [1 + 2, *[1] * 9]
    eventually(lambda: [handled(*key) for key in asked] == [b + e for b, e in zip(before, expected, strict=True)], 20)


def test_the_series_of_a_teacher_that_is_gone_end_with_its_last_call(oracle, publish, series, eventually):
    teacher = {"teacher": publish("slow", "doomed").name}
    oracle.Label(examples=rows("a"), **teacher)
    texts = [f"{n:3}" * 170 for n in range(16)]
    call = oracle.stub.Label.future(pb.LabelRequest(examples=rows(*texts), **teacher), timeout=60)
    eventually(lambda: series(**teacher)[("w2s_supervisor_queue_wait_seconds_count", frozenset())] > 1)
    oracle.UnregisterTeacher(name=teacher["teacher"])
    assert len(call.result().labels) == 16
    assert call.code() is grpc.StatusCode.OK
    eventually(lambda: not series(**teacher))
