"""Latency histograms: an algebra of counts, small bytes, and quantiles of a stated worth."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.fold.histogram import Histogram, Tally, bucket, merged, of, unpack

WIDTH = 2 ** (1 / 8)
durations = st.integers(0, 2**63 - 1) | st.integers(0, 40)
histograms = st.lists(durations, max_size=60).map(of)


def test_bucket_bounds_are_powers_of_two() -> None:
    """Each doubling starts a bucket exactly; eight buckets later the next one starts."""
    assert [bucket(value) for value in (-5, 0, 1, 2, 4, 1 << 20, (1 << 20) - 1, 1 << 63)] == [
        0, 0, 1, 9, 17, 161, 160, 505,
    ]  # fmt: skip


@given(durations)
def test_a_value_lies_in_its_bucket(value: int) -> None:
    """Bucket 1 + i covers 2**(i/8) to 2**((i+1)/8), compared in whole numbers."""
    index = bucket(value)
    if value == 0:
        assert index == 0
    else:
        assert 1 << (index - 1) <= value**8 < 1 << index


@given(st.lists(durations), st.lists(durations))
def test_adding_histograms_is_histogram_of_both(first: list[int], second: list[int]) -> None:
    """Two histograms together are the histogram of all their values."""
    assert of(first) + of(second) == of(first + second)


@given(histograms, histograms, histograms)
def test_merge_is_associative_and_commutative(a: Histogram, b: Histogram, c: Histogram) -> None:
    """Hours may be merged in any order and grouping, packed or not."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c) == merged([c.pack(), a.pack(), b.pack()])
    assert a + Histogram() == a


@given(histograms)
def test_pack_round_trip(histogram: Histogram) -> None:
    """What was packed unpacks to the same counts."""
    assert unpack(histogram.pack()) == histogram


@given(st.lists(st.none() | durations))
def test_counting_one_by_one(values: list[int | None]) -> None:
    """The aggregate function counts what is not None and packs it; of nothing it makes nothing."""
    tally = Tally()
    for value in values:
        tally.step(value)
    known = [value for value in values if value is not None]
    assert tally.finalize() == (of(known).pack() if known else None)


def test_packed_form_is_stable() -> None:
    """The bytes are part of the stored format: width of a count, steps between buckets, counts."""
    assert Histogram().pack() == b""
    assert Histogram({0: 1, 3: 200, 161: 2}).pack() == bytes([1, 0, 3, 158, 1, 200, 2])
    assert Histogram({3: 300, 505: 1}).pack() == bytes([2, 3, 255, 247, 0x2C, 1, 0, 0, 1, 0])


@pytest.mark.parametrize(
    "packed", [b"\x01\x02", b"\x03\x01\x01\x01\x01", b"\x02\x01\x01", b"\x00\x01", b"\x01\xff\xff\xff\x01\x01\x01"]
)
def test_other_bytes_are_refused(packed: bytes) -> None:
    """A blob whose length or buckets do not fit is an error, not a smaller histogram."""
    with pytest.raises(ValueError, match="not a packed histogram"):
        unpack(packed)


@given(st.lists(durations, min_size=1), st.floats(0, 1))
def test_quantile_is_within_a_bucket_of_the_exact_one(values: list[int], q: float) -> None:
    """Whatever the values, a quantile is off by less than the width of a bucket."""
    exact = sorted(values)[int(q * (len(values) - 1) + 0.5)]
    found = of(values).quantile(q)
    assert found is not None
    if exact == 0:
        assert found == 0
    else:
        assert 1 / WIDTH * (1 - 1e-12) < found / exact < WIDTH * (1 + 1e-12)


@given(st.lists(durations, min_size=1), st.lists(st.floats(0, 1), min_size=2))
def test_quantiles_never_decrease(values: list[int], shares: list[float]) -> None:
    """A higher share never has a lower quantile."""
    histogram = of(values)
    found = [histogram.quantile(q) or 0.0 for q in sorted(shares)]
    assert all(low <= high * (1 + 1e-12) for low, high in pairwise(found))


def test_rank_at_the_edge_of_an_empty_slope() -> None:
    """A bucket whose neighbour outweighs it begins with no density; a rank exactly at its edge is that edge."""
    assert Histogram({9: 1, 10: 2, 11: 9}).quantile(1 / 22) == 2 ** (9 / 8)


def test_no_values_no_quantile() -> None:
    """The quantile of nothing is unknown, not 0, and a share outside 0 to 1 is an error."""
    assert Histogram().quantile(0.5) is None
    with pytest.raises(ValueError, match="between 0 and 1"):
        of([1]).quantile(1.5)


NORMAL = NormalDist()
SMOOTH: dict[str, tuple[Callable[[float], float], float]] = {
    "log-normal 0.3": (lambda u: math.exp(0.3 * NORMAL.inv_cdf(u)), 0.001),
    "log-normal 1": (lambda u: math.exp(NORMAL.inv_cdf(u)), 0.001),
    "exponential": (lambda u: -math.log(1 - u), 0.001),
    "weibull 0.7": (lambda u: (-math.log(1 - u)) ** (1 / 0.7), 0.001),
    "bell of 10 %": (lambda u: 1 + 0.1 * NORMAL.inv_cdf(u), 0.005),
}


@pytest.mark.parametrize("shape", SMOOTH)
def test_quantiles_of_smooth_distributions(shape: str) -> None:
    """On evenly drawn smooth latencies the error is what the module says, wherever the bucket edges fall."""
    inverse, bound = SMOOTH[shape]
    drawn = [inverse((i + 0.5) / 20_000) for i in range(20_000)]
    for phase in range(4):
        values = [int(1.5e9 * 2 ** (phase / 32) * value) for value in drawn]
        histogram = of(values)
        for q in (0.5, 0.95, 0.99):
            exact = values[int(q * (len(values) - 1) + 0.5)]
            assert histogram.quantile(q) == pytest.approx(exact, rel=bound)


def test_quantiles_of_random_latencies() -> None:
    """200,000 random log-normal latencies: p50, p95 and p99 within 0.2 % of the exact ones."""
    source = random.Random(1)
    values = sorted(int(source.lognormvariate(20.7, 1)) for _ in range(200_000))
    histogram = of(values)
    found = {q: histogram.quantile(q) for q in (0.5, 0.95, 0.99)}
    assert found == {q: pytest.approx(values[int(q * (len(values) - 1) + 0.5)], rel=0.002) for q in found}
