"""Every link of the documentation leads somewhere, and the site builds."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from w2s.trainer.v1.trainer_pb2 import RunSpec

ROOT = Path(__file__).parents[3]
FILES = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
LINK = re.compile(r"\]\(((?!https?:|mailto:)[^)\s]*)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", FILES)
def test_links_lead_somewhere(file):
    page = ROOT / file
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        found = page if not path else page.parent / path
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("file", [file for file in FILES if "```sh" in (ROOT / file).read_text()])
def test_targets_and_modules_of_commands_exist(file):
    lines = [
        line
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)
        for line in block.splitlines()
    ]
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    assert targets - set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) == set()
    modules = {line.split()[2] for line in lines if line.startswith(".venv/bin/python -m ")}
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    # The environment is at hand for who types it in a checkout, and not on the path.
    assert [line for line in lines if line.startswith(("python ", "w2s "))] == []


def test_what_the_papers_page_names_is_in_the_code():
    named = re.findall(r"`((?:w2s\w*|pipelines)(?:\.\w+)+|RunSpec\.\w+)`", (ROOT / "docs/papers.md").read_text())
    assert len(named) > 40
    fields = {f"RunSpec.{field}" for field in RunSpec.DESCRIPTOR.fields_by_name}
    for name in named:
        assert name in fields or pkgutil.resolve_name(name) is not None


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", f"--site-dir={tmp_path}"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    concepts = (tmp_path / "concepts" / "index.html").read_text()
    assert "Performance gap recovered" in concepts
    pictures = [tmp_path / "concepts" / source for source in re.findall(r'<img [^>]*src="([^"]+)"', concepts)]
    assert {picture.name for picture in pictures} == {"architecture.svg", "experiment.svg"}
    assert [picture for picture in pictures if not picture.is_file()] == []
    # Nothing on the site draws such a block.
    assert [page for page in tmp_path.rglob("*.html") if "language-mermaid" in page.read_text()] == []
