"""Says which small changes to the formulas no test notices: `PYTHONPATH=tests python -m mutation [MODULE]...`.

Each change is made in a process of its own, forked once the libraries are imported, which runs the module's tests.
Those that change nothing are in docs/mutants.md with the reason; any other that survives fails the command.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import resource
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import hypothesis
import pytest

from mutation.mutants import Mutant, mutants, unchanged

ROOT = Path(__file__).parents[2]
CORE = ROOT / "services" / "core"
PACKAGES = ("objectives", "metrics")
# What the tests import besides the formulas: once, and not for each change.
LIBRARIES = ("numpy", "scipy.stats", "sklearn.metrics", "torch", "w2s.artifacts")
CPU_S = 60
EQUIVALENT = ROOT / "docs" / "mutants.md"


def main(names: list[str]) -> int:
    """Changes the modules that are named, or all; returns how many changes survive without a reason."""
    for library in LIBRARIES:
        importlib.import_module(library)
    # What a first call costs is no fault, and one run is as the other.
    hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None)
    listed = set(re.findall(r"^- `` (.*?) ``", EQUIVALENT.read_text(), re.MULTILINE))
    made = survived = unexplained = 0
    for path in (path for package in PACKAGES for path in sorted((CORE / "w2s" / package).glob("*.py"))):
        module = ".".join(path.relative_to(CORE).with_suffix("").parts)
        if names and module not in names:
            continue
        assert not _noticed(unchanged(path, module), path), f"the tests of {module} fail as it is"
        for mutant in mutants(path, module):
            made += 1
            if _noticed(mutant, path):
                continue
            survived += 1
            if mutant.name not in listed:
                unexplained += 1
                _say(f"{path.relative_to(ROOT)}:{mutant.line}\n- `` {mutant.name} ``")
        _say(f"{module}: {made} changes so far, {survived} survive, {unexplained} unexplained")
    return unexplained


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the command is for


def _noticed(mutant: Mutant, path: Path) -> bool:
    tests = ROOT / "tests" / "unit" / "core" / path.parent.name
    own = tests / f"test_{path.stem}.py"
    return (own.exists() and not _passes(mutant, own)) or not _passes(mutant, tests)


def _passes(mutant: Mutant, tests: Path) -> bool:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    code = 1
    with contextlib.suppress(BaseException):
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        code = _run(mutant, tests)
    os._exit(code)


def _run(mutant: Mutant, tests: Path) -> int:
    get_code = SourceFileLoader.get_code

    def changed(loader: SourceFileLoader, name: str) -> CodeType | None:
        return compile(mutant.tree, loader.path, "exec") if name == mutant.module else get_code(loader, name)

    SourceFileLoader.get_code = changed  # type: ignore[method-assign]
    nowhere: Any = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    plugins = ("cacheprovider", "timeout")
    flags = [flag for name in plugins for flag in ("-p", f"no:{name}")]
    return int(pytest.main(["-x", "-q", "--tb=no", "--hypothesis-profile=mutants", *flags, str(tests)]))


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
