"""The list of licences is of what is locked, and nothing that we install has a licence that forbids what we do."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "docs"))

from generate import licences  # noqa: E402

ROWS = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (.+) \|$", licences.PAGE.read_text(), re.MULTILINE)[1:]


def test_the_page_is_what_make_licences_writes():
    assert licences.PAGE.read_text() == licences.page()


def test_every_package_says_its_licence():
    assert len(ROWS) > 100
    assert [name for name, _, licence in ROWS if licence in ("", "see its files", "UNKNOWN")] == []


def test_no_licence_asks_for_ours():
    # The lesser one lets programs use a library as it is.
    strict = re.compile(r"\b(A?GPL|GNU (Affero )?General Public|SSPL|BUSL|non-?commercial)", re.IGNORECASE)
    # An extra of the core's, with which puzzles are made again: no image has it.
    assert {name for name, _, licence in ROWS if strict.search(licence)} == {"chess"}


def test_an_audit_tells_what_is_known_and_not_withdrawn(monkeypatch):
    report = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fixed_in": ["2.0"], "withdrawn": None}
    answer = json.dumps({"vulnerabilities": [report, {**report, "id": "PYSEC-2", "withdrawn": "2026-01-01"}]})
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return io.BytesIO(answer.encode())

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr(licences, "pins", lambda: {"some-package": "1.0"})
    monkeypatch.setattr(sys, "argv", ["licences", "audit"])
    with pytest.raises(SystemExit, match=r"^some-package 1\.0: PYSEC-1 \(CVE-1\), fixed in 2\.0$"):
        licences.main()
    assert asked == ["https://pypi.org/pypi/some-package/1.0/json"]
