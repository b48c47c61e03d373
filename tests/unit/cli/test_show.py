from __future__ import annotations

import pytest

from w2s.common.v1 import common_pb2 as common
from w2s_cli.show import estimate_cells, sparkline


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([3.0], "▁"),
        ([1.0, 1.0], "▁▁"),
        ([0.0, 7.0, 3.0], "▁█▄"),
        # Two bars for four values: means 1 and 3.
        ([0.0, 2.0, 2.0, 4.0], "▁█"),
    ],
)
def test_a_sparkline_goes_from_the_least_to_the_most(values, bars):
    assert sparkline(values, width=2 if len(values) == 4 else 40) == bars


def test_an_estimate_without_a_value_is_undefined():
    interval = common.Interval(low=0.25, high=0.75)
    assert estimate_cells(common.Estimate(value=0.5, interval=interval, n=8)) == ("0.500", "[0.250, 0.750]", "8")
    assert estimate_cells(common.Estimate(n=0)) == ("undefined", "", "0")
