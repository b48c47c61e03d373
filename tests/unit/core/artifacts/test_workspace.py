from __future__ import annotations

from pathlib import Path

import pytest

from w2s.artifacts import ArtifactStore
from w2s.errors import InvalidArgument


@pytest.fixture(params=["local", "remote"])
def anywhere(request, tmp_path):
    root = str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}-workspace"
    return ArtifactStore(root)


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
        store.manifest(f"{store.root}/.work/labels/job")
    assert Path(tmp_path, ".work", "labels", "job", "0").read_bytes() == b"one"
