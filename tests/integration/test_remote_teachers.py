"""Teachers behind servers elsewhere, on a real supervisor: a text-generation server, over real HTTP."""

from __future__ import annotations

import itertools
import re

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.text_generation import running
from support.text_generation.language import VOCABULARY, ToyModel, encode

from w2s.artifacts.tables import write_examples
from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb

from .conftest import scrape

NAMES = ["good", "bad"]
TEXTS = ["the cat sat", "a dog ran", "it is old and good"]
PROMPT = pb.PromptTemplate(template="Question: {text} Answer:", answers=[" yes", " no"], label_names=NAMES)
TOKEN = "hf_the_servers_token"
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def toy():
    with running() as server:
        yield server


@pytest.fixture
def control(toy):
    toy.control(fresh=True)
    return toy.control


@pytest.fixture(scope="module")
def server(serve_all, toy, tmp_path_factory):
    tokens = tmp_path_factory.mktemp("tokens")
    (tokens / "toy").write_text(f"{TOKEN}\n")
    return serve_all("supervisor", f"--endpoints={toy.url}", f"--credentials-folder={tokens}")


@pytest.fixture
def client(server):
    with server.client() as found:
        yield found


def register(client, id_="", **fields):
    backend = pb.TextGenerationBackend(**{"prompt": PROMPT, "timeout_s": 5.0, **fields})
    return client.RegisterTeacher(
        teacher_id=id_ or f"toy-{next(NUMBERS)}", spec=pb.TeacherSpec(text_generation=backend)
    )


def rows(*texts):
    return [common.Example(id=f"r{number}", text=text) for number, text in enumerate(texts)]


def expected(text):
    """P(class) by the toy model's own table."""
    model, prompt = ToyModel("toy/one"), encode(f"Question: {text} Answer:")
    scores = [
        model.log_probabilities(prompt)[encode(f"Question: {text} Answer:{ending}")[-1]] for ending in (" yes", " no")
    ]
    powers = np.exp(np.array(scores) - max(scores))
    return powers / powers.sum()


def listed(text):
    """Which answers are among the five most probable tokens, by the same table."""
    values = ToyModel("toy/one").log_probabilities(encode(f"Question: {text} Answer:"))
    most = {VOCABULARY[token] for token in np.argsort(-values)[:5]}
    return {" yes", " no"} & most


def write_texts(store, key, texts):
    """A data set of some texts."""
    with store.write("datasets", key, data_schema="w2s.examples/1", config={"label_names": NAMES}) as draft:
        write_examples(draft.path, [{"id": f"r{n}", "text": text, "label": 0} for n, text in enumerate(texts)])
    return common.DatasetRef(uri=draft.ref.uri)


def counted(server, name, **labels):
    return scrape(server.addresses["metrics"]).get((f"w2s_supervisor_{name}", frozenset(labels.items())), 0)


def test_a_server_teaches_as_any_other_does(client, server, toy, control):
    control(api_key=TOKEN)
    teacher = register(client, url=toy.url, credential="toy")
    assert teacher.label_names == NAMES
    # The commit that the server says its weights are of.
    assert re.fullmatch("[0-9a-f]{40}", teacher.version.revision)
    assert client.activate(teacher).status.state == common.JOB_STATE_SUCCEEDED
    answer = client.Label(examples=rows(*TEXTS))
    assert answer.teacher == teacher.version
    for label, text in zip(answer.labels, TEXTS, strict=True):
        np.testing.assert_allclose(label.probabilities, expected(text), rtol=1e-4)
    pieces = list(client.Generate(prompts=["the cat"], max_new_tokens=4))
    assert (sum(piece.tokens for piece in pieces), pieces[-1].finish_reason) == (4, pb.FINISH_REASON_LENGTH)
    assert {piece.teacher.digest for piece in pieces} == {teacher.version.digest}
    assert counted(server, "tokens_total", teacher=teacher.name) > 0
    assert TOKEN not in server.log.read_text()


def test_a_server_that_becomes_another_model_teaches_no_more(client, toy, control, eventually, refused):
    teacher = register(client, url=toy.url)
    client.activate(teacher)
    control(model="toy/two")

    def noticed():
        try:
            client.Label(examples=rows(TEXTS[0]))
        except Exception as error:
            return error.code().name == "FAILED_PRECONDITION" and "serves another model than toy/one" in error.details()
        return False

    eventually(noticed, timeout_s=30)
    with refused("FAILED_PRECONDITION", words="serves another model than toy/one"):
        client.Label(examples=rows(TEXTS[0]))
    other = register(client, "other", url=toy.url)
    assert other.version.digest != teacher.version.digest
    assert client.activate(other).status.state == common.JOB_STATE_SUCCEEDED
    assert client.Label(examples=rows(TEXTS[0])).teacher == other.version


