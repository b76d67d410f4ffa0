"""Charts as geometry: what a period's values look like as bars or lines, for an SVG that needs no script.

A chart is drawn in a box of 100 units in height and 10 in width for each of its points, which the page stretches to
its place; words stand beside that box and are never stretched. What nobody knows is a gap, and what is little but
not nothing can still be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil, floor, log10
from typing import Literal

from msgspec import Struct

Kind = Literal["bars", "lines"]
Say = Callable[[float], str]
_EPOCH = datetime.fromtimestamp(0, UTC)
_WIDTH, _HEIGHT, _LEAST = 10, 100, 1.0
_TICKS, _MARKS = 4, 6
_DAY = 86_400
_SPANS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 5 * 1440, 7 * 1440, 14 * 1440, 30 * 1440)
"""Minutes between two words of the axis of time."""
_TIMES = (60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 18_000, 36_000, 86_400)
"""Seconds between two words of an axis of durations, above those that are counted in tens."""


class Line(Struct, frozen=True, kw_only=True):
    """One thing that is shown, over all points."""

    name: str
    look: str
    """Which of the colours: a class of the style."""
    values: tuple[float | None, ...]
    texts: tuple[str, ...]
    """The values in words."""
    rest: str
    """What stands beside the name while nobody points anywhere: it holds for the whole period."""
    href: str = ""
    """Where a list of what it counts is."""


class Mark(Struct, frozen=True):
    """A word at an axis."""

    at: float
    """Percent of the axis: from the left, or from above."""
    value: float
    text: str


class Chart(Struct, frozen=True, kw_only=True):
    """Everything that a page needs to show values over time."""

    name: str
    note: str
    """What a point is: `per hour`."""
    kind: Kind
    start: int
    """When the first point begins, seconds since 1970 (UTC)."""
    length: int
    """Seconds of each point."""
    lines: tuple[Line, ...]
    shapes: tuple[str, ...]
    """Path of each line."""
    ticks: tuple[Mark, ...]
    """Words of the axis of values; the first is zero, the last is the height of the box."""
    marks: tuple[Mark, ...]
    """Words of the axis of time (UTC); their values are seconds since 1970."""
    summary: str
    """The chart in one sentence, for who cannot see it."""
    leads_to: str
    """The list of what a point counts, but for the dates."""

    @property
    def width(self) -> int:
        """Of the box."""
        return _WIDTH * max(1, len(self.lines[0].values))

    @property
    def is_daily(self) -> bool:
        """Whether a point is a whole day, which is one of UTC wherever it is read."""
        return self.length >= _DAY

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not any(value for line in self.lines for value in line.values)

    @property
    def packed_values(self) -> str:
        """For scripts: points between commas, lines between semicolons; nothing for what nobody knows."""
        return ";".join(",".join("" if each is None else f"{each:.10g}" for each in line.values) for line in self.lines)

    @property
    def packed_texts(self) -> str:
        """For scripts: points between bars, lines between semicolons."""
        return ";".join("|".join(line.texts) for line in self.lines)

    @property
    def packed_ticks(self) -> str:
        """For scripts: value and word of each, between bars."""
        return "|".join(f"{tick.value:.10g}={tick.text}" for tick in self.ticks)


def chart(
    name: str,
    kind: Kind,
    lines: Sequence[Line],
    *,
    note: str,
    start: int,
    length: int,
    say: Say,
    leads_to: str = "",
    is_time: bool = False,
) -> Chart:
    """The chart of these lines, one of which there is at least. Bars stand on each other, in the order of the lines.

    `say` words a value; `is_time` says that values are nanoseconds.
    """
    highest = _highest(kind, lines)
    steps = _steps(highest / 1e9 if is_time else highest, is_whole=kind == "bars" and highest >= 1, is_time=is_time)
    scaled = [step * 1e9 for step in steps] if is_time else list(steps)
    top = scaled[-1]
    count = len(lines[0].values)
    return Chart(
        name=name,
        note=note,
        kind=kind,
        start=start,
        length=length,
        lines=tuple(lines),
        shapes=tuple(_bars(lines, top) if kind == "bars" else (_path(line.values, top) for line in lines)),
        ticks=tuple(_ticks(scaled, say if highest > 0 else lambda _: "")),
        marks=tuple(_marks(start, length, count)),
        leads_to=leads_to,
        summary=f"{name} {note}: " + ", ".join(f"{line.name} {line.rest}" for line in lines),
    )


def _highest(kind: Kind, lines: Sequence[Line]) -> float:
    points = zip(*(line.values for line in lines), strict=True)
    join: Callable[[Iterator[float]], float] = sum if kind == "bars" else (lambda values: max(values, default=0))
    return max((join(value for value in point if value) for point in points), default=0)


def _steps(highest: float, *, is_whole: bool, is_time: bool) -> list[float]:
    """Round numbers from 0 to at least `highest`."""
    if highest <= 0:
        return [0, 1]
    rough = highest / _TICKS
    step: float = next((each for each in _TIMES if each >= rough), 0) if is_time and rough > 30 else 0
    if not step:
        unit = 10.0 ** floor(log10(rough))
        step = next(unit * each for each in (1, 2, 5, 10) if unit * each >= rough * 0.999)
    step = max(1, step) if is_whole else step
    return [step * number for number in range(ceil(highest / step * 0.999999) + 1)]


def _ticks(values: Sequence[float], say: Say) -> Iterator[Mark]:
    for value in values:
        yield Mark(_HEIGHT * (1 - value / values[-1]), value, say(value) if value else "0")


def _bars(lines: Sequence[Line], top: float) -> Iterator[str]:
    """A path of rectangles for each line, standing on those of the lines before."""
    below = [0.0] * len(lines[0].values)
    for line in lines:
        parts = []
        for place, value in enumerate(line.values):
            if value:
                height = max(_HEIGHT * value / top, _LEAST)
                foot = _HEIGHT - below[place]
                parts.append(f"M{place * _WIDTH + 1} {foot:.4g}v-{height:.4g}h{_WIDTH - 2}v{height:.4g}z")
                below[place] += height
        yield "".join(parts)


def _path(values: Sequence[float | None], top: float) -> str:
    """Points joined by lines, from the middle of each; a point between gaps stays a point."""
    parts = []
    for place, value in enumerate(values):
        if value is not None:
            joined = place > 0 and values[place - 1] is not None
            at = f"{place * _WIDTH + _WIDTH // 2} {_HEIGHT * (1 - value / top):.4g}"
            parts.append(f"L{at}" if joined else f"M{at}h0")
    return "".join(parts)


def _marks(start: int, length: int, count: int) -> Iterator[Mark]:
    whole = length * count
    if whole <= 0:
        return
    span = next((each * 60 for each in _SPANS if each * 60 >= max(length, whole / _MARKS)), whole)
    first = -(-start // span) * span
    shape = "%H:%M" if span < _DAY and whole <= 2 * _DAY else "%m-%d"
    for when in range(first, start + whole, span):
        at = 100 * (when - start + (length / 2 if length >= _DAY else 0)) / whole
        yield Mark(round(at, 3), when, (_EPOCH + timedelta(seconds=when)).strftime(shape))
