from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest

from w2s.artifacts import ArtifactStore, Parent
from w2s.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound

OTHER = "sha256:" + "0" * 64


@pytest.fixture(params=["file", "memory"])
def any_store(request, tmp_path):
    """A store on the local disk, and one on a file system that is not local."""
    root = f"memory://{tmp_path.name}" if request.param == "memory" else str(tmp_path / "root")
    return ArtifactStore(root, cache=tmp_path / "cache")


def put(store: ArtifactStore, key: str, **files: str):
    with store.write("datasets", key, data_schema="test/1", config={"made": key}) as draft:
        for name, text in (files or {"text": "abc"}).items():
            (draft.path / name).write_text(text)
    return draft.ref


def put_file(uri: str, content: bytes) -> None:
    """Writes a file behind the store's back."""
    fs, path = fsspec.core.url_to_fs(uri)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(path, content)


def test_what_was_written_is_read_with_all_that_the_manifest_says(any_store):
    parents = [Parent(role="dataset", uri="file:///a", digest=OTHER)]
    with any_store.write("labels", "one", data_schema="test/1", config={"a": 1}, seed=7, parents=parents) as draft:
        (draft.path / "deep").mkdir()
        (draft.path / "deep" / "text").write_text("abc")
    artifact = any_store.read(draft.ref.uri, draft.ref.digest)
    assert draft.ref.uri == f"{any_store.root}/labels/one"
    assert (artifact.path / "deep" / "text").read_text() == "abc"
    manifest = artifact.manifest
    assert (manifest.kind, manifest.key, manifest.data_schema) == ("labels", "one", "test/1")
    assert (manifest.config, manifest.seed, manifest.parents) == ({"a": 1}, 7, parents)
    assert any_store.find("labels", "one") == artifact.ref == draft.ref


def test_equal_content_has_an_equal_digest_whatever_made_it(any_store):
    refs = put(any_store, "one", a="x", b="y"), put(any_store, "two", b="y", a="x"), put(any_store, "three", a="x")
    assert refs[0].digest == refs[1].digest != refs[2].digest
    assert len({ref.uri for ref in refs}) == 3


def test_the_first_write_of_a_key_stands(any_store):
    first, second = put(any_store, "one", text="first"), put(any_store, "one", text="second")
    assert second == first
    assert (any_store.read(first.uri).path / "text").read_text() == "first"


def test_a_write_that_raises_leaves_nothing(any_store, tmp_path):
    drafts = []

    def fail():
        with any_store.write("datasets", "one", data_schema="test/1", config={}) as draft:
            drafts.append(draft)
            (draft.path / "text").write_text("abc")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail()
    (draft,) = drafts
    assert draft.ref is None
    assert any_store.find("datasets", "one") is None
    assert not draft.path.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_killed_process_had_begun_is_removed_a_day_later(store, tmp_path):
    drafts = tmp_path / "artifacts" / "datasets" / ".staging"
    for name, age in (("abandoned", 25 * 3600), ("under-way", 3600)):
        (drafts / name).mkdir(parents=True)
        os.utime(drafts / name, (time.time() - age,) * 2)
    put(store, "a")
    assert [path.name for path in drafts.iterdir()] == ["under-way"]


def test_nobody_sees_a_draft_before_its_block_ends(any_store):
    with any_store.write("datasets", "one", data_schema="test/1", config={}) as draft:
        (draft.path / "text").write_text("abc")
        assert any_store.find("datasets", "one") is None
    assert any_store.find("datasets", "one") == draft.ref


READ_ONLY = """
import sys
from pathlib import Path
from w2s.artifacts import ArtifactStore

root, held_out = sys.argv[1:]
store = ArtifactStore(root)
for key in ("run-1", "run-2"):
    store.workspace("models", key).write("progress", b"half")
    with store.write("models", key, data_schema="test/1", config={}) as draft:
        (draft.path / "weights").write_text(key)
store.workspace("models", "run-1").clear()
store.delete("models", "run-2")
print(store.read(held_out).manifest.key)
for change in (
    lambda: store.delete("datasets", "held-out"),
    lambda: Path(root.removeprefix("file://"), "datasets", "held-out", "text").write_text("what the student says"),
    lambda: store.write("predictions", "of-itself", data_schema="test/1", config={}).__enter__(),
    lambda: store.workspace("predictions", "of-itself").write("progress", b"all right"),
):
    try:
        change()
    except OSError as error:
        print(error.strerror)
"""


