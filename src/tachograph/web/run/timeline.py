"""Rows of a waterfall: where each bar stands, in thousandths of the time that is looked at, and what its row says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from msgspec import Struct

from tachograph.events.envelope import KnownBody
from tachograph.queries import wording
from tachograph.queries.answers.runs import RunOverview
from tachograph.queries.timeline.lines import Line
from tachograph.queries.timeline.waterfall import TimelineAsked, Waterfall
from tachograph.queries.units import ms
from tachograph.web import links

WIDTH = 1_000
"""Units of the time axis."""
_LEAST = 2.0
"""Narrowest bar."""
_DEEPEST = 12
"""Depth from which rows are not indented further."""
_TICKS = 5


EVENT_TYPES: tuple[str, ...] = (*(str(body.__struct_config__.tag) for body in get_args(KnownBody)), "unknown")
"""Names of the messages in which events are told."""


class Stretch(Struct, frozen=True):
    """A piece of the time axis."""

    x: str
    width: str


class Bar(Struct, frozen=True, kw_only=True):
    """What is drawn in a row."""

    own: Stretch | None
    """None where the step lies outside the time that is looked at."""
    waited: Stretch | None = None
    """Until the first token."""
    stalls: tuple[Stretch, ...] = ()
    band: Stretch | None = None
    is_odd: bool = False
    """Of the iteration."""


class Row(Struct, frozen=True, kw_only=True):
    """A line with its bar."""

    line: Line
    bar: Bar
    indent: int
    title: str
    """What the bar says, in words."""
    took: str
    tokens: str
    cost: str
    marks: tuple[str, ...]
    fold: str
    """Where it is folded or unfolded; empty where nothing is below it."""
    href: str
    begin: str
    """Milliseconds from the start of the run."""
    end: str


class Chart(Struct, frozen=True, kw_only=True):
    """A waterfall as it is shown."""

    found: Waterfall
    rows: tuple[Row, ...]
    is_timed: bool
    """Whether there are times: imported records may have none."""
    ticks: tuple[str, ...]
    before: str
    """The stretch before this one; empty where there is none."""
    after: str
    closer: str
    wider: str
    whole: str
    """All of the run's time; empty when that is shown."""
    fold_all: str
    unfold_all: str
    since: str
    until: str
    """Milliseconds of the time that is looked at."""
    live: str
    """Where its events are told as they happen; empty where none are expected and none are asked for."""


def chart(run: RunOverview, found: Waterfall, asked: TimelineAsked) -> Chart:
    """The rows of a run with their bars and the ways to look at others."""
    run_id, last = run.id, run.events - 1
    is_told = run.status in ("started", "paused") or asked.after is not None
    state = _state(asked)
    here = Places(run_id, state)
    since, until = found.since_ns, found.until_ns
    is_zoomed = asked.since is not None or asked.until is not None
    quarter = (until - since) // 4
    return Chart(
        found=found,
        rows=tuple(_rows(found, asked, here)),
        is_timed=found.span_ns > 0,
        ticks=tuple(_ticks(since, until)) if found.span_ns else (),
        before=here.at(offset=max(0, found.offset - asked.limit)) if found.offset else "",
        after=here.at(offset=found.offset + asked.limit) if found.offset + asked.limit < found.total else "",
        closer=here.at(since=_ms(since + quarter), until=_ms(until - quarter)),
        wider=here.at(since=_ms(max(0, since - 2 * quarter)), until=_ms(min(found.span_ns, until + 2 * quarter)))
        if is_zoomed
        else "",
        whole=here.at(since=None, until=None) if is_zoomed else "",
        fold_all=here.at(fold="all", but=None),
        unfold_all=here.at(fold=None, but=None),
        since=_ms(since),
        until=_ms(until),
        live=links.live(run=run_id, after=str(last if asked.after is None else asked.after)) if is_told else "",
    )


def _ticks(since: int, until: int) -> Iterator[str]:
    """Times along the axis: where it begins elsewhere than the run, the others are told from there."""
    yield wording.duration(since)
    for place in range(1, _TICKS):
        after = (until - since) * place // (_TICKS - 1)
        yield f"+{wording.duration(after)}" if since else wording.duration(after)


