"""A report as a browser shows it: on a phone and a desk, light and dark, alone and in KFP's sandboxed frame."""

from __future__ import annotations

import html
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import preset
from pipelines.delta_theory.plan import Plan
from pipelines.delta_theory.report import document
from pipelines.delta_theory.simulate import simulate
from pipelines.plans import make_plan
from pipelines.reporting.write import write

SMALL = preset.load("delta-theory", "tiny") | {"space_dimensions": 20, "space_inputs": 4000, "seeds": [0]}
# Where screenshots are left to be looked at.
SHOTS = os.environ.get("W2S_SCREENSHOTS")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    plan = make_plan(Plan, SMALL)
    write(document(plan, simulate(plan)), folder)
    return folder


def shot(page, name):
    image = page.screenshot()
    if SHOTS:
        Path(SHOTS, f"{name}.png").write_bytes(image)
    return np.asarray(Image.open(io.BytesIO(image)).convert("L"), dtype=float)


def is_readable(page, width, **where):
    """Plots are drawn, and wide tables scroll in boxes of their own: the page itself never does."""
    drawn = "document.images.length > 0 && [...document.images].every(i => i.complete && i.naturalWidth > 100)"
    assert page.evaluate(drawn, **where)
    assert page.evaluate("document.documentElement.scrollWidth", **where) <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_report_is_readable_and_asks_for_nothing(page, folder, width, scheme):
    page.open(folder / "report.html", width, scheme)
    assert page.errors() == []
    assert page.requests() == [(folder / "report.html").as_uri()]
    is_readable(page, width)
    corner = shot(page, f"{scheme}-{width}")[:5, :5].mean()
    assert (corner < 60) == (scheme == "dark")


@pytest.fixture
def framed(tmp_path):
    """Makes a page that embeds another as KFP's UI does: with scripts, and nothing of the page around it."""

    def make(content):
        frame = (
            f'<iframe sandbox="allow-scripts" style="width:100%;height:860px;border:0" srcdoc="{html.escape(content)}">'
        )
        outer = tmp_path / "outer.html"
        outer.write_text(
            f'<!doctype html><meta name="viewport" content="width=device-width"><body style="margin:0">{frame}</iframe>'
        )
        return outer

    return make


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_report_shows_in_a_sandboxed_frame(page, folder, framed, width, scheme):
    outer = framed((folder / "report.html").read_text())
    page.open(outer, width, scheme)
    assert page.errors() == []
    assert set(page.requests()) == {outer.as_uri()}
    is_readable(page, width, **page.frame())
    corner = shot(page, f"framed-{scheme}-{width}")[:5, :5].mean()
    assert (corner < 60) == (scheme == "dark")


def test_what_a_frame_asks_for_is_heard(page, framed):
    page.open(framed('<img src="https://example.org/pixel.png"><script>undefined_name</script>'), 1280, "light")
    assert "https://example.org/pixel.png" in page.requests()
    assert page.errors()
