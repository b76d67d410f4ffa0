"""Runs of a support desk on a timeline: when they began, what they cost, how they ended."""

from __future__ import annotations

from typing import Any

from tachograph.events.run import AUDIT
from tachograph.events.usage import Cost, Usage
from tachograph.record.clock import Clock
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tachograph.testing import CountIds, TickClock
from tests import strategies
from tests.queries.kept import batch
from tests.strategies import Tape

BEGAN = strategies.BEGAN
SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
NOW = BEGAN + 100 * DAY
DOLLAR = 1_000_000_000
"""Nano-USD."""
USED = Usage(100, 0, 0, 20, 0, basis="provider")


def clock() -> Clock:
    """A clock that ticks by a millisecond, ids that count."""
    return Clock(TickClock(NOW), TickClock(0), CountIds())


def desk(
    name: str,
    at: int = BEGAN,
    *,
    end: str | None = "completed",
    calls: int = 1,
    cost: int = 0,
    text: str = "",
    **facts: Any,
) -> Tape:
    """A run that begins at `at` and takes milliseconds: a message, calls that cost so much each, a tool, a step."""
    tape = Tape(name, at=at)
    tape.begin(name, **facts)
    said = tape.say("user", {"role": "user", "content": text or name})
    for _ in range(calls):
        tape.reply(
            tape.call(input=said), usage=USED, cost=Cost("priced", total=cost, price_id="p", price_date="2025-06-15")
        )
    tape.result(tape.tool("find", '{"q":1}'), '"found"')
    tape.done(tape.step("think"))
    if end is not None:
        tape.finish(end)
    return tape


def put(store: Store, *tapes: Tape) -> None:
    """Store them."""
    store.append(batch(*(tape.events for tape in tapes)))


def names(store: Store) -> list[str]:
    """Names of the runs that are there, oldest first, audit runs left out."""
    where = (Where("source", "ne", AUDIT),)
    return [row["name"] for row in store.find(Query("runs", where, ("name",), order=("started_at",), limit=None)).rows]


def audits(store: Store, name: str) -> list[dict[str, Any]]:
    """Tenant, user and facts of the audit runs of this name, oldest first."""
    where = (Where("source", "eq", AUDIT), Where("name", "eq", name))
    rows = store.find(Query("runs", where, ("id", "tenant", "user"), order=("started_at",), limit=None)).rows
    told = []
    for row in rows:
        _, said, _ = store.read(row["id"])
        told.append({"tenant": row["tenant"], "user": row["user"], **said.body.data.value()})
    return told
