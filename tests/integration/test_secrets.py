"""No secret that a service is given is in what it writes, answers or exports, whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from types import SimpleNamespace

import grpc
import pytest
from support.text_generation import running

from w2s.artifacts import ArtifactStore
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2
from w2s.supervisor.v1 import supervisor_pb2
from w2s.tasks import SplitSizes, get_task, write_splits
from w2s.trainer.v1 import trainer_pb2
from w2s_cli.local import LocalServices, environment

from .conftest import BASE, client

SECRETS = {
    name: f"{name}-is-for-nobody-else"
    for name in ("reader", "admin", "wrong-token", "hub", "s3-key", "s3-secret", "remote", "remote-later", "database")
}
SIZES = SplitSizes(weak_train=40, transfer=40, validation=20, test=20)
PROMPT = supervisor_pb2.PromptTemplate(
    template="Question: {text} Answer:", answers=[" yes", " no"], label_names=["good", "bad"]
)


def exposed(text):
    """The names of the secrets in a text."""
    content = text if isinstance(text, bytes) else str(text).encode()
    return {name for name, secret in SECRETS.items() if secret.encode() in content}


@pytest.fixture(scope="module")
def toy():
    with running(api_key=SECRETS["remote"]) as server:
        yield server


@pytest.fixture(scope="module")
def world(toy, tmp_path_factory):
    """Services that hold every secret, a client's environment, and the messages of what failed."""
    kept, folder = tmp_path_factory.mktemp("kept"), tmp_path_factory.mktemp("services")
    (kept / "tokens").write_text(f"ann reader {SECRETS['reader']}\nada admin {SECRETS['admin']}\n")
    (kept / "toy").write_text(SECRETS["remote"])
    variables = {
        "W2S_TOKENS_FILE": str(kept / "tokens"),
        "W2S_TOKEN": SECRETS["admin"],
        "W2S_ENDPOINTS": f'["{toy.url}"]',
        "W2S_CREDENTIALS_FOLDER": str(kept),
        "W2S_LOG_LEVEL": "debug",
        "HF_TOKEN": SECRETS["hub"],
        "AWS_ACCESS_KEY_ID": SECRETS["s3-key"],
        "AWS_SECRET_ACCESS_KEY": SECRETS["s3-secret"],
    }
    with LocalServices(folder, variables=variables) as services, environment(variables):
        yield SimpleNamespace(services=services, folder=folder, kept=kept, told=[])


@pytest.fixture(scope="module")
def driven(world, toy):
    """Good and bad calls of every service, by callers with and without tokens."""
    data = write_splits(ArtifactStore(world.services.artifact_root), get_task("boolq_relevance"), SIZES, 0, "boolq")
    refs = {name: common.DatasetRef(uri=ref.uri, digest=ref.digest) for name, ref in data.items()}
    ends = world.services.endpoints
    with (
        client("trainer", ends.trainer) as trainer,
        client("supervisor", ends.supervisor) as supervisor,
        client("evaluator", ends.evaluator) as evaluator,
    ):
        model = trainer_pb2.ModelSpec(base=common.ModelRef(uri=BASE), encoding="TEXT_ENCODING_PAIR", max_length=64)
        training = trainer_pb2.TrainingConfig(epochs=1, head_learning_rate=0.01)
        run = trainer.train(trainer_pb2.RunSpec(model=model, dataset=refs["weak_train"], training=training), "good")
        world.told += [run, supervisor.register("own", run.result.model)]
        remote = supervisor_pb2.TextGenerationBackend(url=toy.url, prompt=PROMPT, credential="toy", timeout_s=5.0)
        spec = supervisor_pb2.TeacherSpec(text_generation=remote)
        world.told.append(supervisor.RegisterTeacher(teacher_id="toy", spec=spec))
        rows = [common.Example(id="a", text="the cat sat")]
        world.told.append(supervisor.Label(examples=rows, teacher="teachers/toy"))
        world.told.append(evaluator.evaluate("good", model=run.result.model, dataset=refs["test"]))
        # Its server takes another token now.
        (world.kept / "toy").write_text(SECRETS["remote-later"])
        fail(world, supervisor.Label, examples=rows, teacher="teachers/toy")
        (world.kept / "toy").write_text(f"{SECRETS['remote']}\n{SECRETS['remote']}")
        fail(world, supervisor.Label, examples=rows, teacher="teachers/toy")
        model.base.uri = "s3://bucket/no-such-root"
        fail(world, trainer.CreateRun, run=trainer_pb2.Run(spec=trainer_pb2.RunSpec(model=model)))
        absent = common.DatasetRef(uri=f"{refs['test'].uri}-absent")
        wrong = evaluator_pb2.EvaluationSpec(model=run.result.model, dataset=absent)
        fail(world, evaluator.CreateEvaluation, evaluation=evaluator_pb2.Evaluation(spec=wrong))
    for token in ("reader", "wrong-token"):
        with environment({"W2S_TOKEN": SECRETS[token]}), client("supervisor", ends.supervisor) as other:
            fail(world, other.UnregisterTeacher, name="teachers/toy")
    return world


def fail(world, method, **fields):
    """Makes a call that must fail, and keeps all that the caller is told."""
    with pytest.raises(grpc.RpcError) as caught:
        method(**fields)
    world.told += [caught.value, caught.value.details(), caught.value.trailing_metadata()]


def test_callers_are_told_none(driven):
    assert len(driven.told) >= 20
    assert [(told, names) for told in driven.told if (names := exposed(told))] == []


def test_logs_databases_and_artifacts_hold_none(driven):
    files = [path for path in driven.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"trainer.log", "supervisor.log", "evaluator.log", "manifest.json"}
    assert {path: names for path in files if (names := exposed(path.read_bytes()))} == {}


def test_metrics_hold_none(driven):
    for name, running_ in driven.services.services.items():
        with urllib.request.urlopen(f"http://{running_.metrics}/metrics", timeout=5) as response:
            text = response.read()
        assert b"w2s_build_info" in text
        assert (name, exposed(text)) == (name, set())


@pytest.mark.parametrize(
    ("service", "port", "path"), [("supervisor", "http", "/v2/models/active"), ("evaluator", "events", "/")]
)
def test_http_ports_answer_with_none(driven, service, port, path):
    address = json.loads((driven.folder / f"{service}.json").read_text())[port]
    request = urllib.request.Request(
        f"http://{address}{path}", headers={"Authorization": f"Bearer {SECRETS['wrong-token']}"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert (caught.value.code, exposed(caught.value.read())) == (401, set())


@pytest.mark.parametrize("service", ["trainer", "supervisor", "evaluator"])
def test_a_database_that_cannot_be_reached_is_named_without_its_password(service, tmp_path):
    url = f"postgresql+psycopg://w2s:{SECRETS['database']}@127.0.0.1:1/w2s"
    command = [sys.executable, "-m", f"w2s_{service}", f"--artifact-root={tmp_path}", "--port=0", "--metrics-port=0"]
    ended = subprocess.run(
        command, env={**os.environ, "W2S_DATABASE_URL": url}, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert b"--database-url: cannot be opened" in ended.stderr
    assert exposed(ended.stdout + ended.stderr) == set()
