from __future__ import annotations

import pytest

from w2s.artifacts import durable


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "text").write_text("abc")
    return folder


def test_a_folder_is_moved_in_place_of_what_has_its_name(folder, tmp_path):
    taken = tmp_path / "taken"
    for make in (lambda: None, taken.mkdir, lambda: taken.write_text("a file")):
        make()
        durable.replace(folder, taken, tmp_path / ".aside")
        assert [path.name for path in tmp_path.iterdir()] == ["taken"]
        assert (taken / "text").read_text() == "abc"
        taken.rename(folder)


def test_a_folder_with_files_is_never_moved_onto(folder, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "text").write_text("def")
    with pytest.raises(OSError, match="not empty"):
        durable.move(folder, tmp_path / "taken")
    assert (folder / "text").read_text() == "abc"


def test_what_is_discarded_is_gone_and_what_is_not_there_is_told(folder, tmp_path):
    assert durable.discard(folder / "text", tmp_path / ".aside")
    assert durable.discard(folder, tmp_path / ".aside")
    assert not durable.discard(folder, tmp_path / ".aside")
    assert list(tmp_path.iterdir()) == []
