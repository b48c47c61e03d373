from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from w2s.errors import InvalidArgument
from w2s_cli import config
from w2s_cli.config import Setting, resolve
from w2s_cli.main import app


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes the file of settings; no variable is set but its own."""
    for name in config.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "w2s.toml"
    monkeypatch.setenv("W2S_CONFIG", str(path))

    def write(text):
        path.write_text(text)
        return path

    return write


def test_a_flag_wins_over_a_variable_and_that_over_the_file(file, monkeypatch):
    path = file('supervisor = "file:1"\ntrainer = "file:2"\nevaluator = "file:3"\n')
    monkeypatch.setenv("W2S_TRAINER_ADDRESS", "environment:2")
    found = resolve({"supervisor": "flag:1", "trainer": None})
    assert found["supervisor"] == Setting("flag:1", "flag")
    assert found["trainer"] == Setting("environment:2", "environment")
    assert found["evaluator"] == Setting("file:3", str(path))
    assert found["token_file"] == Setting("", "not set")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("supervisor", "is no TOML"),
        ('superviser = "a:1"', "superviser: is no setting"),
        ("supervisor = 1", "supervisor: must be text in quotes"),
    ],
)
def test_a_wrong_file_is_refused_by_name(file, text, problem):
    file(text)
    with pytest.raises(InvalidArgument, match=problem):
        resolve({})


def test_a_file_that_is_named_must_be_there(file):
    with pytest.raises(InvalidArgument, match="there is no file"):
        resolve({})


@pytest.mark.parametrize("name", config.VARIABLES)
def test_every_setting_is_a_flag_that_show_reports(file, monkeypatch, name):
    file("")
    monkeypatch.setattr(config.os, "environ", dict(config.os.environ))
    ended = CliRunner().invoke(app, [f"--{name.replace('_', '-')}=mine", "config", "show", "--json"])
    assert json.loads(ended.stdout)[name] == {"value": "mine", "source": "flag"}


def test_show_says_where_each_value_comes_from(file, monkeypatch):
    path = file('supervisor = "file:1"\n')
    # What the command hands to the library must not outlive the test.
    monkeypatch.setattr(config.os, "environ", dict(config.os.environ))
    ended = CliRunner().invoke(app, ["--trainer=flag:2", "config", "show", "--json"])
    shown = json.loads(ended.stdout)
    assert shown["supervisor"] == {"value": "file:1", "source": str(path)}
    assert shown["trainer"] == {"value": "flag:2", "source": "flag"}
