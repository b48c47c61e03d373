"""A figure with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

from w2s.metrics.proportion import Interval


@dataclass(frozen=True)
class Estimate:
    """A figure of `n` examples; never NaN.

    Attributes:
        value: The figure; None when it is undefined on these examples.
        n: How many examples it is of: of a ratio, those in its denominator.
        standard_error: The standard deviation over bootstrap replicates; None when the
            value is, or when a single example leaves nothing to resample.
        interval: The bootstrap's percentile interval, which holds the value; None when
            the standard error is.
    """

    value: float | None
    n: int
    standard_error: float | None
    interval: Interval | None