class Places:
    """Addresses of the same waterfall, looked at in another way."""

    def __init__(self, run_id: str, state: Mapping[str, Any]) -> None:
        self._path, self._state = links.run(run_id), state

    def at(self, **changes: Any) -> str:
        """With these parameters in place of the present ones, from the first row on where none is said."""
        return links.again(self._path, {**self._state, "offset": None}, **changes)

    def toggled(self, key: str, but: str) -> str:
        """Where one more row, or one less, is folded."""
        keys = [each for each in but.split(",") if each]
        kept = [each for each in keys if each != key] if key in keys else [*keys, key]
        return f"{links.again(self._path, self._state, but=','.join(kept))}#r{key}"


def _state(asked: TimelineAsked) -> dict[str, Any]:
    return {
        "fold": None if asked.fold == "none" else asked.fold, "but": asked.but, "since": _number(asked.since),
        "until": _number(asked.until), "offset": asked.offset or None,
    }  # fmt: skip


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}".rstrip("0").rstrip(".")


def _ms(ns: int) -> str:
    return _number(ms(ns)) or "0"


# ---- rows -----------------------------------------------------------------------------------------------------------


def _rows(found: Waterfall, asked: TimelineAsked, here: Places) -> Iterator[Row]:
    scale = _Scale(found.since_ns, found.until_ns)
    is_timed = found.span_ns > 0
    for line in found.lines:
        yield Row(
            line=line,
            bar=scale.bar(line) if is_timed else Bar(own=None),
            indent=min(line.depth, _DEEPEST),
            title=_title(line) if is_timed else "",
            took="" if line.hit else wording.duration(line.duration_ns if is_timed else None),
            tokens="" if line.sums is None else in_and_out(line.sums.input, line.sums.output, line.sums.missing),
            cost="" if line.sums is None else wording.money(line.sums.cost, line.sums.unpriced),
            marks=tuple(_marks(line)),
            fold=here.toggled(line.key, asked.but) if line.below and line.depth else "",
            href=links.step(line.id),
            begin=_ms(line.begin_ns),
            end=_ms(line.until_ns),
        )


def in_and_out(taken: int | None, given: int | None, missing: int = 0) -> str:
    """Tokens: `1690 → 60`; a lower bound while calls have none."""
    if taken is None and given is None:
        return wording.UNKNOWN
    return f"{'≥ ' if missing else ''}{wording.short(taken)} → {wording.short(given)}"


def _marks(line: Line) -> Iterator[str]:
    """What is out of the ordinary."""
    if line.kind == "llm" and line.attempt > 1:
        yield f"attempt {line.attempt}"
    if line.http_status is not None and line.http_status >= 400:
        yield f"HTTP {line.http_status}"
    if line.finish_reason in {"length", "max_tokens", "content_filter", "refusal"}:
        yield line.finish_reason
    if line.stalls:
        yield wording.some(len(line.stalls), "stall")


def _title(line: Line) -> str:
    """When it was, in words."""
    said = [f"from {wording.duration(line.begin_ns)}"]
    if line.duration_ns is not None:
        said.append(f"for {wording.duration(line.duration_ns)}")
    elif line.hit is None:
        said.append("not ended")
    if line.first_token_ns is not None:
        said.append(f"first token after {wording.duration(line.first_token_ns)}")
    if line.stalls:
        longest = max(end - begin for begin, end in line.stalls)
        said.append(f"{wording.some(len(line.stalls), 'stall')}, the longest {wording.duration(longest)}")
    if line.provider:
        said.append(f"by {line.provider}")
    return ", ".join(said)


class _Scale:
    """From nanoseconds to units of the axis."""

    def __init__(self, since: int, until: int) -> None:
        self._since, self._until = since, until
        self._per_ns = WIDTH / max(1, until - since)

    def bar(self, line: Line) -> Bar:
        begin = line.begin_ns
        first = line.first_token_ns
        band = line.band
        return Bar(
            own=self._stretch(begin, line.until_ns, _LEAST),
            waited=None if first is None else self._stretch(begin, min(begin + first, line.until_ns)),
            stalls=tuple(
                drawn
                for stall in line.stalls
                if (drawn := self._stretch(begin + stall[0], min(begin + stall[1], line.until_ns))) is not None
            ),
            band=None if band is None else self._stretch(band[1], band[2]),
            is_odd=band is not None and band[0] % 2 == 1,
        )

    def _stretch(self, begin: int, end: int, least: float = 0.0) -> Stretch | None:
        if end < self._since or begin > self._until:
            return None
        left = max(0.0, (begin - self._since) * self._per_ns)
        right = min(float(WIDTH), (end - self._since) * self._per_ns)
        width = max(least, right - left)
        return Stretch(f"{min(left, WIDTH - width):.1f}", f"{width:.4g}")
