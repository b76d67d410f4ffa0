from __future__ import annotations

import pytest

from tachograph.queries.logs.paused import paused
from tachograph.queries.period import Period, Wanted, plan, read_all
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tachograph.store.query import Where
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.queries.logs.desk import Watched
from tests.strategies import BEGAN, Tape

FIRST = BEGAN - BEGAN % (24 * HOUR)
NOW = FIRST + 60 * HOUR


def _store(store: Store) -> None:
    """Runs of two agents and none, in hours that are closed and in the one that is open: waiting, working, done."""
    ends = ("paused", None, "completed")
    for number, hour in enumerate((1, 1, 2, 30, 31, 49, 60, 60, 60)):
        tape = Tape(str(number), at=FIRST + hour * HOUR + number)
        tape.begin(agent_type=(None, "a", "b", "a")[number % 4])
        if (end := ends[number % 3]) is not None:
            tape.finish(end)
        store.append(batch(tape.events))


def _found(store: Store, period: Period, agent: str | None = None) -> dict[str, int]:
    (found,) = read_all(store, period, NOW, (Wanted(("step",)),), {} if agent is None else {"agent": agent})
    rolled = () if agent is None else (Where("agent", "eq", agent),)
    steps = () if agent is None else (Where("agent_type", "eq", agent),)
    return dict(paused(store, plan(store, period, NOW), found.rows, rolled, steps))


@pytest.mark.parametrize("refreshed", [False, True])
def test_what_waits(store: Store, refreshed: bool) -> None:
    """Paused steps are counted by agent, wherever they are read; open ones are not among them."""
    _store(store)
    if refreshed:
        store.refresh(NOW)
    assert _found(store, Period()) == {"": 1, "a": 1, "b": 1}
    assert _found(store, Period(), "a") == {"a": 1}
    assert _found(store, Period(FIRST + 2 * HOUR, FIRST + 60 * HOUR)) == {"a": 1}
    assert _found(store, Period(FIRST + 100 * HOUR)) == {}


def test_only_where_something_is_open() -> None:
    """Days and hours in which everything has ended are not read again."""
    store = MemoryStore()
    _store(store)
    store.refresh(NOW)
    (found,) = read_all(store, Period(), NOW, (Wanted(("step",)),), {})
    watched = Watched(store)
    paused(watched, plan(store, Period(), NOW), found.rows, (), ())
    spans = [
        (query.table, *(where.value for where in query.where if where.op in ("ge", "lt")))
        for query in watched.asked
        if query.table.startswith("rollup")
    ]
    hour = FIRST // HOUR
    assert spans == [("rollup_day", hour // 24 + 1, hour // 24 + 2), ("rollup_hour", hour + 1, hour + 2)]
