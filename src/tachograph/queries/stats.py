"""What did it cost, how long did it take, how often did it fail: totals of a period, and by what one asks for.

Runs, model calls and tool calls are counted apart, by how they ended. Tokens and money are those of model calls. What
nobody said is None, never 0: a cost is None when not one call has a price, and a lower bound while `unpriced` is not 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tachograph.fold.histogram import unpack
from tachograph.queries.period import Period, read
from tachograph.store.ports import Index
from tachograph.store.rollup import RUN_KEYS, STATUSES, Row, merged

DIMENSIONS = ("model", "provider", "agent", "project", "day", "hour", "tenant", "step", "status", *RUN_KEYS)
"""What statistics can be grouped by. RUN_KEYS (session, user, …) read every step of the period, the others roll-ups."""
CONDITIONS = ("tenant", "project", "provider", "model", "agent", "step", "status", "tag", "report_id", *RUN_KEYS)
"""What statistics can be limited to, each to one value. `tag`, `report_id` and RUN_KEYS read every step."""

_MEASURED = frozenset(("run", "llm", "tool"))
"""Kinds of steps whose outcomes and times are told; others are counted."""
_CALLS_ONLY = frozenset(("model", "provider"))
_SPANS = frozenset(("hour", "day"))


class Latency(Struct, frozen=True):
    """How long `count` things took, nanoseconds. Least, most and mean are exact, quantiles as `fold.histogram` says."""

    count: int
    mean_ns: int
    min_ns: int
    max_ns: int
    p50_ns: int
    p90_ns: int
    p95_ns: int
    p99_ns: int


class Quantiles(Struct, frozen=True):
    """Times to first token of `count` calls, nanoseconds."""

    count: int
    p50_ns: int
    p90_ns: int
    p95_ns: int
    p99_ns: int


class Outcomes(Struct, frozen=True):
    """How often something happened, how it ended, how long it took."""

    count: int = 0
    by_status: Mapping[str, int] = {}
    """completed, failed, cancelled, abandoned, and `open` for what has not ended. Refused tool calls count as failed,
    skipped ones as cancelled. What is 0 is absent."""
    latency: Latency | None = None
    """Of those that have ended; None when none has."""

    @property
    def ended(self) -> int:
        """Those that are over."""
        return self.count - self.by_status.get("open", 0)

    @property
    def success_rate(self) -> float | None:
        """Share of the ended that completed, 0 to 1; None when none has ended."""
        return self.by_status.get("completed", 0) / self.ended if self.ended else None


class Tokens(Struct, frozen=True):
    """Tokens by class. None when calls ended and nobody counted for any of them."""

    input_uncached: int | None = 0
    cache_read: int | None = 0
    cache_write: int | None = 0
    output: int | None = 0
    reasoning: int | None = 0
    """Part of `output`."""
    missing: int = 0
    """Ended calls whose usage nobody gave: the sums are lower bounds while this is not 0."""

    @property
    def input_total(self) -> int | None:
        """Uncached input, cache reads and cache writes."""
        return _plus(_plus(self.input_uncached, self.cache_read), self.cache_write)

    @property
    def total(self) -> int | None:
        """Input and output."""
        return _plus(self.input_total, self.output)


class Money(Struct, frozen=True):
    """Nano-USD. None when calls ended and not one of them has a price: unknown, not 0."""

    total: int | None = 0
    input: int | None = 0
    output: int | None = 0
    unpriced: int = 0
    """Ended calls without a price: the sums are lower bounds while this is not 0."""
    reported: int = 0
    """What other sides said their calls cost, where they said anything."""


class Group(Struct, frozen=True):
    """Everything counted under one combination of what was asked for."""

    key: tuple[str | int, ...] = ()
    """Values in the order of `Stats.by`; '' where a step has none. Days and hours are counted from 1970 (UTC)."""
    runs: Outcomes = Outcomes()
    calls: Outcomes = Outcomes()
    tools: Outcomes = Outcomes()
    steps: Mapping[str, int] = {}
    """Steps of every kind, by kind."""
    tokens: Tokens = Tokens()
    cost: Money = Money()
    first_token: Quantiles | None = None


class ErrorGroup(Struct, frozen=True):
    """Steps of one kind that had an error of one type."""

    step: str
    error: str
    count: int


class Stats(Struct, frozen=True):
    """Statistics of a period, exact at `as_of`."""

    since: int | None
    until: int | None
    as_of: int
    by: tuple[str, ...]
    total: Group
    groups: tuple[Group, ...]
    """Dearest first; by day or hour: in their order. Grouped by model or provider they hold model calls only."""
    errors: tuple[ErrorGroup, ...]
    """Most frequent first."""
    source: str
    """`rollups`, or `rows` when a condition or dimension made every step of the period be read."""


def stats(
    index: Index,
    now_ns: int,
    period: Period | None = None,
    *,
    by: Sequence[str] = (),
    where: Mapping[str, str] | None = None,
) -> Stats:
    """Totals of the steps that started in the period, and groups by DIMENSIONS, limited by CONDITIONS.

    Raises ValueError for a dimension or condition that there is not.
    """
    period, where = period or Period(), dict(where or {})
    _known(by, DIMENSIONS, "group by")
    _known(where, CONDITIONS, "limit to")
    keys = tuple(dict.fromkeys(("step", *by)))
    found = read(index, period, now_ns, keys, where)
    rows = parts(found.rows, keys)
    return Stats(
        since=period.since,
        until=period.until,
        as_of=now_ns,
        by=tuple(by),
        total=group((), rows),
        groups=groups(rows, tuple(by)) if by else (),
        errors=errors(found.errors),
        source=found.source,
    )


def _known(asked: Iterable[str], allowed: Sequence[str], what: str) -> None:
    for name in asked:
        if name not in allowed:
            raise ValueError(f"cannot {what} {name!r}; one of {', '.join(allowed)}")


def parts(rows: Iterable[Row], keys: tuple[str, ...]) -> list[Row]:
    """One row for each combination of keys. Of steps whose times nobody asks for only the number is added up."""
    counts: Counter[tuple[Any, ...]] = Counter()
    measured = []
    for row in rows:
        if row["step"] in _MEASURED:
            measured.append(row)
        else:
            counts[tuple([row[key] for key in keys])] += row["count"]
    return [
        *merged(measured, keys),
        *({**dict(zip(keys, key, strict=True)), "count": count} for key, count in counts.items()),
    ]


def groups(rows: Iterable[Row], by: tuple[str, ...]) -> tuple[Group, ...]:
    """Groups of rows that keep these keys and kinds of steps apart: dearest first; by time in its order."""
    by_key: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if _CALLS_ONLY.isdisjoint(by) or row["step"] == "llm":
            by_key.setdefault(tuple([row[name] for name in by]), []).append(row)
    found = [group(key, part) for key, part in by_key.items()]
    if _SPANS.isdisjoint(by):
        return tuple(sorted(found, key=lambda each: (-(each.cost.total or 0), -each.calls.count, each.key)))
    return tuple(sorted(found, key=lambda each: each.key))


def group(key: tuple[Any, ...], rows: Sequence[Row]) -> Group:
    """Everything that is counted in rows which keep kinds of steps apart."""
    kinds = {row["step"]: row for row in merged((row for row in rows if row["step"] in _MEASURED), ("step",))}
    steps: Counter[str] = Counter()
    for row in rows:
        steps[row["step"]] += row["count"]
    spent = kinds.get("llm")
    calls = outcomes(spent)
    return Group(
        key=key,
        runs=outcomes(kinds.get("run")),
        calls=calls,
        tools=outcomes(kinds.get("tool")),
        steps=dict(sorted(steps.items())),
        tokens=tokens(spent, calls.ended),
        cost=money(spent, calls.ended),
        first_token=first_token(spent),
    )


def outcomes(row: Row | None) -> Outcomes:
    """How often what a row stands for happened, how it ended, how long it took."""
    if row is None:
        return Outcomes()
    ends = {status: row[status] for status in STATUSES if row[status]}
    still_open = row["count"] - sum(ends.values())
    return Outcomes(row["count"], {**ends, "open": still_open} if still_open else ends, _latency(row))


def _latency(row: Row) -> Latency | None:
    if not row["timed"]:
        return None
    least, most = row["duration_min_ns"], row["duration_max_ns"]
    quantile = _quantiles(row["hist"])
    inside = [max(least, min(most, quantile(q))) for q in (0.5, 0.9, 0.95, 0.99)]
    return Latency(row["timed"], row["duration_ns"] // row["timed"], least, most, *inside)


def first_token(row: Row | None) -> Quantiles | None:
    """Times to first token of the calls in a row; None when none had one."""
    if row is None or not row["first_token_hist"]:
        return None
    quantile = _quantiles(row["first_token_hist"])
    return Quantiles(unpack(row["first_token_hist"]).total, *map(quantile, (0.5, 0.9, 0.95, 0.99)))


def _quantiles(packed: bytes) -> Callable[[float], int]:
    histogram = unpack(packed)
    return lambda q: round(histogram.quantile(q) or 0.0)


def tokens(row: Row | None, ended: int) -> Tokens:
    """Tokens of the calls in a row, of which `ended` have ended."""
    if row is None:
        return Tokens()
    missing = row["usage_missing"]
    return Tokens(
        input_uncached=_known_sum(row["uncached_tokens"], ended, missing),
        cache_read=_known_sum(row["cache_read_tokens"], ended, missing),
        cache_write=_known_sum(row["cache_write_tokens"], ended, missing),
        output=_known_sum(row["output_tokens"], ended, missing),
        reasoning=_known_sum(row["reasoning_tokens"], ended, missing),
        missing=missing,
    )


def money(row: Row | None, ended: int) -> Money:
    """Money of the calls in a row, of which `ended` have ended."""
    if row is None:
        return Money()
    unpriced = row["unpriced"]
    return Money(
        total=_known_sum(row["cost_nano"], ended, unpriced),
        input=_known_sum(row["input_cost_nano"], ended, unpriced),
        output=_known_sum(row["output_cost_nano"], ended, unpriced),
        unpriced=unpriced,
        reported=row["reported_cost_nano"],
    )


def _known_sum(total: int, ended: int, unknown: int) -> int | None:
    return None if ended and unknown >= ended else total


def _plus(one: int | None, two: int | None) -> int | None:
    return None if one is None or two is None else one + two


def errors(rows: Iterable[Row]) -> tuple[ErrorGroup, ...]:
    """Rows of steps that had an error, as groups; most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[row["step"], row["error"]] += row["count"]
    found = [ErrorGroup(step, error, count) for (step, error), count in counts.items()]
    return tuple(sorted(found, key=lambda each: (-each.count, each.step, each.error)))
