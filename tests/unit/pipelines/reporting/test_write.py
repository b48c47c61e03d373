"""A page needs no other file and runs nothing; every form of a report says the same."""

from __future__ import annotations

import csv
import json
import re

import matplotlib.pyplot as plt
import pytest
from pydantic import BaseModel

from pipelines import preset
from pipelines.reporting.document import Document, Section, Table
from pipelines.reporting.draw import draw
from pipelines.reporting.rerun import rerun_command
from pipelines.reporting.write import html, markdown, write

EVIL = "<script>alert(1)</script>"
SETTINGS = preset.load("weak-to-strong", "tiny")


class Data(BaseModel):
    value: float = 1 / 3


def paint():
    figure, axes = plt.subplots(figsize=(2, 2))
    axes.plot([0, 1], [0, 1])
    return figure


@pytest.fixture
def document():
    columns = ["name", EVIL, "none"]
    table = Table(name="all", title="All", columns=columns, rows=[["a|b", 1 / 3, None]], caption=EVIL)
    return Document(
        title=EVIL,
        lead=[EVIL],
        summary=Table(name="summary", title="Summary", columns=["x"], rows=[[2]]),
        sections=[Section("Part", [EVIL], [table], [draw("line", EVIL, paint)])],
        provenance={"pipeline": "weak-to-strong", "settings": SETTINGS, "evil": EVIL},
        data=Data(),
        figures={},
        failures=Table(name="failures", title="What failed", columns=["why"], rows=[[EVIL]]),
    )


def test_a_page_is_self_contained_and_escaped(document):
    page = html(document)
    assert EVIL not in page
    assert page.count("&lt;script&gt;") + page.count("\\u003cscript\\u003e") >= 8
    assert page.count("data:image/png;base64,") == 1
    assert re.findall(r"(?:src|href)=\"(?!data:)|url\(|@import", page) == []


def test_every_form_is_written(document, tmp_path):
    write(document, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "report.json", "summary.json", "summary.csv", "all.csv", "failures.csv", "line.png", "line.svg",
    }  # fmt: skip
    assert json.loads((tmp_path / "report.json").read_text()) == {"value": 1 / 3}
    with (tmp_path / "all.csv").open() as stream:
        assert list(csv.reader(stream)) == [["name", EVIL, "none"], ["a|b", str(1 / 3), ""]]
    assert (tmp_path / "line.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "line.svg").read_bytes()


def test_people_see_three_decimals_and_bars_in_texts_break_no_table(document):
    assert "<td>0.333</td><td></td>" in html(document)
    text = markdown(document)
    assert "| 2 |" in text
    assert "| why |" in text


def test_equal_figures_draw_equal_plots():
    assert draw("line", "a", paint) == draw("line", "a", paint)


def test_a_report_says_how_to_make_it_again():
    assert rerun_command("weak-to-strong", SETTINGS) == "w2s run weak-to-strong --preset tiny"
    changed = SETTINGS | {"seeds": [5], "methods": ["naive"]}
    assert rerun_command("weak-to-strong", changed) == (
        "w2s run weak-to-strong --preset tiny --set 'methods=[\"naive\"]' --set 'seeds=[5]'"
    )
