from __future__ import annotations

import pytest

from w2s.errors import InvalidArgument
from w2s.metrics import Direction
from w2s.tasks import TASKS, get_task, list_tasks, load_task, register_task

FILE = """
title = "Is the answer yes?"
metric = "nll"
licence = "CC0-1.0"
balanced = true

[source]
kind = "file"
path = "mine.csv"

[conversion]
kind = "labelled"
text = "{q}"
label = "l"
labels = { no = ["0"], yes = ["1"] }
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "legal").mkdir(exist_ok=True)
        path = tmp_path / "legal" / "mine.toml"
        path.write_text(text)
        return path

    return write


def test_a_registered_task_is_found_by_its_name(make_task, monkeypatch):
    monkeypatch.setattr("w2s.tasks.registry.TASKS", {})
    task = register_task(make_task([], name="mine"))
    assert get_task("mine") is task
    with pytest.raises(ValueError, match="mine is registered already"):
        register_task(task)


def test_an_unknown_task_is_refused_with_those_there_are():
    with pytest.raises(InvalidArgument, match=", ".join(sorted(TASKS))):
        get_task("none")


def test_a_task_is_one_file_named_as_it_in_its_familys_folder(write):
    task = load_task(write(FILE))
    assert (task.name, task.family, task.kind, task.label_names) == ("mine", "legal", "classification", ("no", "yes"))
    assert (task.direction, task.offline, task.version) == (Direction.LOWER, False, 1)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("metric =", "metrics =", "metrics"),
        ('text = "{q}"', 'text = "{q}"\nsplit = 2', "split"),
        ('path = "mine.csv"', 'path = "mine.csv"\nsheet = 1', "sheet"),
        ('"nll"', '"charm"', "METRICS"),
        ('"{q}"', '"{q.__class__!r}"', "braces must hold the name of a column"),
        ('"labelled"', '"exec"', "exec"),
        ("[source]", "[source", "no task"),
        (
            '"labelled"\ntext = "{q}"\nlabel = "l"\nlabels = { no = ["0"], yes = ["1"] }',
            '"completion"\nprompt = "{q}"',
            "balanced",
        ),
    ],
)
def test_a_file_that_says_what_no_task_has_is_refused(write, old, new, problem):
    with pytest.raises(InvalidArgument, match=problem):
        load_task(write(FILE.replace(old, new)))


def test_tasks_are_listed_by_what_they_are_about_and_made_of():
    assert [task.name for task in list_tasks(kind="pairs", family="preference", offline=True)] == [
        "boolq_remarks_harmless",
        "boolq_remarks_helpful",
        "factual_summary",
    ]
    kinds = {kind: list_tasks(kind=kind) for kind in ("classification", "pairs", "completions")}
    assert sum(map(len, kinds.values())) == len(list_tasks()) == len(TASKS)