def test_who_writes_models_need_be_able_to_write_nothing_else(store):
    held_out = put(store, "held-out")
    models = Path(store.root.removeprefix("file://"), "models")
    models.mkdir()
    # As a pod mounts a volume read-only, and one folder of it to be written.
    bind = f"mount --rbind {models.parent} {models.parent} && mount --bind {models} {models}"
    alone = ["unshare", "--mount", "sh", "-c"]
    script = f'{bind} && mount -o remount,bind,ro {models.parent} && exec "$@"'
    if subprocess.run([*alone, script, "sh", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    command = [sys.executable, "-c", READ_ONLY, store.root, held_out.uri]
    done = subprocess.run([*alone, script, "sh", *command], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["held-out", *["Read-only file system"] * 4], done.stderr
    assert [path.name for path in models.iterdir() if not path.name.startswith(".")] == ["run-1"]


def test_a_deleted_artifact_is_gone_and_its_key_is_free(any_store):
    first, other = put(any_store, "one", text="first"), put(any_store, "two")
    any_store.delete("datasets", "one")
    assert any_store.find("datasets", "one") is None
    with pytest.raises(NotFound):
        any_store.read(first.uri)
    assert any_store.read(other.uri).ref == other
    second = put(any_store, "one", text="second")
    assert (any_store.read(second.uri).path / "text").read_text() == "second"


def test_a_deleted_artifact_leaves_no_file(any_store):
    put(any_store, "one", text="abc", more="def")
    any_store.delete("datasets", "one")
    fs, base = fsspec.core.url_to_fs(any_store.root)
    assert fs.find(base) == []


def test_there_is_nothing_to_delete_without_a_manifest(any_store):
    with pytest.raises(NotFound, match="no artifact"):
        any_store.delete("datasets", "one")
    put_file(f"{any_store.uri('datasets', 'one')}/text", b"abc")
    with pytest.raises(NotFound, match="no artifact"):
        any_store.delete("datasets", "one")


def test_a_damaged_artifact_can_be_deleted(any_store):
    ref = put(any_store, "one")
    put_file(f"{ref.uri}/manifest.json", b"{")
    any_store.delete("datasets", "one")
    assert any_store.find("datasets", "one") is None


def test_only_a_key_can_be_deleted(store):
    with pytest.raises(InvalidArgument):
        store.delete("datasets", "../datasets")


@pytest.mark.parametrize("moment", ["before the first file", "at a file"])
def test_an_artifact_that_is_deleted_while_it_is_read_is_not_found(store, monkeypatch, moment):
    ref = put(store, "one", text="abc", more="def")
    name = (
        "w2s.artifacts.store.hash_folder" if moment == "before the first file" else "w2s.artifacts.manifest.hash_file"
    )
    module, _, function = name.rpartition(".")
    hashed = getattr(importlib.import_module(module), function)

    def delete_first(path):
        if store.find("datasets", "one"):
            store.delete("datasets", "one")
        return hashed(path)

    monkeypatch.setattr(name, delete_first)
    with pytest.raises(NotFound):
        store.read(ref.uri)


def test_all_of_an_artifact_is_on_the_disk_before_it_can_be_read(store, monkeypatch):
    synced, fsync = [], os.fsync

    def note(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((path.name, store.find("datasets", "one") is not None))
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", note)
    with store.write("datasets", "one", data_schema="test/1", config={}) as draft:
        (draft.path / "deep").mkdir()
        (draft.path / "deep" / "text").write_text("abc")
    assert {name for name, there in synced if not there} >= {"text", "deep", draft.path.name, "manifest.json"}
    assert [name for name, there in synced if there] == ["datasets"]


def test_what_is_no_folder_with_a_manifest_is_no_artifact(any_store):
    uri = put(any_store, "one", text="abc").uri
    put_file(f"{any_store.root}/datasets/two/manifest.json/text", b"abc")
    for other in (f"{uri}/manifest.json", f"{uri}/text", any_store.uri("datasets", "two"), uri.rpartition("/")[0]):
        with pytest.raises(NotFound, match="no artifact"):
            any_store.manifest(other)


def test_files_without_a_manifest_are_no_artifact(any_store):
    uri = any_store.uri("datasets", "one")
    put_file(f"{uri}/text", b"abc")
    with pytest.raises(NotFound, match="no artifact"):
        any_store.read(uri)
    assert any_store.find("datasets", "one") is None


def test_a_changed_byte_is_data_loss(any_store):
    ref = put(any_store, "one", text="abc")
    put_file(f"{ref.uri}/text", b"abd")
    with pytest.raises(DataLoss, match="do not match"):
        any_store.read(ref.uri)


def test_a_missing_file_is_data_loss(any_store):
    ref = put(any_store, "one", text="abc", more="def")
    fs, path = fsspec.core.url_to_fs(f"{ref.uri}/text")
    fs.rm_file(path)
    with pytest.raises(DataLoss):
        any_store.read(ref.uri)


def test_an_added_file_is_data_loss(store):
    ref = put(store, "one")
    put_file(f"{ref.uri}/more", b"")
    with pytest.raises(DataLoss, match="do not match"):
        store.read(ref.uri)


@pytest.mark.parametrize("kept", ["inside", "outside"])
def test_a_file_that_became_a_link_is_data_loss_though_it_says_the_same(store, tmp_path, kept):
    ref = put(store, "one", text="abc")
    path = store.read(ref.uri).path / "text"
    elsewhere = tmp_path / ("secret" if kept == "outside" else "artifacts/secret")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(DataLoss, match="do not match"):
        store.read(ref.uri)


def test_a_manifest_that_lists_changed_files_under_the_old_digest_is_data_loss(any_store):
    ref, forged = put(any_store, "one", text="abc"), put(any_store, "two", text="abd")
    manifest = any_store.manifest(forged.uri).model_copy(update={"digest": ref.digest})
    put_file(f"{ref.uri}/manifest.json", manifest.model_dump_json().encode())
    put_file(f"{ref.uri}/text", b"abd")
    with pytest.raises(DataLoss, match="do not match"):
        any_store.read(ref.uri, ref.digest)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"digest": 1}'])
def test_a_damaged_manifest_is_data_loss(store, content):
    ref = put(store, "one")
    put_file(f"{ref.uri}/manifest.json", content)
    with pytest.raises(DataLoss, match="damaged"):
        store.manifest(ref.uri)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped", "a\\..\\b", ""])
def test_a_manifest_that_names_files_elsewhere_is_data_loss_and_nothing_is_fetched(any_store, tmp_path, name):
    ref = put(any_store, "one", text="abc")
    content = any_store.manifest(ref.uri).model_dump(mode="json")
    content["files"] = {name: content["files"]["text"]}
    put_file(f"{ref.uri}/manifest.json", json.dumps(content).encode())
    with pytest.raises(DataLoss, match="damaged"):
        any_store.read(ref.uri)
    assert not list(tmp_path.rglob("escaped"))


def test_another_digest_than_asked_for_is_a_failed_precondition(any_store):
    ref = put(any_store, "one")
    with pytest.raises(FailedPrecondition, match=ref.digest):
        any_store.read(ref.uri, OTHER)


@pytest.mark.parametrize("uri", ["file:///etc", "{root}/../x", "{root}/datasets/%2e%2e", "datasets/one", "{root}"])
def test_addresses_outside_the_root_are_refused(store, uri):
    with pytest.raises(InvalidArgument, match=r"dataset\.uri"):
        store.read(uri.format(root=store.root), field="dataset.uri")


def test_keys_cannot_name_a_path(store):
    with pytest.raises(InvalidArgument), store.write("datasets", "../x", data_schema="test/1", config={}):
        pass


def test_a_remote_artifact_is_fetched_once_and_again_when_the_copy_is_damaged(tmp_path):
    remote = ArtifactStore(f"memory://{tmp_path.name}", cache=tmp_path / "cache")
    ref = put(remote, "one", text="abc")
    first = remote.read(ref.uri).path
    assert remote.read(ref.uri).path == first
    (first / "text").write_text("damaged")
    with pytest.raises(DataLoss):
        remote.read(ref.uri)
    assert (remote.read(ref.uri).path / "text").read_text() == "abc"
