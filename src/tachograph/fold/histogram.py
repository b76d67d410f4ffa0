"""How long things took, in a few dozen bytes: a sparse histogram with eight buckets an octave.

Bucket `1 + i` holds the whole numbers in `[2**(i/8), 2**((i+1)/8))`, bucket 0 those below 1. A histogram is a value:
two of them add up by adding their counts, in any order and grouping, so hours merge into days and days into a month
without going back to the rows. Packed, it is a row of varints: the step from the bucket before, then its count.

What a quantile is worth: it lies in the bucket of the exact answer, so it is never off by more than the bucket is wide,
`2**(1/8) - 1` = 9.1 %. That is reached only where all values of a bucket sit at one of its edges (constant latencies, a
handful of values). Inside a bucket the density is taken to be a slope that the neighbouring buckets suggest, so over
smooth distributions that spread by 30 % or more (log-normal, exponential, Weibull) p50, p95 and p99 are within 0.1 %;
with 200,000 random values, whose own noise comes on top, within 0.2 %; for a bell only 10 % wide within 0.5 %.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from math import isqrt, sqrt

from msgspec import Struct

OCTAVE = 8
"""Buckets for each doubling."""
_OCTAVES = 64


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
        """The counts as varints: (step from the bucket before, count) for each bucket, in order."""
        packed, last = bytearray(), 0
        for index in sorted(self.counts):
            _write(packed, index - last)
            _write(packed, self.counts[index])
            last = index
        return bytes(packed)

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


def of(values: Iterable[int]) -> Histogram:
    """The histogram of some values."""
    return Histogram(dict(Counter(bucket(value) for value in values)))


def unpack(packed: bytes) -> Histogram:
    """The histogram behind packed bytes. Raises ValueError for bytes that `pack` did not write."""
    return merged((packed,))


def merged(packs: Iterable[bytes]) -> Histogram:
    """All packed histograms together. Raises ValueError for bytes that `pack` did not write."""
    counts: dict[int, int] = {}
    for packed in packs:
        _absorb(counts, packed)
    return Histogram(counts)


def _absorb(counts: dict[int, int], packed: bytes) -> None:
    """Add packed counts to `counts`. One flat loop: a month of analytics passes through here."""
    index = number = shift = 0
    counting = False
    for byte in packed:
        if byte > 127:
            number |= (byte & 127) << shift
            shift += 7
            continue
        number |= byte << shift
        if counting:
            counts[index] = counts.get(index, 0) + number
        else:
            index += number
        counting = not counting
        number = shift = 0
    if counting or shift:
        raise ValueError(f"not a packed histogram: it ends inside a pair ({len(packed)} bytes)")


def _write(packed: bytearray, number: int) -> None:
    while number > 127:
        packed.append(number & 127 | 128)
        number >>= 7
    packed.append(number)
