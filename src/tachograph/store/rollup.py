"""Roll-ups: the sums of an hour, so that a month of analytics reads hundreds of rows instead of millions.

A row stands for all steps that started in one hour (or day) and share its keys; it holds sums and packed latency
histograms. Rows of that shape come from two operations and no others: `counted` makes them from steps, `merged` from
other rows. So hours, days, marginals and answers agree with the steps by construction, and with each other.

Closed hours are computed anew whenever they are dirty and replace what was there: doing it twice changes nothing. The
hour that is still open is nobody's roll-up; whoever asks reads its steps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import msgspec

from tachograph.fold import histogram
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

HOUR = 3_600_000_000_000
"""Nanoseconds."""
DAY_HOURS = 24

Row = Mapping[str, Any]
"""A row of `rollup_hour` or `rollup_day`, or a part of one: some key columns, and every column of `VALUES`."""

FACETS: Mapping[str, tuple[str, ...]] = {
    "model": ("provider", "model"),
    "project": ("project",),
    "agent": ("agent",),
    "error": ("error",),
    "each": ("project", "provider", "model", "agent", "status", "error"),
}
"""Facet → the keys it keeps apart, the others are ''. `error` holds the steps that had one, each other facet all steps.

`each` serves every combination; the marginals before it, smallest first, make summaries short: a month has hundreds of
their rows, not thousands.
"""
ALWAYS = ("tenant", "step")
"""Keys that every facet keeps."""
KEYS = ("tenant", "project", "provider", "model", "agent", "step", "status", "error")

_BLANK = dict.fromkeys(KEYS, "")

STATUSES = ("completed", "failed", "cancelled", "abandoned")
"""Columns that count the steps that ended so; what `count` has beyond them is open."""
_DURATION_SUMS = ("timed", "duration_ns")
_CALL_SUMS = (
    "uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "usage_missing",
    "cost_nano", "input_cost_nano", "output_cost_nano", "unpriced", "reported_cost_nano",
)  # fmt: skip
SUMS = ("count", *STATUSES, *_DURATION_SUMS, *_CALL_SUMS)
"""Columns that add up."""
VALUES = (*SUMS, "duration_min_ns", "duration_max_ns", "hist", "first_token_hist")
"""All columns that are not keys."""

PROJECT_TAG = "project:"


class Fact(NamedTuple):
    """One step as the roll-ups see it. The fields from `provider` on are those of model calls."""

    row: Row
    """What was read; the columns of its run may serve as keys too."""
    tenant: str
    project: str
    agent: str
    status: str
    error: str
    """Type of its error, else its category; empty when it had none."""
    started_at: int
    duration_ns: int | None
    step: str
    """Kind of the step."""
    provider: str = ""
    model: str = ""
    first_token_ns: int | None = None
    uncached_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_missing: bool | None = None
    cost_nano: int | None = None
    input_cost_nano: int | None = None
    output_cost_nano: int | None = None
    unpriced: bool | None = None
    reported_cost_nano: int | None = None

    @property
    def hour(self) -> int:
        """Hour it started in, counted from 1970 (UTC)."""
        return self.started_at // HOUR

    @property
    def day(self) -> int:
        """Day it started in, counted from 1970 (UTC)."""
        return self.hour // DAY_HOURS


class Shelf(Index, Protocol):
    """What `refresh` needs of a store."""

    def replace_rollups(
        self, done: Sequence[Row], hours: Mapping[int, Sequence[Row]], days: Mapping[int, Sequence[Row]]
    ) -> None:
        """Put these rows in place of all rows of these hours and days, for the one tenant of the marks `done`.

        In the same transaction each of these marks of `dirty_hours` goes, if its `ver` is still the one given.
        """
        ...


def refresh(shelf: Shelf, now_ns: int) -> int:
    """Recompute the closed hours that are marked dirty, and their days; returns how many hours were done.

    An hour that gets a new mark meanwhile keeps it, and is done again by the next call.
    """
    marks = shelf.find(Query("dirty_hours", where=(Where("hour", "lt", now_ns // HOUR),), limit=None)).rows
    by_day: dict[int, list[Row]] = defaultdict(list)
    for mark in marks:
        by_day[mark["hour"] // DAY_HOURS].append(mark)
    for day, done in by_day.items():
        _refresh_day(shelf, day, done)
    return len({mark["hour"] for mark in marks})


def _refresh_day(shelf: Shelf, day: int, marks: Sequence[Row]) -> None:
    hours: dict[str, dict[int, list[Row]]] = {mark["tenant"]: {} for mark in marks}
    for hour in sorted({mark["hour"] for mark in marks}):
        by_tenant: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts(shelf, hour * HOUR, (hour + 1) * HOUR):
            by_tenant[fact.tenant].append(fact)
        for tenant in {mark["tenant"] for mark in marks if mark["hour"] == hour}:
            hours[tenant][hour] = hour_rows(by_tenant[tenant])
    for tenant, again in hours.items():
        rest = (row for row in _stored(shelf, tenant, day) if row["hour"] not in again)
        done = [mark for mark in marks if mark["tenant"] == tenant]
        shelf.replace_rollups(done, again, {day: day_rows(chain(rest, *again.values()))})


def hour_rows(steps: Sequence[Fact]) -> list[Row]:
    """The rows of one hour, all facets, made from its steps."""
    found: list[Row] = []
    for facet, keys in FACETS.items():
        chosen = (fact for fact in steps if fact.error) if facet == "error" else steps
        found += ({**_BLANK, **row, "facet": facet} for row in counted(chosen, (*ALWAYS, *keys)))
    return found


def day_rows(hours: Iterable[Row]) -> list[Row]:
    """The rows of a day, all facets, made from the rows of its hours."""
    return merged(hours, ("facet", *KEYS))


def counted(steps: Iterable[Fact], keys: Sequence[str]) -> list[Row]:
    """Rows made from steps: one for each combination of `keys`, which are attributes of Fact or columns of the run."""
    key = _key_of(keys)
    groups: dict[Any, list[Fact]] = defaultdict(list)
    for fact in steps:
        groups[key(fact)].append(fact)
    return [{**dict(zip(keys, values, strict=True)), **_sums(group)} for values, group in groups.items()]


def merged(rows: Iterable[Row], keys: Sequence[str]) -> list[Row]:
    """Rows made from rows: one for each combination of `keys`. A key that a row lacks is ''."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple([row.get(key, "") for key in keys])].append(row)
    return [{**dict(zip(keys, values, strict=True)), **_total(group)} for values, group in groups.items()]