def test_rows_whose_answers_the_server_does_not_list_are_marked_and_never_invented(client, toy, control, store):
    texts = [TEXTS[0], "it is hidden", TEXTS[1], "the hidden cat", TEXTS[2]]
    assert [listed(text) == {" yes", " no"} for text in texts] == [True, False, True, False, True]
    teacher = register(client, url=toy.url, class_method=pb.CLASS_METHOD_TOP_TOKENS)
    dataset = write_texts(store, "truncated-by-the-toy", texts)
    failed = client.ended(client.LabelDataset(dataset=dataset, teacher=teacher.name, max_failed_rows=1))
    assert (failed.status.state, failed.status.error.code) == (common.JOB_STATE_FAILED, 9)
    assert "2 rows cannot be labelled, and max_failed_rows is 1: r1: " in failed.status.error.message
    done = client.ended(client.LabelDataset(dataset=dataset, teacher=teacher.name, max_failed_rows=2))
    assert (done.status.state, done.failed_rows) == (common.JOB_STATE_SUCCEEDED, 2)
    table = pq.read_table(store.read(done.labels.uri).path / "labels.parquet").to_pydict()
    for n, text in enumerate(texts):
        if n in (1, 3):
            assert (table["probabilities"][n], table["label"][n]) == (None, None)
            assert "the answers are truncated" in table["error"][n]
        else:
            np.testing.assert_allclose(table["probabilities"][n], expected(text), rtol=1e-4)
            assert (table["label"][n], table["error"][n]) == (expected(text).argmax(), None)


def test_a_row_that_the_server_fails_at_again_and_again_is_marked(client, toy, control, store):
    teacher = register(client, url=toy.url, class_method=pb.CLASS_METHOD_TOP_TOKENS)
    dataset = write_texts(store, "poison-for-the-toy", [*TEXTS, "poison the well"])
    control(poison="poison")
    failed = client.ended(client.LabelDataset(dataset=dataset, teacher=teacher.name))
    assert (failed.status.state, failed.status.error.code) == (common.JOB_STATE_FAILED, 9)
    assert "1 rows cannot be labelled, and max_failed_rows is 0: r3: " in failed.status.error.message
    done = client.ended(client.LabelDataset(dataset=dataset, teacher=teacher.name, max_failed_rows=1))
    assert (done.status.state, done.failed_rows) == (common.JOB_STATE_SUCCEEDED, 1)
    table = pq.read_table(store.read(done.labels.uri).path / "labels.parquet").to_pydict()
    assert (table["probabilities"][3], table["label"][3], bool(table["error"][3])) == (None, None, True)
    np.testing.assert_allclose(table["probabilities"][:3], [expected(text) for text in TEXTS], rtol=1e-4)


@pytest.mark.faults
def test_a_job_outlasts_a_server_that_is_busy_for_a_while(client, server, toy, control, store):
    teacher = register(client, url=toy.url)
    dataset = write_texts(store, "for-the-busy-toy", [TEXTS[n % 3] for n in range(40)])
    client.Label(examples=rows(TEXTS[0]), teacher=teacher.name)
    # More failures than the client's own attempts can get over.
    control(fail_status=429, fail_count=60)
    job = client.ended(client.LabelDataset(dataset=dataset, teacher=teacher.name))
    assert (job.status.state, job.failed_rows) == (common.JOB_STATE_SUCCEEDED, 0)
    assert counted(server, "backend_errors_total", kind="overloaded") > 50


def test_an_ensemble_of_a_server_and_a_server_is_asked_as_one(client, toy, control):
    for id_, method in (("by-grammar", pb.CLASS_METHOD_GRAMMAR), ("by-tokens", pb.CLASS_METHOD_TOP_TOKENS)):
        register(client, id_, url=toy.url, class_method=method)
    members = pb.EnsembleBackend(members=["teachers/by-grammar", "teachers/by-tokens"])
    both = client.RegisterTeacher(teacher_id="both", spec=pb.TeacherSpec(ensemble=members))
    (label,) = client.Label(examples=rows(TEXTS[1]), teacher=both.name).labels
    np.testing.assert_allclose(label.probabilities, expected(TEXTS[1]), rtol=1e-4)
    assert label.disagreement == 0


def test_a_server_that_dies_is_said_to_be_gone_and_another_takes_over(serve, toy, control, tmp_path, refused):
    (tmp_path / "toy").write_text(TOKEN)
    with running(api_key=TOKEN) as mortal:
        endpoints = f"--endpoints={mortal.url},{toy.url}"
        server = serve("supervisor", endpoints, f"--credentials-folder={tmp_path}")
        with server.client() as client:
            dying = register(client, "dying", url=mortal.url, credential="toy")
            assert client.activate(dying).status.state == common.JOB_STATE_SUCCEEDED
            assert client.Label(examples=rows(TEXTS[0])).teacher == dying.version
    with server.client() as client:
        host = mortal.url.removeprefix("http://")
        with refused("UNAVAILABLE", words=f"{host} cannot be reached"):
            client.Label(examples=rows(TEXTS[0]))
        with pytest.raises(grpc.RpcError) as caught:
            client.Label(examples=rows(TEXTS[0]))
        assert TOKEN not in caught.value.details()
        assert TEXTS[0] not in caught.value.details()
        other = register(client, "other", url=toy.url)
        assert client.activate(other).status.state == common.JOB_STATE_SUCCEEDED
        answer = client.Label(examples=rows(TEXTS[0]))
    assert answer.teacher == other.version
    np.testing.assert_allclose(answer.labels[0].probabilities, expected(TEXTS[0]), rtol=1e-4)
    assert TOKEN not in server.log.read_text()


def test_a_server_that_is_not_among_the_endpoints_is_refused(client, refused):
    with refused("INVALID_ARGUMENT", "spec.text_generation.url", "--endpoints"):
        register(client, "elsewhere", url="http://127.0.0.1:9")
