"""How a period went, as charts and as a table: one value for each minute, hour or day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from tachograph.queries import wording
from tachograph.queries.overview.figures import Figures
from tachograph.queries.overview.points import LENGTHS, Interval, Point, Times
from tachograph.queries.stats import Tokens
from tachograph.queries.units import time
from tachograph.web import links
from tachograph.web.chart import Chart, Line, chart
from tachograph.web.overview import Looked, amount, lasted

_SECOND = 1_000_000_000
_STATES = (("completed", "completed", "good"), ("unsuccessful", "otherwise", "bad"), ("open", "open", "live"))
_CLASSES = (
    ("input_uncached", "uncached", "input"),
    ("cache_read", "cache read", "cached"),
    ("cache_write", "cache write", "written"),
    ("output", "output", "output"),
)


class Lasted(Struct, frozen=True, kw_only=True):
    """How long the model calls of a minute, an hour or a day took, in words."""

    start: datetime
    p50: str
    p95: str
    first_p50: str
    first_p95: str


class Row(Struct, frozen=True, kw_only=True):
    """A minute, an hour or a day in words."""

    start: datetime
    href: str
    """Its runs."""
    runs: str
    completed: str
    calls: str
    failed: str
    tokens_in: str
    tokens_out: str
    cost: str
    lasted: Lasted | None
    """None when times are of longer intervals than the rest."""


class Table(Struct, frozen=True, kw_only=True):
    """All points of all charts."""

    interval: Interval
    rows: tuple[Row, ...]
    times: tuple[Lasted, ...]
    """Of intervals of their own; empty when they stand in the rows."""
    times_interval: Interval


def charts(found: Figures, at: Looked) -> tuple[Chart, ...]:
    """The charts of a period; none when it has no points."""
    if not found.points:
        return ()
    return (
        _runs(found, at),
        _cost(found, at),
        _tokens(found, at),
        _calls(found, at),
        _latency(found, at),
        _first(found, at),
    )


def table(found: Figures, at: Looked) -> Table:
    """The same as a table, the newest first."""
    interval, of_times = found.intervals
    times = {each.start: each for each in found.times}
    return Table(
        interval=interval,
        rows=tuple(
            _row(point, times.get(point.start) if interval == of_times else None, LENGTHS[interval], at)
            for point in reversed(found.points)
        ),
        times=() if interval == of_times else tuple(_times(each) for each in reversed(found.times)),
        times_interval=of_times,
    )


def _times(times: Times) -> Lasted:
    return Lasted(
        start=time(times.start),
        p50=lasted(times.p50_ns),
        p95=lasted(times.p95_ns),
        first_p50=lasted(times.first_p50_ns),
        first_p95=lasted(times.first_p95_ns),
    )


def _row(point: Point, times: Times | None, length: int, at: Looked) -> Row:
    spent, missing = point.tokens, point.tokens.missing
    inside = {"start_date": time(max(point.start, _ns(at.since))), "end_date": time(point.start + length - 1)}
    dates = {name: when.isoformat().replace("+00:00", "Z") for name, when in inside.items()}
    return Row(
        start=time(point.start),
        href=links.runs(**{**at.place, **dates}) if point.runs else "",
        runs=wording.count(point.runs),
        completed=wording.count(point.completed),
        calls=wording.count(point.calls),
        failed=wording.count(point.failed_calls),
        tokens_in=amount(spent.input_total, missing),
        tokens_out=amount(spent.output, missing),
        cost=wording.money(point.cost.total, point.cost.unpriced),
        lasted=_times(times) if times else None,
    )


def _ns(when: datetime) -> int:
    return round(when.timestamp()) * _SECOND


def _note(interval: Interval) -> str:
    return "per day, UTC" if interval == "day" else f"per {interval}"


def _drawn(
    name: str,
    found: Figures,
    lines: Sequence[Line],
    say: Callable[[float], str],
    *,
    leads_to: str,
    is_time: bool = False,
) -> Chart:
    starts: Sequence[Point | Times] = found.times if is_time else found.points
    interval = found.intervals[1 if is_time else 0]
    return chart(
        name, "lines" if is_time else "bars", lines, note=_note(interval), start=starts[0].start // _SECOND,
        length=LENGTHS[interval] // _SECOND, say=say, leads_to=leads_to, is_time=is_time,
    )  # fmt: skip


def _runs(found: Figures, at: Looked) -> Chart:
    hrefs = {
        "completed": links.runs(status="completed", **at.place),
        "open": links.runs(status="started", **at.place),
    }
    by_state = {
        "completed": [point.completed for point in found.points],
        "unsuccessful": [point.unsuccessful for point in found.points],
        "open": [point.runs - point.completed - point.unsuccessful for point in found.points],
    }
    lines = [_counts(name, look, by_state[key], hrefs.get(key, "")) for key, name, look in _STATES]
    return _drawn("Runs", found, lines, _count, leads_to=_runs_of(at))


def _calls(found: Figures, at: Looked) -> Chart:
    failed = [point.failed_calls for point in found.points]
    others = [point.calls - point.failed_calls for point in found.points]
    lines = [
        _counts("not failed", "llm", others),
        _counts("failed", "bad", failed, links.steps(kind="llm", status="failed", **at.place)),
    ]
    return _drawn("Model calls", found, lines, _count, leads_to=_calls_of(at))


def _cost(found: Figures, at: Looked) -> Chart:
    total = found.total.cost
    line = Line(
        name="cost",
        look="cost",
        values=tuple(point.cost.total for point in found.points),
        texts=tuple(wording.money(point.cost.total, point.cost.unpriced) for point in found.points),
        rest=wording.money(total.total, total.unpriced),
        href=links.runs(**at.place),
    )
    return _drawn("Cost", found, [line], lambda value: wording.money(round(value)), leads_to=_runs_of(at))


def _tokens(found: Figures, at: Looked) -> Chart:
    href = links.runs(**at.place)
    lines = [
        Line(
            name=name,
            look=look,
            values=tuple(_part(point.tokens, key) for point in found.points),
            texts=tuple(amount(_part(point.tokens, key), point.tokens.missing) for point in found.points),
            rest=amount(_part(found.total.tokens, key), found.total.tokens.missing),
            href=href,
        )
        for key, name, look in _CLASSES
    ]
    return _drawn("Tokens", found, lines, _count, leads_to=_runs_of(at))


def _latency(found: Figures, at: Looked) -> Chart:
    whole = found.total.calls.latency
    lines = [
        _long("p50", "half", [each.p50_ns for each in found.times], whole.p50_ns if whole else None),
        _long("p95", "most", [each.p95_ns for each in found.times], whole.p95_ns if whole else None),
    ]
    return _drawn("Model latency", found, lines, _duration, leads_to=_calls_of(at), is_time=True)


def _first(found: Figures, at: Looked) -> Chart:
    whole = found.total.first_token
    lines = [
        _long("p50", "half", [each.first_p50_ns for each in found.times], whole.p50_ns if whole else None),
        _long("p95", "most", [each.first_p95_ns for each in found.times], whole.p95_ns if whole else None),
    ]
    return _drawn("Time to first token", found, lines, _duration, leads_to=_calls_of(at), is_time=True)


def _runs_of(at: Looked) -> str:
    return links.runs(agent_type=at.agent)


def _calls_of(at: Looked) -> str:
    return links.steps(kind="llm", agent_type=at.agent)


def _counts(name: str, look: str, values: Sequence[int], href: str = "") -> Line:
    return Line(
        name=name,
        look=look,
        values=tuple(values),
        texts=tuple(map(wording.count, values)),
        rest=wording.count(sum(values)),
        href=href if any(values) else "",
    )


def _long(name: str, look: str, values: Sequence[int | None], whole: int | None) -> Line:
    return Line(
        name=name,
        look=look,
        values=tuple(value or None for value in values),
        texts=tuple(map(lasted, values)),
        rest=lasted(whole),
    )


def _part(spent: Tokens, key: str) -> int | None:
    value: int | None = getattr(spent, key)
    return value


def _count(value: float) -> str:
    return wording.short(round(value))


def _duration(value: float) -> str:
    return wording.duration(round(value))
