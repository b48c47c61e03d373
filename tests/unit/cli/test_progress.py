"""How far a run of a pipeline is, as a terminal shows it."""

from __future__ import annotations

import io

from rich.console import Console

from w2s_cli.progress import RunDisplay


def test_a_bar_has_the_rate_and_the_time_left_of_its_stage():
    now = 0.0
    drawn = io.StringIO()
    with RunDisplay(Console(file=drawn, force_terminal=True, width=160, get_time=lambda: now)) as display:
        display.started("loop/for-3/train-2")
        for at, line in [
            (5, "naive:1  tokenize  50/100"),
            (6, "naive:1  tokenize  100/100"),
            # 20 steps in 10 s: 2 a second, and 60 more take half a minute.
            (16, "naive:1  train  20/100  loss 0.532"),
            (26, "naive:1  train  40/100  loss 0.412"),
        ]:
            now = at
            display.line("loop/for-3/train-2", line)
    shown = drawn.getvalue()
    assert "naive:1 train" in shown
    assert "40/100" in shown
    assert "2.0/s" in shown
    assert "0:00:30" in shown
    assert "loss 0.412" in shown


def test_a_step_that_ends_leaves_its_name_and_the_time_of_all_its_stages():
    now = 0.0
    drawn = io.StringIO()
    with RunDisplay(Console(file=drawn, width=160, get_time=lambda: now)) as display:
        display.started("loop/for-3/train-2")
        now = 4.0
        display.line("loop/for-3/train-2", "naive:1  train  20/100")
        now = 6.0
        display.ended("loop/for-3/train-2", ok=True)
    assert drawn.getvalue().strip() == "done train naive:1 6.0 s"
