"""`w2s pipelines`: what KFP is given, and what the command answers."""

from __future__ import annotations

import json

import pytest
import yaml
from helpers.pipelines_api import serving
from typer.testing import CliRunner

from pipelines.catalog import PIPELINES
from pipelines.compile import file_of
from w2s_cli.main import app

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def w2s(*arguments, code=0):
    ended = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert ended.exit_code == code, ended.output
    return ended


def compiled(path):
    """The pipeline, and what its platform is told."""
    return list(yaml.safe_load_all(path.read_text()))


@pytest.fixture
def kfp(monkeypatch):
    with serving() as server:
        server.page = 100
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.host)
        yield server


def test_pipelines_are_listed():
    assert set(json.loads(w2s("pipelines", "list", "--json").stdout)) == set(PIPELINES)
    assert [line.split()[0] for line in w2s("pipelines", "list").stdout.splitlines()] == list(PIPELINES)


def test_a_pipeline_is_compiled_to_what_is_committed(tmp_path):
    out = tmp_path / "made.yaml"
    assert json.loads(w2s("pipelines", "compile", "delta-theory", f"--out={out}", "--json").stdout)["path"] == str(out)
    assert compiled(out) == compiled(file_of("delta-theory"))


def test_pipelines_are_registered_once(kfp):
    made = [json.loads(w2s("pipelines", "register", "--json").stdout) for _ in range(2)]
    assert [[one["new"] for one in found] for found in made] == [[True] * len(PIPELINES), [False] * len(PIPELINES)]
    assert kfp.pipelines == {one["name"]: one["pipeline_id"] for one in made[0]}


def test_a_pipeline_is_submitted_with_its_settings(kfp):
    submitted = w2s("pipelines", "submit", "delta-theory", "--set=walk_points=7", "--json")
    assert json.loads(submitted.stdout) == {"run_id": "started"}
    (run,) = kfp.runs
    assert run["runtime_config"]["parameters"]["walk_points"] == 7
    assert run["pipeline_spec"]["pipeline_spec"] == compiled(file_of("delta-theory"))[0]


def test_what_kfp_refuses_is_said_in_a_line(kfp):
    kfp.refuses = True
    said = w2s("pipelines", "submit", "delta-theory", code=1).output
    assert f"Failed: KFP at {kfp.host} answered 403 Forbidden" in said.replace("\n", " ")
