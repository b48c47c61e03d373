"""The house style, measured: short functions, typed and documented; arrows that point one way."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAX_LINES = 80
FILES = [
    path
    for path in subprocess.run(
        ["git", "ls-files", "services/*.py", "pipelines/*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    if "_pb2" not in path
]
SERVICES = {"w2s_supervisor", "w2s_trainer", "w2s_evaluator"}
# What each package may import of ours, and what the core must not know.
ALLOWED = {
    "services/core": {"w2s"},
    "services/supervisor": {"w2s", "w2s_supervisor"},
    "services/trainer": {"w2s", "w2s_trainer"},
    "services/evaluator": {"w2s", "w2s_evaluator"},
    "services/cli": {"w2s", "w2s_cli", "pipelines"},
    "pipelines": {"w2s", "pipelines"},
}
OURS = {"w2s", "w2s_cli", "pipelines"} | SERVICES


def functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (f"{file}:{node.name}", node)
        for file in FILES
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def length(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1


def imports(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def test_functions_are_short():
    # KFP reads a pipeline's and a step's parameters from its signature, however many.
    measured = {name: length(node) for name, node in functions() if not node.decorator_list}
    assert {name: lines for name, lines in measured.items() if lines > MAX_LINES} == {}
    lengths = sorted(measured.values())
    assert statistics.median(lengths) <= 12
    assert lengths[int(0.9 * len(lengths))] <= 40


def test_functions_are_typed():
    assert [name for name, node in functions() if node.returns is None] == []


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package):
    wrong = [
        f"{file} imports {name}"
        for file in FILES
        if file.startswith(f"{package}/")
        for name in imports(file)
        if name.split(".")[0] in OURS - ALLOWED[package]
    ]
    assert wrong == []


def test_core_knows_no_orchestrator():
    forbidden = {"kfp", "kubernetes", "typer", "rich"}
    wrong = [f for f in FILES if f.startswith("services/core") for n in imports(f) if n.split(".")[0] in forbidden]
    assert wrong == []


@pytest.mark.parametrize("package", ["objectives", "metrics"])
def test_formulas_know_no_io(package):
    allowed = {
        "__future__",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "math",
        "numpy",
        "statistics",
        "torch",
        "typing",
    }
    for file in FILES:
        if file.startswith(f"services/core/w2s/{package}/"):
            outside = {name.split(".")[0] for name in imports(file) if not name.startswith(f"w2s.{package}")}
            assert outside <= allowed, file


def test_nothing_unpickles_or_trusts_remote_code():
    text = {file: (ROOT / file).read_text() for file in FILES}
    assert [
        file for file, code in text.items() if re.search(r"trust_remote_code\s*=\s*True|allow_pickle\s*=\s*True", code)
    ] == []
    unpicklers = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert [file for file in FILES for name in imports(file) if name.split(".")[0] in unpicklers] == []
    # The optimiser's state of a checkpoint of ours, as tensors alone.
    loads = [(file, call) for file, code in text.items() for call in re.findall(r"\btorch\.load\((.*)\)", code)]
    assert [file for file, call in loads if "weights_only=True" not in call] == []
    assert len(loads) == sum(len(re.findall(r"\btorch\.load\b", code)) for code in text.values())
