from __future__ import annotations

import json

import pytest

from w2s.tasks import Task


@pytest.fixture
def make_task(tmp_path, monkeypatch):
    """Makes a task whose source is a package with the given rows."""

    def make(rows, **settings) -> Task:
        package = tmp_path / "tinydata"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (package / "rows.jsonl").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr("w2s.tasks.sources.DATA_PACKAGES", {"tinydata"})
        fields = {
            "name": "tiny",
            "title": "",
            "source": "pkg://tinydata/rows.jsonl",
            "text": "q",
            "label_names": ("no", "yes"),
            "licence": "CC0-1.0",
        }
        return Task(**{**fields, **settings})

    return make
