"""Roll-ups: the sums of an hour, so that a month of analytics reads hundreds of rows instead of millions.

A row stands for all steps that started in one hour (or day) and share its keys; it holds sums and packed latency
histograms. Rows of that shape come from two operations and no others: `summed` asks the store to add up steps, `merged`
adds up rows. So hours, days, marginals and answers agree with the steps by construction, and with each other.

Closed hours are computed anew whenever they are dirty and replace what was there: doing it twice changes nothing. The
hour that is still open is nobody's roll-up; whoever asks has its steps added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Protocol

import msgspec

from tachograph.fold import histogram
from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where

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
"""`step` is the kind of step; `error` the type of its error, else the category; what a step has not is ''."""
RUN_KEYS = ("session", "user", "environment", "source", "version")
"""Columns of a run that steps can be summed by, though no roll-up keeps them apart."""
STATUSES = ("completed", "failed", "cancelled", "abandoned")
"""Columns that count the steps that ended so; what `count` has beyond them is open."""

_OF_STEPS = ("count", *STATUSES, "timed", "duration_ns")
_ADDED = (
    "uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "cost_nano",
    "input_cost_nano", "output_cost_nano", "reported_cost_nano",
)  # fmt: skip
SUMS = (*_OF_STEPS, *_ADDED, "usage_missing", "unpriced")
"""Columns that add up."""
VALUES = (*SUMS, "duration_min_ns", "duration_max_ns", "hist", "first_token_hist")
"""All columns that are not keys."""

PROJECT_TAG = "project:"


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
        by_tenant: dict[str, list[Row]] = defaultdict(list)
        for row in summed(shelf, hour * HOUR, (hour + 1) * HOUR, KEYS):
            by_tenant[row["tenant"]].append(row)
        for tenant in {mark["tenant"] for mark in marks if mark["hour"] == hour}:
            hours[tenant][hour] = hour_rows(by_tenant[tenant])
    for tenant, again in hours.items():
        rest = (row for row in _stored(shelf, tenant, day) if row["hour"] not in again)
        done = [mark for mark in marks if mark["tenant"] == tenant]
        shelf.replace_rollups(done, again, {day: day_rows(chain(rest, *again.values()))})


def hour_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows of one hour, all facets, made from its rows by all KEYS."""
    found: list[Row] = []
    for facet, keys in FACETS.items():
        chosen = (row for row in rows if row["error"]) if facet == "error" else rows
        found += ({**_BLANK, **row, "facet": facet} for row in merged(chosen, (*ALWAYS, *keys)))
    return found


_BLANK = dict.fromkeys(KEYS, "")


def day_rows(hours: Iterable[Row]) -> list[Row]:
    """The rows of a day, all facets, made from the rows of its hours."""
    return merged(hours, ("facet", *KEYS))


def merged(rows: Iterable[Row], keys: Sequence[str]) -> list[Row]:
    """Rows made from rows: one for each combination of `keys`."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple([row[key] for key in keys])].append(row)
    return [{**dict(zip(keys, values, strict=True)), **_total(group)} for values, group in groups.items()]


def summed(index: Index, since: int, until: int | None, keys: Sequence[str], where: Sequence[Where] = ()) -> list[Row]:
    """Rows made from the steps that started in `since` ≤ t < `until` (UTC ns; None: no end).

    One for each combination of `keys`, of KEYS and RUN_KEYS. `where` are conditions on columns of their runs.
    """
    period = (Where("started_at", "ge", since), *where)
    if until is not None:
        period = (*period, Where("started_at", "lt", until))
    steps = _grouped(index, "steps", (*period, Where("kind", "ne", "llm")), keys)
    calls = _grouped(index, "calls", period, keys)
    return merged(map(_step_row, steps), keys) + merged(map(_call_row, calls), keys)


@lru_cache(maxsize=1024)
def project_of(tags: str | None) -> str:
    """The project that a run's tags (JSON, as stored) name by `project:<name>`, or ''."""
    if not tags or PROJECT_TAG not in tags:
        return ""
    names = msgspec.json.decode(tags, type=list[str])
    return next((name[len(PROJECT_TAG) :] for name in names if name.startswith(PROJECT_TAG)), "")


# ---- steps → rows ----------------------------------------------------------------------------------------------------

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "project": ("tags",),
    "agent": ("agent_type",),
    "step": (),
    "error": ("error_type", "error_category"),
}
"""Key → the columns it is made of, where it is not a column itself."""
_APART: Mapping[str, tuple[str, ...]] = {"steps": ("status", "kind"), "calls": ("status", "usage_basis", "cost_state")}
"""Columns that steps are always grouped by, to be counted by what they say."""
_ONLY_CALLS = ("provider", "model")
_TIMES = (
    Measure("count"),
    Measure("count", "duration_ns"),
    Measure("sum", "duration_ns"),
    Measure("min", "duration_ns"),
    Measure("max", "duration_ns"),
    Measure("histogram", "duration_ns"),
)
_FIRST_TOKEN = Measure("histogram", "first_token_ns")
_MEASURES: Mapping[str, tuple[Measure, ...]] = {
    "steps": _TIMES,
    "calls": (*_TIMES, *(Measure("sum", name) for name in _ADDED), _FIRST_TOKEN),
}


def _grouped(index: Index, table: str, where: tuple[Where, ...], keys: Sequence[str]) -> Sequence[Row]:
    own = (key for key in keys if table == "calls" or key not in _ONLY_CALLS)
    columns = dict.fromkeys(chain(_APART[table], *(_COLUMNS.get(key, (key,)) for key in own)))
    return index.find(Query(table, where, group=tuple(columns), measures=_MEASURES[table], limit=None)).rows


def _step_row(found: Row) -> Row:
    return {**_keys(found), **_NOT_CALLED, **_times(found), "step": found["kind"]}


def _call_row(found: Row) -> Row:
    return {
        **_keys(found),
        **_times(found),
        **{name: found[f"sum_{name}"] or 0 for name in _ADDED},
        "step": "llm",
        "usage_missing": found["count"] if found["usage_basis"] == "missing" else 0,
        "unpriced": found["count"] if found["cost_state"] == "unpriced" else 0,
        "first_token_hist": found[_FIRST_TOKEN.name],
    }


_NOT_CALLED: Row = {
    **dict.fromkeys(_ONLY_CALLS, ""),
    **dict.fromkeys((*_ADDED, "usage_missing", "unpriced"), 0),
    "first_token_hist": None,
}


def _keys(found: Row) -> dict[str, Any]:
    """Keys as far as their columns were asked for."""
    keys = {name: found[name] or "" for name in (*KEYS, *RUN_KEYS) if name in found}
    if "tags" in found:
        keys["project"] = project_of(found["tags"])
    if "agent_type" in found:
        keys["agent"] = found["agent_type"] or ""
    if "error_type" in found:
        keys["error"] = found["error_type"] or found["error_category"] or ""
    return keys


def _times(found: Row) -> dict[str, Any]:
    ended = dict.fromkeys(STATUSES, 0)
    if found["status"] in ended:
        ended[found["status"]] = found["count"]
    return {
        **ended,
        "count": found["count"],
        "timed": found["count_duration_ns"],
        "duration_ns": found["sum_duration_ns"] or 0,
        "duration_min_ns": found["min_duration_ns"],
        "duration_max_ns": found["max_duration_ns"],
        "hist": found["histogram_duration_ns"],
    }


# ---- rows → rows -----------------------------------------------------------------------------------------------------

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
