"""A progress line reads back as it was written."""

from __future__ import annotations

from pipelines.progress import format_line, parse_line
from w2s.common.v1 import common_pb2 as pb


def test_a_line_reads_back():
    progress = pb.Progress(stage="train", step=120, total_steps=760, metrics={"loss": 0.5321, "learning_rate": 0.01})
    line = parse_line(format_line("naive:1", progress))
    assert (line.label, line.stage, line.step, line.total) == ("naive:1", "train", 120, 760)
    assert line.figures == "learning_rate 0.01  loss 0.5321"


def test_other_lines_are_no_progress():
    assert parse_line("ERROR: train: no such thing") is None
    assert parse_line("naive:0: accuracy 0.850") is None
