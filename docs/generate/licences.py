"""The licences of what is locked, and what is known to be wrong with it.

`python -m generate.licences` writes the page; `python -m generate.licences audit` asks PyPI, which needs the internet.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"
LOCKS = ("constraints.txt", "requirements-data.txt", "requirements-dev.txt")
PYPI = "https://pypi.org/pypi/{}/{}/json"
_LONGEST = 60


def pins() -> dict[str, str]:
    """Every locked package and its version."""
    lines = [line for name in LOCKS for line in (ROOT / name).read_text().splitlines()]
    found = [re.match(r"([\w.-]+)(?:\[.*?\])?==([\w.!+-]+)", line) for line in lines]
    return {re.sub(r"[-_.]+", "-", pin[1]).lower(): pin[2] for pin in found if pin}


def licence_of(package: Distribution) -> str:
    """What a package says its licence is, in its own words."""
    facts = package.metadata
    if expression := facts.get("License-Expression"):
        return expression
    classifiers = [one.rpartition(" :: ")[2] for one in facts.get_all("Classifier", []) if one.startswith("License ::")]
    named = [one for one in classifiers if one != "OSI Approved"]
    words = (facts.get("License") or "").strip().splitlines() or [""]
    # Some put the whole text there.
    return ", ".join(named) or (words[0] if len(words[0]) <= _LONGEST else "") or "see its files"


def page() -> str:
    """The page: a row for each locked package that is installed, and the names of those that are not."""
    rows, absent = [], []
    for name, version in sorted(pins().items()):
        try:
            rows.append(f"| {name} | {version} | {licence_of(distribution(name))} |")
        except PackageNotFoundError:
            absent.append(name)
    head = "The packages that are locked, and the licence that each says it has; `make licences` writes this page."
    table = "\n".join(["| package | version | licence |", "|---|---|---|", *rows])
    return f"# Licences\n\n{head}\n\n{table}\n\nOnly on other platforms: {', '.join(absent) or 'none'}.\n"


def known(name: str, version: str) -> Iterator[str]:
    """What PyPI knows to be wrong with a version, withdrawn reports left out."""
    with urllib.request.urlopen(PYPI.format(name, version), timeout=30) as response:  # noqa: S310 - PyPI's address
        reports = json.load(response)["vulnerabilities"]
    for report in reports:
        if not report.get("withdrawn"):
            fixed = ", ".join(report["fixed_in"]) or "no version"
            yield f"{name} {version}: {report['id']} ({', '.join(report['aliases'])}), fixed in {fixed}"


def main() -> None:
    """Writes the page, or says what PyPI knows and fails where that is anything."""
    if sys.argv[1:] != ["audit"]:
        PAGE.write_text(page())
        return
    found = [line for name, version in pins().items() for line in known(name, version)]
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
