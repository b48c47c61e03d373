"""What is wrong with a run is said when it is created, by status and field, and nothing is created."""

from __future__ import annotations

import json
import shutil

import pytest
from google.protobuf.json_format import ParseDict
from helpers.run_inputs import NAMES, OTHER, TEACHER, Inputs, sparse_weights

from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, LANGUAGE_MODEL_SCHEMA
from w2s.trainer.v1 import trainer_pb2 as pb

from .conftest import Server

NO_DIGEST = "sha256:" + "0" * 64
INVALID, PRECONDITION, EXHAUSTED = "INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"
PAIR = {"encoding": "TEXT_ENCODING_PAIR"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Artifacts and models, most of them wrong for a classifier of two classes."""
    folder = tmp_path_factory.mktemp("bad-input")
    made = Inputs(folder / "artifacts", folder / "models")
    made.examples("own")
    made.examples("single", second=None)
    made.examples("three", names=["a", "b", "c"])
    made.examples("empty", ids=())
    made.examples("unnamed", names=None)
    made.pairs("pairs")
    made.completions("completions")
    made.labels("good")
    made.labels("mixed", teachers=(TEACHER, OTHER))
    made.labels("three", p=(0.2, 0.3, 0.5), names=None)
    made.labels("turned", names=NAMES[::-1])
    made.labels("some", ids=("0", "1", "9"), failed=("1",))
    made.labels("none", ids=("8", "9"))
    made.model("bert")
    made.model("lm", architectures=["LlamaForCausalLM"])
    made.model("pickle")
    (made.models / "pickle" / "model.safetensors").rename(made.models / "pickle" / "pytorch_model.bin")
    made.model("code", auto_map={"AutoModel": "code.Model"})
    made.model("vast")
    sparse_weights(made.models / "vast" / "model.safetensors", shutil.disk_usage(folder).free)
    made.artifact_model("classes", CLASSIFIER_SCHEMA)
    made.artifact_model("other-spec", LANGUAGE_MODEL_SCHEMA, run={"another": "spec"})
    made.artifact_model("chain-hop-0", CLASSIFIER_SCHEMA, run={"another": "spec"})
    return made


@pytest.fixture(scope="module")
def server(inputs, tmp_path_factory):
    server = Server("trainer", tmp_path_factory.mktemp("bad-input-server"), inputs.store.root)
    try:
        yield server.start("--slots=2", "--no-allow-hub", f"--model-roots={inputs.models}")
    finally:
        server.kill()


@pytest.fixture
def ask(server, inputs):
    """Asks for a run that would be right but for a change to the request."""

    def create(change, **fields):
        request = pb.CreateRunRequest(**fields)
        right = {"model": {"base": {"uri": "MODELS/bert"}, "maxLength": 64}, "dataset": {"uri": "DATA/own"}}
        for part in ({"run": {"spec": right}}, change):
            text = json.dumps(part).replace("DATA", f"{inputs.store.root}/datasets")
            text = text.replace("LABELS", f"{inputs.store.root}/labels").replace("MODELS", f"file://{inputs.models}")
            ParseDict(json.loads(text.replace("ROOT", inputs.store.root)), request)
        with server.client() as trainer:
            return trainer.stub.CreateRun(request, timeout=60)

    return create


@pytest.fixture(autouse=True)
def _nothing_is_created(server, inputs):
    root = inputs.models.parent / "artifacts"
    before = sorted(root.rglob("*"))
    yield
    with server.client() as trainer:
        assert list(trainer.ListRuns().runs) == []
    assert sorted(root.rglob("*")) == before
    assert "Traceback" not in server.log.read_text()


def spec(**fields):
    return {"run": {"spec": fields}}


def dataset(name):
    return {"dataset": {"uri": f"DATA/{name}"}}


def labels(name, **fields):
    return spec(labels={"uri": f"LABELS/{name}"}, **fields)


def model(**fields):
    return spec(model=fields)


def loss(name, data="pairs", base="lm", **settings):
    return {"objective": {name: settings}, **dataset(data), "model": {"base": {"uri": f"MODELS/{base}"}}}


CASES = {
    # Values
    "epochs": (INVALID, "run.spec.training.epochs", spec(training={"epochs": -1})),
    "rate of the wrong sign": (INVALID, "run.spec.training.learning_rate", spec(training={"learningRate": -1e-5})),
    "rate that is no number": (INVALID, "run.spec.training.learning_rate", spec(training={"learningRate": "NaN"})),
    "rate without end": (INVALID, "run.spec.training.learning_rate", spec(training={"learningRate": "Infinity"})),
    "head's rate": (INVALID, "run.spec.training.head_learning_rate", spec(training={"headLearningRate": 0})),
    "batch": (INVALID, "run.spec.training.batch_size", spec(training={"batchSize": 65537})),
    "seed": (INVALID, "run.spec.training.seed", spec(training={"seed": -1})),
    "schedule": (INVALID, "run.spec.training.schedule", spec(training={"schedule": 9})),
    "precision": (INVALID, "run.spec.training.precision", spec(training={"precision": 9})),
    "norm": (INVALID, "run.spec.training.max_grad_norm", spec(training={"maxGradNorm": -1})),
    "evaluations of nothing": (INVALID, "run.spec", spec(training={"evaluations": 2})),
    "holdout": (
        INVALID,
        "run.spec.early_stopping.holdout_fraction",
        spec(earlyStopping={"holdoutFraction": 0.6}, training={"evaluations": 1}),
    ),
    "threshold": (INVALID, "run.spec.filter.threshold", labels("good", filter={"threshold": 1.5})),
    "name": (INVALID, "run.display_name", {"run": {"displayName": "x" * 129}}),
    "priority": (INVALID, "run.priority", {"run": {"priority": 1001}}),
    "negative priority": (INVALID, "run.priority", {"run": {"priority": -1001}}),
    "id": (INVALID, "request_id", {"requestId": "Not Plain"}),
    "long id": (INVALID, "request_id", {"requestId": "x" * 64}),
    # Objectives
    "no objective": (INVALID, "run.spec.objective", spec(objective={})),
    "beta": (INVALID, "run.spec.objective.dpo.beta", spec(**loss("dpo", beta=0))),
    "smoothing": (INVALID, "run.spec.objective.dpo.label_smoothing", spec(**loss("dpo", labelSmoothing=0.5))),
    "averaging": (INVALID, "run.spec.objective.sft.averaging", spec(**loss("sft", averaging=7))),
    "labels for no loss": (INVALID, "run.spec", labels("good", **loss("language_modeling"))),
    "probe of a language model": (INVALID, "run.spec", spec(**{**loss("orpo"), "model": {"linearProbe": True}})),
    # Datasets
    "classes of pairs": (INVALID, "run.spec.dataset.uri", spec(**dataset("pairs"))),
    "classes of completions": (INVALID, "run.spec.dataset.uri", spec(**dataset("completions"))),
    "rewards of examples": (INVALID, "run.spec.dataset.uri", spec(**loss("reward_modeling", "own"))),
    "preferences of completions": (INVALID, "run.spec.dataset.uri", spec(**loss("simpo", "completions"))),
    "completions of examples": (INVALID, "run.spec.dataset.uri", spec(**loss("sft", "own"))),
    "empty": (INVALID, "run.spec.dataset.uri", spec(**dataset("empty"))),
    "without classes": (INVALID, "run.spec.dataset.uri", spec(**dataset("unnamed"))),
    "outside": (INVALID, "run.spec.dataset.uri", spec(dataset={"uri": "file:///etc/passwd"})),
    "upwards": (INVALID, "run.spec.dataset.uri", spec(dataset={"uri": "ROOT/datasets/../../secrets"})),
    "escaped": (INVALID, "run.spec.dataset.uri", spec(dataset={"uri": "ROOT/datasets/%2e%2e/secrets"})),
    "another bucket": (INVALID, "run.spec.dataset.uri", spec(dataset={"uri": "s3://bucket/own"})),
    "missing": ("NOT_FOUND", None, spec(**dataset("missing"))),
    "another digest": (PRECONDITION, None, spec(dataset={"uri": "DATA/own", "digest": NO_DIGEST})),
    "curves of other classes": (INVALID, "run.spec.eval_dataset.uri", spec(evalDataset={"uri": "DATA/three"})),
    "curves of pairs": (INVALID, "run.spec.eval_dataset.uri", spec(evalDataset={"uri": "DATA/pairs"})),
    "mixed with pairs": (INVALID, "run.spec.mixed_datasets[0].uri", spec(mixedDatasets=[{"uri": "DATA/pairs"}])),
    "mixed with nothing": ("NOT_FOUND", None, spec(mixedDatasets=[{"uri": "DATA/missing"}])),
    "labels as text": (
        INVALID,
        "run.spec.generative_first.dataset.uri",
        spec(generativeFirst={"dataset": {"uri": "LABELS/good"}}),
    ),
    # Labels
    "two teachers": (INVALID, "run.spec.labels", labels("mixed")),
    "three classes": (INVALID, "run.spec.labels", labels("three")),
    "turned classes": (INVALID, "run.spec.labels", labels("turned")),
    "unlabelled": (INVALID, "run.spec.labels", labels("some")),
    "nothing left": (INVALID, "run.spec.labels", labels("none", skipUnlabeled=True)),
    "nothing sure": (INVALID, "run.spec.filter.threshold", labels("good", filter={"threshold": 0.9})),
    "no labels": (INVALID, "run.spec.labels.uri", spec(labels={"uri": "DATA/own"})),
    "probabilities for completions": (INVALID, "run.spec.labels.uri", labels("good", **loss("sft", "completions"))),
    # Models
    "layers": (INVALID, "run.spec.model.layers", model(layers=3)),
    "frozen layers": (INVALID, "run.spec.model", model(layers=1, trainFromLayer=2)),
    "positions": (INVALID, "run.spec.model.max_length", model(maxLength=129)),
    "length": (INVALID, "run.spec.model.max_length", model(maxLength=32769)),
    "adapters of nothing": (INVALID, "run.spec.model.lora.target_modules", model(lora={"targetModules": ["q_proj"]})),
    "rank": (INVALID, "run.spec.model.lora.rank", model(lora={"rank": 1025})),
    "one text": (INVALID, "run.spec.model.encoding", spec(model=PAIR, **dataset("single"))),
    "chat of a classifier": (INVALID, "run.spec", model(chatTemplate=True)),
    "no template": (
        INVALID,
        "run.spec.model.chat_template",
        spec(**{**loss("orpo"), "model": {"base": {"uri": "MODELS/lm"}, "chatTemplate": True}}),
    ),
    "unknown model": (INVALID, "run.spec.model.base.uri", model(base={"uri": "MODELS/unknown"})),
    "pickle": (INVALID, "run.spec.model.base.uri", model(base={"uri": "MODELS/pickle"})),
    "code": (INVALID, "run.spec.model.base.uri", model(base={"uri": "MODELS/code"})),
    "model outside": (INVALID, "run.spec.model.base.uri", model(base={"uri": "file:///etc"})),
    "package": (INVALID, "run.spec.model.base.uri", model(base={"uri": "pkg://os/path"})),
    "hub": (INVALID, "run.spec.model.base.uri", model(base={"uri": "hf://org/name", "revision": "main"})),
    "dataset as model": (INVALID, "run.spec.model.base.uri", model(base={"uri": "DATA/own"})),
    "encoder that writes": (INVALID, "run.spec.model.base.uri", spec(**loss("dpo", base="bert"))),
    "classifier that writes": (
        INVALID,
        "run.spec.model.base.uri",
        spec(**{**loss("dpo"), "model": {"base": {"uri": "ROOT/models/classes"}}}),
    ),
    "text of an encoder": (INVALID, "run.spec.model.base.uri", spec(generativeFirst={})),
    "vast": (EXHAUSTED, None, model(base={"uri": "MODELS/vast"})),
    # Chains
    "hop of other classes": (
        INVALID,
        "run.spec.hops[0].dataset.uri",
        spec(hops=[{"model": {"base": {"uri": "MODELS/bert"}}, "dataset": {"uri": "DATA/three"}}]),
    ),
    "hop's layers": (
        INVALID,
        "run.spec.hops[0].model.layers",
        spec(hops=[{"model": {"base": {"uri": "MODELS/bert"}, "layers": 5, "maxLength": 64}}]),
    ),
    "long id of a chain": (
        INVALID,
        "request_id",
        {"requestId": "x" * 57, **spec(hops=[{"model": {"base": {"uri": "MODELS/bert"}, "maxLength": 64}}])},
    ),
    # What it runs on, and what it is called
    "nodes": (INVALID, "run.resources.nodes", {"run": {"resources": {"nodes": 2}}}),
    "no processes": (INVALID, "run.resources.processes", {"run": {"resources": {"processes": -1}}}),
    "sharding": (INVALID, "run.resources.sharding", {"run": {"resources": {"sharding": 9}}}),
    "processes": (PRECONDITION, None, {"run": {"resources": {"processes": 3}}}),
    "taken id": ("ALREADY_EXISTS", None, {"requestId": "other-spec"}),
    "taken id of a hop": (
        "ALREADY_EXISTS",
        None,
        {"requestId": "chain", **spec(hops=[{"model": {"base": {"uri": "MODELS/bert"}, "maxLength": 64}}])},
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("validate_only", [False, True])
def test_a_bad_run_is_refused(ask, refused, case, validate_only):
    code, field, change = CASES[case]
    with refused(code, field):
        ask(change, validate_only=validate_only)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("two teachers", f"of 2 teachers: teachers/a ({TEACHER[2]}), teachers/b ({OTHER[2]})"),
        ("unlabelled", "3 of the 4 examples of the dataset have none, such as 1 (too long)"),
        ("three classes", "have 3 classes, the dataset 2"),
        ("processes", "this server has 2 slots, got 3"),
        ("vast", " GiB are free"),
        ("taken id", "models/other-spec was made by another spec; use another request_id"),
        ("encoder that writes", "must be a causal language model, and is BertModel"),
    ],
)
def test_a_refusal_says_what_would_be_right(ask, refused, case, words):
    code, field, change = CASES[case]
    with refused(code, field, words):
        ask(change)


@pytest.mark.parametrize(
    "change",
    [
        {},
        labels("mixed", allowMixedTeachers=True),
        labels("some", skipUnlabeled=True),
        spec(**loss("dpo")),
        spec(**loss("reward_modeling", base="bert")),
        spec(**loss("sft", "completions")),
        spec(**loss("language_modeling", "own")),
        spec(model=PAIR),
        {"run": {"resources": {"processes": 2}, "priority": -1000}, "requestId": "free"},
    ],
)
def test_what_is_right_is_admitted(ask, change):
    assert ask(change, validate_only=True).name == ""