def facts(
    index: Index, since: int, until: int | None = None, *, where: Sequence[Where] = (), run_columns: Sequence[str] = ()
) -> Iterator[Fact]:
    """The steps that started in `since` ≤ t < `until` (UTC ns; None: no end).

    `where` are conditions on columns that steps and calls both have, those of their run among them; `run_columns` are
    columns of the run to be used as keys.
    """
    period = (Where("started_at", "ge", since), *where)
    if until is not None:
        period = (*period, Where("started_at", "lt", until))
    columns = (*_COMMON, *run_columns)
    order = ("started_at",)  # as the index has it: nothing needs sorting
    steps = Query("steps", (*period, Where("kind", "ne", "llm")), (*columns, "kind"), order=order, limit=None)
    for row in index.find(steps).rows:
        yield Fact(row, *_common(row), row["kind"])
    for row in index.find(Query("calls", period, (*columns, *_OF_CALLS), order=order, limit=None)).rows:
        yield _call(row)


@lru_cache(maxsize=1024)
def project_of(tags: str | None) -> str:
    """The project that a run's tags (JSON, as stored) name by `project:<name>`, or ''."""
    if not tags or PROJECT_TAG not in tags:
        return ""
    names = msgspec.json.decode(tags, type=list[str])
    return next((name[len(PROJECT_TAG) :] for name in names if name.startswith(PROJECT_TAG)), "")


