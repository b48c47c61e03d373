from __future__ import annotations

import pytest

from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.tasks.origins import FileOrigin, PackageOrigin
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
