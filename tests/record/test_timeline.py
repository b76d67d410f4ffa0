"""The chunk timeline: bounded, and honest about its resolution."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.call import Timeline
from tachograph.record.timeline import Beats


def test_few_chunks_keep_every_arrival() -> None:
    """Deltas in microseconds, the first from the start of the call."""
    beats = Beats()
    for elapsed in (5_000, 7_000, 107_000):
        beats.beat(elapsed)
    assert (beats.chunks, beats.timeline()) == (3, Timeline(1, (5, 2, 100)))


def test_no_chunks_no_timeline() -> None:
    """Nothing arrived, nothing is claimed."""
    assert Beats().timeline() is None


@given(st.integers(1, 20_000))
def test_any_number_of_chunks_costs_a_bounded_amount(count: int) -> None:
    """Under 256 entries whatever comes, every chunk counted, deltas adding up to the last kept arrival."""
    beats = Beats()
    for number in range(1, count + 1):
        beats.beat(number * 1_000)
    timeline = beats.timeline()
    assert timeline is not None
    assert (beats.chunks, len(timeline.deltas_us) < 256) == (count, True)
    assert sum(timeline.deltas_us) == count - count % timeline.every
