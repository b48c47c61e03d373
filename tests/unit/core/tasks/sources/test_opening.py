from __future__ import annotations

import pytest

from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.tasks.origins import FileOrigin, PackageOrigin, Part, PartsOrigin
from w2s.tasks.sources import open_source


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("pkg://tinydata/none.jsonl", FailedPrecondition),
        ("pkg://os/path.py", InvalidArgument),
        ("file:///etc/passwd", InvalidArgument),
        ("pkg://tinydata/../x", InvalidArgument),
    ],
)
def test_a_package_source_is_a_file_in_a_package_that_is_allowed(make_task, uri, error):
    make_task([])
    with pytest.raises(error):
        open_source(PackageOrigin(uri=uri))


def test_parts_become_one_source_whose_rows_say_which_they_are_of(make_task):
    make_task([{"q": "a", "l": 1}, {"q": "b", "l": 0}])
    first = Part(uri="pkg://tinydata/rows.jsonl", columns={"safe": False, "l": 7})
    second = Part(uri="pkg://tinydata/rows.jsonl", renamed={"q": "prompt"}, columns={"safe": True})
    rows = list(open_source(PartsOrigin(kind="parts", parts=(first, second))).rows)
    assert rows[:2] == [{"q": "a", "l": 7, "safe": False}, {"q": "b", "l": 7, "safe": False}]
    assert rows[2:] == [{"prompt": "a", "l": 1, "safe": True}, {"prompt": "b", "l": 0, "safe": True}]
    missing = Part(uri="pkg://tinydata/none.jsonl")
    with pytest.raises(FailedPrecondition):
        list(open_source(PartsOrigin(kind="parts", parts=(first, missing))).rows)


def test_a_file_of_ones_own_is_below_the_folder_for_them(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text('q,l\n"two\nlines",1\n')
    (tmp_path / "secret.csv").write_text("q,l\n")
    (tmp_path / "data" / "link.csv").symlink_to(tmp_path / "secret.csv")
    monkeypatch.setenv("W2S_DATA_ROOT", str(tmp_path / "data"))
    source = open_source(FileOrigin(kind="file", path="rows.csv"))
    assert (list(source.rows), source.held_out) == ([{"q": "two\nlines", "l": "1"}], None)
    for path in ("../secret.csv", "link.csv", "/etc/passwd"):
        with pytest.raises(InvalidArgument):
            open_source(FileOrigin(kind="file", path=path))
    with pytest.raises(FailedPrecondition, match=r"no none\.csv"):
        open_source(FileOrigin(kind="file", path="none.csv"))
    monkeypatch.setenv("W2S_DATA_ROOT", "s3://bucket")
    with pytest.raises(FailedPrecondition, match="must be a local folder"):
        open_source(FileOrigin(kind="file", path="rows.csv"))
    monkeypatch.delenv("W2S_DATA_ROOT")
    with pytest.raises(FailedPrecondition, match="W2S_DATA_ROOT"):
        open_source(FileOrigin(kind="file", path="rows.csv"))
