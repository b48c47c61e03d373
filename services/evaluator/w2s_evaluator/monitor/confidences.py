"""How confident a student has been of all it answered, labelled or not: in total, of late, and at first."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s.metrics.drift import population_stability_index
from w2s_evaluator.monitor.spec import WindowSpec

# The upper ends of the exported histogram's buckets; the last is followed by infinity.
BOUNDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
# Equal parts of [1/C, 1] whose shares are compared.
BINS = 10
# Observations that are the reference where no other is given.
_FIRST = 500
# Fewer on either side say nothing: chance alone would look like a shift.
_ENOUGH = 100
# A window is cut into so many stretches, by count and by time; each holds so many ids, at least and at most.
_STRETCHES, _LEAST, _MOST = 20, 20, 1024
# Ids are remembered for so many windows, yet no more of them than this.
_WINDOWS, _MAX_IDS = 20, 1 << 17
_HASH = np.dtype("<u8")


def bins_of(confidences: NDArray[np.floating], classes: int) -> list[int]:
    """How many confidences fall into each of ten equal parts of [1/C, 1].

    Args:
        confidences: Probabilities of the predicted class, shape [N].
        classes: The number of classes C, >= 2.
    """
    # Rounding can put a probability a little outside.
    inside = np.clip(confidences, 1 / classes, 1)
    return [int(count) for count in np.histogram(inside, BINS, (1 / classes, 1))[0]]


@dataclass(frozen=True)
class Totals:
    """All confidences ever: how many between each bound and the one before, and their sum."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    sum: float = 0.0

    def plus(self, confidences: Sequence[float]) -> Totals:
        """These and some more."""
        counts = list(self.counts)
        for confidence in confidences:
            counts[bisect_left(BOUNDS, confidence)] += 1
        return Totals(tuple(counts), self.sum + sum(confidences))


@dataclass(frozen=True)
class Stretch:
    """Some observations that came after one another.

    Attributes:
        number: Grows by one from stretch to stretch.
        opened: When its first came, in seconds since 1970.
        hashes: Those of its ids, in eight bytes each.
        bins: How many of their confidences fall into each bin; of the reference's none do.
    """

    number: int
    opened: float
    hashes: bytes
    bins: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.hashes) // _HASH.itemsize

    def plus(self, hashes: Sequence[int], bins: Sequence[int]) -> Stretch:
        """The stretch with some more observations."""
        more = np.array(hashes, dtype=_HASH).tobytes()
        together = tuple(a + b for a, b in zip(self.bins, bins, strict=True))
        return Stretch(self.number, self.opened, self.hashes + more, together)


@dataclass(frozen=True)
class Reference:
    """What confidences drift from.

    Attributes:
        bins: How many fall into each bin.
        complete: Whether it takes no more.
    """

    bins: tuple[int, ...] = (0,) * BINS
    complete: bool = False

    def plus(self, confidences: NDArray[np.float64], classes: int) -> tuple[Reference, int]:
        """The reference with those that it still takes, and how many these are."""
        room = 0 if self.complete else _FIRST - sum(self.bins)
        taken = confidences[:room]
        if not len(taken):
            return self, 0
        bins = tuple(a + b for a, b in zip(self.bins, bins_of(taken, classes), strict=True))
        return Reference(bins, sum(bins) >= _FIRST), len(taken)


@dataclass(frozen=True)
class Growth:
    """What some new observations make of a student's history.

    Attributes:
        totals: The new totals.
        reference: The new reference.
        stretches: The stretches that are new or have grown, in their order.
    """

    totals: Totals
    reference: Reference
    stretches: list[Stretch]


class History:
    """What is kept of all observations of a student, sampled or not.

    Args:
        classes: The number of its classes.
        window: How far back figures look.
    """

    def __init__(self, classes: int, window: WindowSpec) -> None:
        self._classes = classes
        self._window = window
        self._capacity = min(max(window.observations // _STRETCHES, _LEAST), _MOST)
        self.horizon = min(_WINDOWS * window.observations, _MAX_IDS)
        self.totals = Totals()
        self.reference = Reference()
        # Replaced and never changed: other threads read it.
        self._stretches: tuple[Stretch, ...] = ()

    @property
    def oldest(self) -> int:
        """The number of the oldest stretch that is kept; 0 for none."""
        return self._stretches[0].number if self._stretches else 0

    def grown(self, hashes: Sequence[int], confidences: Sequence[float], now: float) -> Growth:
        """What new observations would make of it; it is itself not changed.

        Args:
            hashes: Of their ids.
            confidences: The probability of the predicted class of each.
            now: The time, in seconds since 1970.
        """
        values = np.asarray(confidences, dtype=np.float64)
        reference, first = self.reference.plus(values, self._classes)
        stretches = []
        current = self._stretches[-1] if self._stretches else Stretch(1, now, b"", (0,) * BINS)
        start = 0
        while start < len(hashes):
            if len(current) >= self._capacity or now - current.opened > self._window.age / _STRETCHES:
                current = Stretch(current.number + 1, now, b"", (0,) * BINS)
            end = min(start + self._capacity - len(current), len(hashes))
            current = current.plus(hashes[start:end], bins_of(values[max(start, first) : end], self._classes))
            stretches.append(current)
            start = end
        return Growth(self.totals.plus(confidences), reference, stretches)

    def take(self, growth: Growth, now: float) -> None:
        """Becomes what `grown` said, and forgets what is beyond its horizon."""
        self.totals, self.reference = growth.totals, growth.reference
        if growth.stretches:
            older = (stretch for stretch in self._stretches if stretch.number < growth.stretches[0].number)
            self._stretches = self._kept((*older, *growth.stretches), now)

    def _kept(self, stretches: tuple[Stretch, ...], now: float) -> tuple[Stretch, ...]:
        most = -(-self.horizon // self._capacity) + 1
        # What came into one stretch came before the next was opened.
        ends = [*(stretch.opened for stretch in stretches[1:]), now]
        fresh = [s for s, end in zip(stretches, ends, strict=True) if end >= now - self._window.age]
        return tuple(fresh[-most:])

    def recent_hashes(self) -> list[int]:
        """The hashes of the ids that are remembered, oldest first."""
        return [hash_ for stretch in self._stretches for hash_ in np.frombuffer(stretch.hashes, dtype=_HASH).tolist()]

    def drift(self, now: float) -> float | None:
        """The population stability index of the window against the reference; None before there is enough of both."""
        bins = np.zeros(BINS, dtype=np.int64)
        for stretch in reversed(self._stretches):
            if stretch.opened < now - self._window.age or bins.sum() >= self._window.observations:
                break
            bins += stretch.bins
        expected = np.array(self.reference.bins)
        if min(bins.sum(), expected.sum()) < _ENOUGH or not self.reference.complete:
            return None
        return population_stability_index(expected, bins)
