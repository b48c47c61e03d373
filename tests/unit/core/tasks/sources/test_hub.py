"""The hub's own client reads a data set: from its cache with the network off, or from a hub in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.tiny_hub import TinyHub

COMMIT = "c" * 40

READ = """
import json, sys
from w2s.tasks.origins import HubOrigin
from w2s.tasks.sources import open_source
settings = {"kind": "hub", "name": "org/tiny", "verified": False, **json.loads(sys.argv[1])}
source = open_source(HubOrigin.model_validate(settings))
first = next(source.rows)["q"]
held_out = None if source.held_out is None else [row["q"] for row in source.held_out]
print(json.dumps([source.revision, [first, *(row["q"] for row in source.rows)], held_out]))
"""


@pytest.fixture
def hub(tmp_path):
    """A hub cache that holds org/tiny, with a script, on the branch of Parquet copies."""
    folder = tmp_path / "hub" / "datasets--org--tiny"
    snapshot = folder / "snapshots" / COMMIT
    shards_of = {"default/train": [["a"], ["b", "c"]], "default/test": [["d"]], "other/default/train": [["no"]]}
    for split, shards in shards_of.items():
        for number, shard in enumerate(shards):
            path = snapshot / split / f"{number:04}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist([{"q": q} for q in shard]), path)
    (snapshot / "tiny.py").write_text("raise SystemExit('the script ran')")
    branch = folder / "refs" / "refs" / "convert" / "parquet"
    branch.parent.mkdir(parents=True)
    branch.write_text(COMMIT)
    return tmp_path / "hub"


def read(hub, variables=None, **settings):
    return subprocess.run(
        [sys.executable, "-c", READ, json.dumps(settings)],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1", **(variables or {})},
        check=False,
    )


class DatasetHub(TinyHub):
    """Serves folders as data sets: their routes are those of models, under other names."""

    def answer(self, request, *, body):
        request.path = request.path.replace("/api/datasets/", "/api/models/").removeprefix("/datasets")
        super().answer(request, body=body)


def test_a_data_sets_files_are_read_shard_by_shard_at_its_commit(hub):
    ended = read(hub, test_splits=["test"])
    assert json.loads(ended.stdout.splitlines()[-1]) == [COMMIT, ["a", "b", "c"], ["d"]], ended.stderr


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"splits": ["validation"]}, "org/tiny has no default/validation/"),
        ({"name": "org/other"}, "FailedPrecondition"),
        ({"name": "org/a--b"}, "InvalidArgument: task.source: the hub has no org/a--b"),
        ({"revision": "main"}, "FailedPrecondition"),
        ({"trust_remote_code": True}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_not_there_is_refused(hub, settings, error):
    ended = read(hub, **settings)
    assert ended.returncode == 1
    assert error in ended.stderr


def test_a_shard_is_fetched_when_its_rows_are_asked_for_and_nothing_but_data(hub, tmp_path):
    snapshot = hub / "datasets--org--tiny" / "snapshots" / COMMIT
    server = DatasetHub({("org/tiny", COMMIT): snapshot}, {("org/tiny", "refs/convert/parquet"): COMMIT})
    try:
        ended = read(tmp_path / "empty", {"HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "0"}, test_splits=["test"])
    finally:
        server.close()
    assert json.loads(ended.stdout.splitlines()[-1]) == [COMMIT, ["a", "b", "c"], ["d"]], ended.stderr
    fetched = [
        request.rpartition("/")[0].rpartition("/")[2] for request in server.requests if ".parquet" in request[-9:]
    ]
    assert [split for split, again in zip(fetched, [None, *fetched], strict=False) if split != again] == [
        "train",
        "test",
        "train",
    ]
    assert not any("tiny.py" in request for request in server.requests)
