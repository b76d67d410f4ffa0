from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.queries import wording
from tachograph.web.chart import Chart, Kind, Line, chart

HOUR, DAY = 3_600, 86_400


def _line(*values: float | None, name: str = "a") -> Line:
    return Line(name=name, look="good", values=values, texts=tuple(map(str, values)), rest="all")


def _chart(*lines: Line, kind: Kind = "bars", start: int = 0, length: int = HOUR, is_time: bool = False) -> Chart:
    def say(value: float) -> str:
        return wording.duration(round(value)) if is_time else f"{value:g}"

    return chart("Runs", kind, lines, note="per hour", start=start, length=length, say=say, is_time=is_time)


def test_bars_stand_on_each_other() -> None:
    """A bar's foot is the top of those below it; nothing has no bar."""
    found = _chart(_line(2, 0, 1), _line(2, 3, None))
    assert found.shapes == ("M1 100v-50h8v50zM21 100v-25h8v25z", "M1 50v-50h8v50zM11 100v-75h8v75z")
    assert (found.width, found.is_empty) == (30, False)


def test_little_can_be_seen() -> None:
    """What is not nothing is at least one unit high."""
    assert _chart(_line(1_000_000, 1)).shapes == ("M1 100v-100h8v100zM11 100v-1h8v1z",)


def test_lines_have_gaps() -> None:
    """What nobody knows is a gap, and a value between gaps is a point."""
    found = _chart(_line(1, None, 2, 0), kind="lines")
    assert found.shapes == ("M5 50h0M25 0h0L35 100",)


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0, ["0", ""]),
        (1, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (8, ["0", "2", "4", "6", "8"]),
        (0.0123, ["0", "0.005", "0.01", "0.015"]),
        (140, ["0", "50", "100", "150"]),
    ],
)
def test_axes_have_round_numbers(highest: float, ticks: list[str]) -> None:
    """From zero to at least the highest value, in few steps; things that are counted are never halved."""
    assert [tick.text for tick in _chart(_line(highest)).ticks] == ticks


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        (0.9, ["0", "500 ms", "1 s"]),
        (17, ["0", "5 s", "10 s", "15 s", "20 s"]),
        (290, ["0", "2 m 00 s", "4 m 00 s", "6 m 00 s"]),
    ],
)
def test_axes_of_durations(seconds: float, ticks: list[str]) -> None:
    """Long durations are divided as clocks are."""
    assert [tick.text for tick in _chart(_line(seconds * 1e9), kind="lines", is_time=True).ticks] == ticks


@pytest.mark.parametrize(
    ("start", "length", "count", "marks"),
    [
        (14 * HOUR, HOUR, 25, [(16.0, "18:00"), (40.0, "00:00"), (64.0, "06:00"), (88.0, "12:00")]),
        (0, DAY, 4, [(12.5, "01-01"), (37.5, "01-02"), (62.5, "01-03"), (87.5, "01-04")]),
        (600, 60, 25, [(0.0, "00:10"), (20.0, "00:15"), (40.0, "00:20"), (60.0, "00:25"), (80.0, "00:30")]),
    ],
)
def test_times_stand_where_they_are(start: int, length: int, count: int, marks: list[tuple[float, str]]) -> None:
    """Few round times; those of days stand below the middle of their bar."""
    found = _chart(_line(*[1] * count), start=start, length=length)
    assert [(mark.at, mark.text) for mark in found.marks] == marks


def test_what_scripts_read() -> None:
    """Values, words and ticks are packed into attributes."""
    found = _chart(_line(1, None), _line(2.5, 0))
    assert (found.packed_values, found.packed_texts) == ("1,;2.5,0", "1|None;2.5|0")
    assert found.packed_ticks == "0=0|1=1|2=2|3=3|4=4"


def test_who_cannot_see_it() -> None:
    """A chart is told in one sentence."""
    assert _chart(_line(1, name="completed"), _line(2, name="failed")).summary == (
        "Runs per hour: completed all, failed all"
    )


_values = st.none() | st.floats(0, 1e15, allow_subnormal=False) | st.integers(0, 10**12)


@given(
    st.integers(1, 40).flatmap(
        lambda size: st.lists(st.lists(_values, min_size=size, max_size=size), min_size=1, max_size=3)
    ),
    st.sampled_from(("bars", "lines")),
    st.booleans(),
)
def test_nothing_leaves_the_box(values: list[list[float | None]], kind: Kind, is_time: bool) -> None:
    """Whatever is shown lies within the box, but for what is kept visible; ticks are few and rise."""
    found = _chart(*(_line(*line) for line in values), kind=kind, is_time=is_time)
    assert 2 <= len(found.ticks) <= 6
    assert sorted(found.ticks, key=lambda tick: tick.value) == list(found.ticks)
    assert (found.ticks[0].at, found.ticks[-1].at) == (100, 0)
    for shape in found.shapes:
        for x, y in re.findall(r"[ML](-?[\d.e+-]+) (-?[\d.e+-]+)", shape):
            assert 0 <= float(x) <= found.width
            assert -3.01 <= float(y) <= 100.01
    assert all(0 <= mark.at <= 100 for mark in found.marks)
