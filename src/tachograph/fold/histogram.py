"""How long things took, in a few dozen bytes: a sparse histogram with eight buckets an octave.

Bucket `1 + i` holds the whole numbers in `[2**(i/8), 2**((i+1)/8))`, bucket 0 those below 1. A histogram is a value:
two of them add up by adding their counts, in any order and grouping, so hours merge into days and days into a month
without going back to the rows.

Packed, it is one byte that says how wide the counts are (1, 2, 4 or 8 bytes), then for each bucket one byte with the
step from the bucket before (an empty bucket bridges more than 255), then all counts, little-endian. Varints would take
as many bytes and far longer to read: this form comes apart without a loop.

What a quantile is worth: it lies in the bucket of the exact answer, so it is never off by more than the bucket is wide,
`2**(1/8) - 1` = 9.1 %. That is reached only where all values of a bucket sit at one of its edges (constant latencies, a
handful of values). Inside a bucket the density is taken to be a slope that the neighbouring buckets suggest, so over
smooth distributions that spread by 30 % or more (log-normal, exponential, Weibull) p50, p95 and p99 are within 0.1 %;
with 200,000 random values, whose own noise comes on top, within 0.2 %; for a bell only 10 % wide within 0.5 %.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate, compress
from math import isqrt, sqrt

from msgspec import Struct

OCTAVE = 8
"""Buckets for each doubling."""
_OCTAVES = 64
_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_LONGEST_STEP = 255


def _edge(index: int) -> int:
    """The smallest whole number that is at least 2**(index/8), without rounding."""
    root = isqrt(isqrt(isqrt(1 << index)))
    return root if root**OCTAVE == 1 << index else root + 1


_EDGES = tuple(_edge(index) for index in range(_OCTAVES * OCTAVE))


def bucket(value: int) -> int:
    """The bucket of a value: 0 for what is below 1, the last one for what is beyond 64 octaves."""
    return bisect_right(_EDGES, value)


class Histogram(Struct, frozen=True):
    """Counts by bucket. Empty buckets are absent."""

    counts: Mapping[int, int] = {}

    @property
    def total(self) -> int:
        """How many values went in."""
        return sum(self.counts.values())

    def __add__(self, other: Histogram) -> Histogram:
        """Both together."""
        return Histogram(dict(Counter(self.counts) + Counter(other.counts)))

    def quantile(self, q: float) -> float | None:
        """The value below which the share `q` (0 to 1) lies, in the unit that went in; None when nothing did."""
        if not 0 <= q <= 1:
            raise ValueError(f"q={q!r} is not between 0 and 1")
        total = self.total
        if not total:
            return None
        before, rank = 0, q * (total - 1) + 0.5
        for index in sorted(self.counts):
            here = self.counts[index]
            if rank < before + here:
                break
            before += here
        return self._inside(index, rank - before)

    def pack(self) -> bytes:
        """The counts as bytes: see the module."""
        if not self.counts:
            return b""
        steps, counts, last = bytearray(), [], 0
        for index in sorted(self.counts):
            while index - last > _LONGEST_STEP:
                steps.append(_LONGEST_STEP)
                counts.append(0)
                last += _LONGEST_STEP
            steps.append(index - last)
            counts.append(self.counts[index])
            last = index
        width = next(width for width in _WIDTHS if max(counts) < 1 << 8 * width)
        return bytes((width,)) + bytes(steps) + struct.pack(f"<{len(counts)}{_WIDTHS[width]}", *counts)

    def _inside(self, index: int, rank: float) -> float:
        """The value at `rank` (0 ≤ rank < count) of a bucket whose density runs along a straight slope."""
        if index == 0:
            return 0.0
        here = self.counts[index]
        slope = (self.counts.get(index + 1, 0) - self.counts.get(index - 1, 0)) / 2
        slope = max(-2.0 * here, min(2.0 * here, slope))
        start = here - slope / 2
        # the root of slope/2·t² + start·t = rank, in the form that stays exact when the slope is 0
        divisor = start + sqrt(max(0.0, start * start + 2 * slope * rank))
        part = 2 * rank / divisor if divisor else 0.0
        return float(2.0 ** ((index - 1 + part) / OCTAVE))


class Tally:
    """Counts values one by one: the aggregate function `histogram` of a database."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def step(self, value: int | None) -> None:
        """Count a value; None is none."""
        if value is not None:
            index = bisect_right(_EDGES, value)
            self._counts[index] = self._counts.get(index, 0) + 1

    def finalize(self) -> bytes | None:
        """The packed histogram; None when nothing was counted."""
        return Histogram(self._counts).pack() if self._counts else None


def of(values: Iterable[int]) -> Histogram:
    """The histogram of some values."""
    return Histogram(dict(Counter(bucket(value) for value in values)))


def unpack(packed: bytes) -> Histogram:
    """The histogram behind packed bytes. Raises ValueError for bytes that `pack` did not write."""
    return Histogram({index: count for index, count in _pairs(packed) if count})


def merged(packs: Iterable[bytes]) -> Histogram:
    """All packed histograms together. Raises ValueError for bytes that `pack` did not write."""
    counts = [0] * (len(_EDGES) + 1)
    for packed in packs:
        for index, count in _pairs(packed):
            counts[index] += count
    return Histogram(dict(compress(enumerate(counts), counts)))


def _pairs(packed: bytes) -> Iterable[tuple[int, int]]:
    """(bucket, count) pairs, those of bridges with count 0."""
    if not packed:
        return ()
    width = packed[0]
    buckets, rest = divmod(len(packed) - 1, 1 + width)
    steps, counts = packed[1 : 1 + buckets], packed[1 + buckets :]
    if width not in _WIDTHS or rest or sum(steps) > len(_EDGES):
        raise ValueError(f"not a packed histogram: {packed[:40].hex()} ({len(packed)} bytes)")
    return zip(
        accumulate(steps), counts if width == 1 else struct.unpack(f"<{buckets}{_WIDTHS[width]}", counts), strict=True
    )