_COMMON = (
    "tenant", "tags", "agent_type", "status", "started_at", "duration_ns", "error_type", "error_category",
)  # fmt: skip
_OF_CALLS = (
    "provider", "model", "first_token_ns", "uncached_tokens", "cache_read_tokens", "cache_write_tokens",
    "output_tokens", "reasoning_tokens", "usage_basis", "cost_nano", "input_cost_nano", "output_cost_nano",
    "cost_state", "reported_cost_nano",
)  # fmt: skip


def _common(row: Row) -> tuple[str, str, str, str, str, int, int | None]:
    return (
        row["tenant"],
        project_of(row["tags"]),
        row["agent_type"] or "",
        row["status"],
        row["error_type"] or row["error_category"] or "",
        row["started_at"],
        row["duration_ns"],
    )


def _call(row: Row) -> Fact:
    return Fact(
        row,
        *_common(row),
        "llm",
        row["provider"],
        row["model"],
        row["first_token_ns"],
        row["uncached_tokens"],
        row["cache_read_tokens"],
        row["cache_write_tokens"],
        row["output_tokens"],
        row["reasoning_tokens"],
        row["usage_basis"] == "missing",
        row["cost_nano"],
        row["input_cost_nano"],
        row["output_cost_nano"],
        row["cost_state"] == "unpriced",
        row["reported_cost_nano"],
    )


def _key_of(keys: Sequence[str]) -> Callable[[Fact], tuple[Any, ...]]:
    """A function from a step to its key values."""
    if all(key in Fact._fields for key in keys) and len(keys) > 1:
        return itemgetter(*map(Fact._fields.index, keys))
    return lambda fact: tuple([getattr(fact, key) if hasattr(Fact, key) else fact.row[key] or "" for key in keys])


_COLUMNS = tuple(Fact._fields.index(name) for name in _CALL_SUMS)
_STATUS, _DURATION, _FIRST_TOKEN = map(Fact._fields.index, ("status", "duration_ns", "first_token_ns"))


def _sums(group: Sequence[Fact]) -> dict[str, Any]:
    columns = list(zip(*group, strict=True))
    ends = Counter(columns[_STATUS])
    times = [ns for ns in columns[_DURATION] if ns is not None]
    first = [ns for ns in columns[_FIRST_TOKEN] if ns is not None]
    return {
        "count": len(group),
        **{status: ends[status] for status in STATUSES},
        "timed": len(times),
        "duration_ns": sum(times),
        **{name: sum(filter(None, columns[place])) for name, place in zip(_CALL_SUMS, _COLUMNS, strict=True)},
        "duration_min_ns": min(times, default=None),
        "duration_max_ns": max(times, default=None),
        "hist": histogram.of(times).pack() or None,
        "first_token_hist": histogram.of(first).pack() or None,
    }


_sums_of = itemgetter(*SUMS)


def _total(group: Sequence[Row]) -> dict[str, Any]:
    if len(group) == 1:
        return {name: group[0][name] for name in VALUES}
    least = [row["duration_min_ns"] for row in group if row["duration_min_ns"] is not None]
    most = [row["duration_max_ns"] for row in group if row["duration_max_ns"] is not None]
    return {
        **dict(zip(SUMS, map(sum, zip(*map(_sums_of, group), strict=True)), strict=True)),
        "duration_min_ns": min(least, default=None),
        "duration_max_ns": max(most, default=None),
        "hist": _packed_total(row["hist"] for row in group),
        "first_token_hist": _packed_total(row["first_token_hist"] for row in group),
    }


def _packed_total(packs: Iterable[bytes | None]) -> bytes | None:
    return histogram.merged(pack for pack in packs if pack).pack() or None


def _stored(shelf: Shelf, tenant: str, day: int) -> Sequence[Row]:
    first = day * DAY_HOURS
    within = (Where("facet", "in", tuple(FACETS)), Where("hour", "ge", first), Where("hour", "lt", first + DAY_HOURS))
    wanted = ("facet", "hour", *KEYS, *VALUES)
    return shelf.find(Query("rollup_hour", (*within, Where("tenant", "eq", tenant)), wanted, limit=None)).rows
