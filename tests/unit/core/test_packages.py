from __future__ import annotations

import pytest

from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.packages import package_path


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "tinydata"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / "rows.jsonl").touch()
    (tmp_path / "secret").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_finds_a_file_without_importing_the_package(package):
    assert package_path("pkg://tinydata/rows.jsonl", {"tinydata"}) == package / "rows.jsonl"


@pytest.mark.parametrize(
    "uri",
    [
        "pkg://other/rows.jsonl",
        "pkg://tinydata",
        "pkg://tinydata/",
        "pkg://tinydata/../secret",
        "pkg://tinydata/%2e%2e/secret",
        "pkg://tinydata.sub/x",
        "pkg:///tinydata/rows.jsonl",
        "file://tinydata/rows.jsonl",
        "tinydata/rows.jsonl",
    ],
)
def test_refuses_what_is_not_plainly_inside_an_allowed_package(package, uri):
    with pytest.raises(InvalidArgument, match=r"task\.source"):
        package_path(uri, {"tinydata"}, "task.source")


@pytest.mark.parametrize(("uri", "problem"), [("pkg://absent/x", "not installed"), ("pkg://tinydata/x", "there is no")])
def test_says_what_is_missing(package, uri, problem):
    with pytest.raises(FailedPrecondition, match=problem):
        package_path(uri, {"tinydata", "absent"})
