from __future__ import annotations

import json

import pytest

from w2s.tasks import Task


@pytest.fixture
def make_task(tmp_path, monkeypatch):
    """Makes a task whose source is a package with the given rows."""

    def make(rows, conversion=None, **settings) -> Task:
        package = tmp_path / "tinydata"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (package / "rows.jsonl").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr("w2s.tasks.sources.opening.DATA_PACKAGES", {"tinydata"})
        fields = {
            "name": "tiny",
            "title": "",
            "family": "nlp",
            "source": {"kind": "package", "uri": "pkg://tinydata/rows.jsonl"},
            "conversion": {"kind": "labelled", "text": "{q}", "label": "l", "labels": {"no": [0], "yes": [1]}}
            | (conversion or {}),
            "metric": "accuracy",
            "licence": "CC0-1.0",
        }
        return Task.model_validate({**fields, **settings})

    return make
