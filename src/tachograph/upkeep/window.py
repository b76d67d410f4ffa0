"""A rolling window of sums, in a bounded number of buckets.

Time is cut into buckets a sixtieth of the window wide. What happened goes into the bucket of its own time and into the
total; a bucket that has left the window is taken out of the total again. So reading costs the same however much
happened, and what is read reaches back at least the whole window and at most a sixtieth further.
"""

from __future__ import annotations

from collections import Counter

from tachograph.fold.histogram import Histogram, bucket

BUCKETS = 60


class Sums:
    """What happened: how much, how much of it failed, what it cost (nano-USD), and how long it took (histogram)."""

    __slots__ = ("cost", "count", "failed", "times")

    def __init__(self) -> None:
        self.count = self.failed = self.cost = 0
        self.times: Counter[int] = Counter()

    def add(self, count: int, failed: int, cost: int, duration_ns: int | None) -> None:
        """Take in one thing, or a correction of one (`count` 0), or take one back (-1)."""
        self.count += count
        self.failed += failed
        self.cost += cost
        if duration_ns is not None:
            self.times[bucket(duration_ns)] += -1 if count < 0 else 1

    def remove(self, other: Sums) -> None:
        """Take out what another holds."""
        self.count -= other.count
        self.failed -= other.failed
        self.cost -= other.cost
        self.times.subtract(other.times)

    @property
    def error_rate(self) -> float | None:
        """Share that failed; None of nothing."""
        return self.failed / self.count if self.count else None

    def quantile(self, q: float) -> float | None:
        """Nanoseconds; None when nothing took time. As exact as `fold.histogram` says."""
        return Histogram({index: count for index, count in self.times.items() if count > 0}).quantile(q)


class Window:
    """The sums of the last `length_ns` nanoseconds."""

    __slots__ = ("_buckets", "_newest", "total", "width")

    def __init__(self, length_ns: int) -> None:
        self.width = -(-length_ns // BUCKETS)
        self._buckets: dict[int, Sums] = {}
        self._newest = 0
        self.total = Sums()

    @property
    def empty(self) -> bool:
        """Whether nothing is in it."""
        return not self._buckets

    def since(self, now_ns: int) -> int:
        """UTC ns from which on something counts."""
        return (now_ns // self.width - BUCKETS) * self.width

    def add(
        self, at: int, now_ns: int, count: int = 1, failed: int = 0, cost: int = 0, duration_ns: int | None = None
    ) -> bool:
        """Take in what happened at `at`; what is later than now counts as now. False for what is too old to count."""
        self.advance(now_ns)
        number = min(at, now_ns) // self.width
        if number < self._newest - BUCKETS:
            return False
        sums = self._buckets.get(number)
        if sums is None:
            sums = self._buckets[number] = Sums()
        sums.add(count, failed, cost, duration_ns)
        self.total.add(count, failed, cost, duration_ns)
        return True

    def advance(self, now_ns: int) -> None:
        """Let go of what has left the window. Time never goes back here, though a clock may."""
        newest = max(self._newest, now_ns // self.width)
        if newest == self._newest:
            return
        self._newest = newest
        for number in [number for number in self._buckets if number < newest - BUCKETS]:
            self.total.remove(self._buckets.pop(number))
