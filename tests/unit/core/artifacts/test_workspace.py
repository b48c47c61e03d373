from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import fsspec
import pytest

from w2s.artifacts import ArtifactStore
from w2s.errors import InvalidArgument

FILES = {"weights": "abc", "deep/state": "def"}


@pytest.fixture(params=["local", "remote"])
def anywhere(request, tmp_path):
    root = str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}-workspace"
    return ArtifactStore(root)


@pytest.fixture
def workspace(anywhere):
    return anywhere.workspace("models", "run")


@pytest.fixture
def make_folder(tmp_path):
    def make(**files: str):
        folder = tmp_path / "made" / str(len(list(tmp_path.glob("made/*"))))
        for name, text in (files or FILES).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return make


@pytest.fixture
def behind(anywhere):
    """Paths of the run's workspace, behind its back, and their file system."""
    fs, base = fsspec.core.url_to_fs(f"{anywhere.root}/models/.work/run")
    return fs, base


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "digests.json"
    }


def test_a_blob_comes_back_and_is_replaced_as_a_whole(anywhere):
    workspace = anywhere.workspace("labels", "job")
    assert workspace.read("0") is None
    workspace.write("0", b"one")
    workspace.write("0", b"two")
    assert (workspace.read("0"), workspace.read("1")) == (b"two", None)


def test_jobs_do_not_share_a_workspace(anywhere):
    anywhere.workspace("labels", "a").write("0", b"a")
    assert anywhere.workspace("labels", "b").read("0") is None


def test_a_cleared_workspace_is_empty_and_can_be_cleared_again(anywhere):
    workspace = anywhere.workspace("labels", "job")
    workspace.write("0", b"one")
    workspace.clear()
    workspace.clear()
    assert workspace.read("0") is None


def test_no_address_of_a_caller_leads_into_a_workspace(tmp_path):
    store = ArtifactStore(str(tmp_path))
    store.workspace("labels", "job").write("0", b"one")
    with pytest.raises(InvalidArgument, match="plain names"):
        store.manifest(f"{store.root}/labels/.work/job")
    assert Path(tmp_path, "labels", ".work", "job", "0").read_bytes() == b"one"


def test_a_published_folder_comes_back_and_the_one_it_was_made_of_stays(workspace, make_folder):
    made = make_folder()
    assert workspace.folder("step") is None
    workspace.publish("step", made)
    assert contents(workspace.folder("step")) == contents(made) == FILES


def test_another_replica_finds_a_published_folder(anywhere, make_folder):
    anywhere.workspace("models", "run").publish("step", make_folder())
    found = ArtifactStore(anywhere.root).workspace("models", "run").folder("step")
    assert contents(found) == FILES


def test_a_folder_is_replaced_as_a_whole(workspace, make_folder, behind):
    workspace.publish("step", make_folder())
    workspace.publish("step", make_folder(other="ghi"))
    assert contents(workspace.folder("step")) == {"other": "ghi"}
    fs, base = behind
    assert sorted(path.rpartition("/")[2] for path in fs.find(base)) == ["digests.json", "other"]


def test_a_folder_that_was_published_can_be_published_again(workspace, make_folder):
    workspace.publish("a", make_folder())
    workspace.publish("b", workspace.folder("a"))
    assert contents(workspace.folder("b")) == FILES


@pytest.mark.parametrize("name", ["weights", "deep/state", "digests.json"])
@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_folder_is_none(workspace, make_folder, behind, name, harm):
    workspace.publish("step", make_folder())
    fs, base = behind
    if harm == "changed":
        fs.pipe_file(f"{base}/step/{name}", b"abd")
    else:
        fs.rm_file(f"{base}/step/{name}")
    assert workspace.folder("step") is None


def test_a_folder_with_an_added_file_is_none(tmp_path, make_folder):
    workspace = ArtifactStore(str(tmp_path)).workspace("models", "run")
    workspace.publish("step", make_folder())
    (workspace.folder("step") / "more").write_text("")
    assert workspace.folder("step") is None


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped"])
def test_digests_that_name_files_elsewhere_fetch_nothing(workspace, make_folder, behind, tmp_path, name):
    workspace.publish("step", make_folder())
    fs, base = behind
    listing = fs.cat_file(f"{base}/step/digests.json").decode()
    fs.pipe_file(f"{base}/step/digests.json", listing.replace("weights", name).encode())
    assert workspace.folder("step") is None
    assert not list(tmp_path.rglob("escaped"))


def test_a_damaged_copy_of_a_remote_folder_is_fetched_again(tmp_path, make_folder):
    workspace = ArtifactStore(f"memory://{tmp_path.name}-copies").workspace("models", "run")
    workspace.publish("step", make_folder())
    copy = workspace.folder("step")
    assert workspace.folder("step") == copy
    (copy / "weights").write_text("damaged")
    assert contents(workspace.folder("step")) == FILES


def test_names_are_those_of_blobs_and_whole_folders(workspace, make_folder, behind):
    assert workspace.names() == []
    workspace.publish("step-2", make_folder())
    workspace.write("order", b"1")
    workspace.publish("step-1", make_folder())
    fs, base = behind
    for path in (".0a1b/digests.json", ".2c3d", "partial/weights"):
        fs.makedirs(f"{base}/{path}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{base}/{path}", b"")
    assert workspace.names() == ["order", "step-1", "step-2"]


def test_what_is_removed_is_gone_and_can_be_removed_again(workspace, make_folder):
    workspace.remove("step")
    workspace.publish("step", make_folder())
    workspace.publish("other", make_folder())
    workspace.write("order", b"1")
    for name in ("step", "order", "step"):
        workspace.remove(name)
    assert workspace.names() == ["other"]
    assert (workspace.folder("step"), workspace.read("order")) == (None, None)


@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_leaves_no_part_of_a_folder(workspace, make_folder, behind, monkeypatch, before):
    if before:
        workspace.publish("step-1", make_folder())
    fs, base = behind
    names = sorted(fs.find(base)) if before else []

    # Stands for the disk, which a test cannot fill: the second file finds no room.
    def refuse_the_second(copy):
        copied = []

        def full(*args, **kwargs):
            if copied:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            copied.append(copy(*args, **kwargs))

        return full

    monkeypatch.setattr("shutil.copyfile", refuse_the_second(shutil.copyfile))
    monkeypatch.setattr(type(fs), "put_file", refuse_the_second(type(fs).put_file))
    with pytest.raises(OSError, match="No space left") as caught:
        workspace.publish("step-2", make_folder())
    assert caught.value.errno == errno.ENOSPC
    assert sorted(fs.find(base)) == names
    assert workspace.names() == (["step-1"] if before else [])
    assert workspace.folder("step-2") is None


@pytest.mark.parametrize("what", ["folder", "blob"])
def test_all_that_is_kept_is_on_the_disk_before_it_has_its_name(tmp_path, make_folder, monkeypatch, what):
    workspace = ArtifactStore(str(tmp_path / "root")).workspace("models", "run")
    made, synced, fsync = make_folder(), [], os.fsync

    def note(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((path.name, "step" in workspace.names()))
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", note)
    if what == "folder":
        workspace.publish("step", made)
        assert {name for name, there in synced if not there} >= {"weights", "deep", "state", "digests.json"}
    else:
        workspace.write("step", b"abc")
    before = [name for name, there in synced if not there]
    # The folders above are new: each of their own folders knows them before what is in them is kept.
    assert {"models", ".work", "root", tmp_path.name} <= set(before)
    assert any(name.startswith(".") and len(name) == 33 for name in before)
    assert [name for name, there in synced if there] == ["run"]
