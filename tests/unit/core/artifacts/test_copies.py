from __future__ import annotations

import fsspec
import pytest

from w2s.artifacts.copies import fetch


@pytest.fixture
def remote(tmp_path):
    """A remote folder of two files, and its file system."""
    fs, base = fsspec.core.url_to_fs(f"memory://{tmp_path.name}-remote")
    for name in ("a", "deep/b"):
        fs.pipe_file(f"{base}/{name}", name.encode())
    return fs, base


def test_what_is_there_is_fetched_and_what_is_missing_is_left_out(remote, tmp_path):
    target = tmp_path / "copies" / "one"
    fetch(*remote, ["a", "deep/b", "missing"], target)
    found = {path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert found == {"a": "a", "deep/b": "deep/b"}


def test_the_copy_of_a_reader_that_was_first_stands(remote, tmp_path):
    target = tmp_path / "copies" / "one"
    fetch(*remote, ["a"], target)
    fetch(*remote, ["deep/b"], target)
    assert [path.name for path in target.parent.rglob("*")] == ["one", "a"]


def test_a_fetch_that_fails_leaves_nothing(remote, tmp_path):
    target = tmp_path / "copies" / "one"
    with pytest.raises(FileExistsError):
        fetch(*remote, ["a", "a/below-a-file"], target)
    assert list(target.parent.iterdir()) == []
