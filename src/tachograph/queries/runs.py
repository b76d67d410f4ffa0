"""Which runs are there: the newest first, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.events.run import AUDIT
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where
from tachograph.store.rollup import PROJECT_TAG, project_of


class Run(Struct, frozen=True, kw_only=True):
    """A run as lists show it: facts and totals, no content."""

    id: str
    execution_id: str
    name: str
    agent: str | None
    tenant: str
    session: str | None
    user: str | None
    tags: tuple[str, ...]
    project: str
    """From the tag `project:<name>`, or ''."""
    environment: str | None
    version: str | None
    platform: str | None
    source: str
    """Format and file of an imported run; '' for live ones."""
    parent: str | None
    """Run that started this one."""
    status: str
    stop_reason: str
    started_at: int
    """UTC ns."""
    duration_ns: int | None
    """None while it is open."""
    events: int
    iterations: int
    steps: int
    """Plain steps: neither model nor tool calls."""
    llm_calls: int
    tool_calls: int
    errors: int
    interventions: int
    input_uncached: int | None
    """Tokens are None when nobody counted for any call; lower bounds while `usage_missing` is not 0."""
    cache_read: int | None
    cache_write: int | None
    output: int | None
    reasoning: int | None
    usage_missing: int
    cost: int | None
    """Nano-USD; None when calls were made and none has a price, a lower bound while `unpriced` is not 0."""
    unpriced: int
    reported_cost: int
    """Nano-USD as other sides said."""
    error_type: str | None
    error_message: str | None
    lost: int
    """Events that could not be recorded."""
    truncated: int
    """Contents that were cut."""
    billable: bool

    @property
    def is_open(self) -> bool:
        """Whether it still goes on, or waits for a person."""
        return self.status in ("started", "paused")

    @property
    def input_total(self) -> int | None:
        """Uncached input, cache reads and cache writes."""
        if self.input_uncached is None or self.cache_read is None or self.cache_write is None:
            return None
        return self.input_uncached + self.cache_read + self.cache_write


class Filter(Struct, frozen=True, kw_only=True):
    """Conditions that must all hold; None asks nothing."""

    status: str | None = None
    stop_reason: str | None = None
    agent: str | None = None
    session: str | None = None
    tenant: str | None = None
    user: str | None = None
    environment: str | None = None
    tag: str | None = None
    project: str | None = None
    source: str | None = None
    """What `source` begins with: a format, or format and file. Audit runs are left out unless that is `audit`."""
    text: str | None = None
    """Part of the run's name, any case. For what was said, see `search`."""
    since: int | None = None
    """Started at or after, UTC ns."""
    until: int | None = None
    """Started before, UTC ns."""
    parent: str | None = None
    """Runs that this run started."""
    top: bool = False
    """Only runs that no other run started."""


class RunPage(Struct, frozen=True):
    """A page of runs."""

    runs: tuple[Run, ...]
    after: tuple[Any, ...] | None
    """Give this to get the next page; None when this is the last one."""
    total: int | None = None
    """Matches on all pages, when asked for."""


NO_AUDIT = Where("source", "ne", AUDIT)

ORDERS = ("started_at", "duration_ns", "cost_nano", "total_tokens", "llm_calls", "tool_calls", "errors", "updated_at")
"""What runs can be ordered by; with `-` in front, largest first."""


def runs(
    index: Index,
    where: Filter | None = None,
    *,
    order: str = "-started_at",
    limit: int = 50,
    after: Sequence[Any] | None = None,
    total: bool = False,
) -> RunPage:
    """Runs that meet the filter. Raises ValueError for an order there is not."""
    if order.removeprefix("-") not in ORDERS:
        raise ValueError(f"cannot order runs by {order!r}; one of {', '.join(ORDERS)}, with or without - in front")
    page = index.find(
        Query(
            "runs",
            where=conditions(where or Filter()),
            columns=COLUMNS,
            order=(order,),
            limit=limit,
            after=None if after is None else tuple(after),
            total=total,
        )
    )
    return RunPage(tuple(map(run_of, page.rows)), page.after, page.total)


def conditions(where: Filter) -> tuple[Where, ...]:
    """The filter as conditions on the table of runs."""
    found = [
        Where(column, op, value) for name, column, op in _CONDITIONS if (value := getattr(where, name)) is not None
    ]
    if where.project is not None:
        found.append(Where("tags", "contains", f"{PROJECT_TAG}{where.project}"))
    if where.source is None or not where.source.startswith(AUDIT):
        found.append(NO_AUDIT)
    if where.top:
        found.append(Where("parent_run", "null"))
    return tuple(found)


_CONDITIONS: tuple[tuple[str, str, Any], ...] = (
    ("since", "started_at", "ge"),
    ("until", "started_at", "lt"),
    *((name, name, "eq") for name in ("status", "stop_reason", "session", "tenant", "user", "environment")),
    ("agent", "agent_type", "eq"),
    ("parent", "parent_run", "eq"),
    ("tag", "tags", "contains"),
    ("source", "source", "prefix"),
    ("text", "name", "contains"),
)

_SAME = (
    "id", "execution_id", "name", "tenant", "session", "user", "environment", "version", "platform", "source", "status",
    "stop_reason", "started_at", "duration_ns", "iterations", "steps", "llm_calls", "tool_calls", "errors",
    "interventions", "usage_missing", "unpriced", "error_type", "error_message", "lost", "truncated", "billable",
)  # fmt: skip
_TOKENS = {
    "input_uncached": "uncached_tokens", "cache_read": "cache_read_tokens", "cache_write": "cache_write_tokens",
    "output": "output_tokens", "reasoning": "reasoning_tokens",
}  # fmt: skip
COLUMNS = (
    *_SAME, *_TOKENS.values(), "agent_type", "tags", "parent_run", "next_seq", "cost_nano", "reported_cost_nano",
)  # fmt: skip
"""Columns of the table of runs that `run_of` reads."""


def run_of(row: Mapping[str, Any]) -> Run:
    """A run from its row."""
    counted = not row["usage_missing"] or any(row[column] for column in _TOKENS.values())
    same: dict[str, Any] = {name: row[name] for name in _SAME}
    tokens: dict[str, Any] = {name: row[column] if counted else None for name, column in _TOKENS.items()}
    return Run(
        **same,
        **tokens,
        agent=row["agent_type"],
        tags=msgspec.json.decode(row["tags"] or "[]", type=tuple[str, ...]),
        project=project_of(row["tags"]),
        parent=row["parent_run"],
        events=row["next_seq"],
        cost=row["cost_nano"] if row["cost_nano"] or not row["unpriced"] else None,
        reported_cost=row["reported_cost_nano"],
    )
