from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.queries.logs.counts import Counted, count, within
from tachograph.queries.period import Period
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.queries.logs.desk import Watched, moved
from tests.strategies import BEGAN, Tape, runs

STEPS = Counted(
    table="steps",
    always=(Where("kind", "ne", "llm"),),
    rolled=Where("step", "ne", "llm"),
    keys={"agent_type": "agent", "status": "status"},
)
CALLS = Counted(
    table="calls",
    rolled=Where("step", "eq", "llm"),
    keys={"provider": "provider", "model": "model", "status": "status"},
)
FIRST = BEGAN - BEGAN % HOUR
NOW = FIRST + 100 * HOUR


def test_conditions_of_a_period() -> None:
    """A period is from its start on and before its end, each if there is one."""
    since, until = Where("started_at", "ge", 1), Where("started_at", "lt", 2)
    assert [within(Period(*bounds)) for bounds in ((), (1,), (None, 2), (1, 2))] == [
        (), (since,), (until,), (since, until),
    ]  # fmt: skip


def _store(store: Any) -> Any:
    for number in range(40):
        tape = Tape(str(number), at=FIRST + number * HOUR)
        tape.begin(agent_type=("a", "b")[number % 2])
        tape.reply(tape.call(), ("completed", "failed")[number % 2])
        store.append(batch(tape.events))
    return store


@pytest.mark.parametrize("refreshed", [False, True])
def test_what_roll_ups_know(store: Store, refreshed: bool) -> None:
    """Counts by agent, model, provider and status are the same from roll-ups and from rows, for any period."""
    _store(store)
    if refreshed:
        store.refresh(NOW)
    odd, middle = Where("agent_type", "eq", "b"), Period(FIRST + 3 * HOUR + 1, FIRST + 30 * HOUR)
    assert count(store, NOW, STEPS, Period(), ()) == 40
    assert count(store, NOW, STEPS, middle, (odd,)) == 13
    assert count(store, NOW, STEPS, middle, (odd, Where("status", "eq", "completed"))) == 0
    assert count(store, NOW, CALLS, Period(), (Where("status", "eq", "failed"),)) == 20
    assert count(store, NOW, CALLS, middle, (Where("model", "eq", "gpt-4o"),)) == 27
    assert count(store, NOW, STEPS, middle, (Where("name", "eq", "desk"),)) == 26


def test_rows_are_counted_where_no_roll_up_is() -> None:
    """Closed hours are counted by their roll-ups; the open hour, edges, and other conditions by rows."""
    store = _store(MemoryStore())
    store.refresh(NOW)
    for where, rows in (((), 2), ((Where("status", "eq", "failed"),), 2), ((Where("report_id", "eq", "r"),), 1)):
        watched = Watched(store)
        count(watched, NOW, STEPS, Period(FIRST + 1), where)
        spans = [
            (bounds.get("ge"), bounds.get("lt"))
            for query in watched.of("steps")
            for bounds in [{each.op: each.value for each in query.where if each.column == "started_at"}]
        ]
        assert len(spans) == rows
        if rows == 2:
            assert spans == [(FIRST + 1, FIRST + HOUR), (NOW, None)]


_minutes = st.integers(0, 60 * 60)
_logs = st.lists(st.tuples(runs(max_size=12), _minutes), max_size=4, unique_by=lambda log: log[0][0].run)
_bounds = st.none() | _minutes
_wheres = st.sampled_from((
    (STEPS, ()), (STEPS, (Where("status", "eq", "started"),)), (STEPS, (Where("status", "eq", "completed"),)),
    (STEPS, (Where("agent_type", "eq", ""),)), (CALLS, ()), (CALLS, (Where("provider", "eq", "openai"),)),
    (CALLS, (Where("model", "eq", "gpt-4o"), Where("status", "eq", "failed"))),
))  # fmt: skip


@given(_logs, _bounds, _bounds, st.booleans(), _wheres)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_count_is_that_of_the_rows(
    logs: list[Any], since: int | None, until: int | None, refreshed: bool, asked: tuple[Counted, tuple[Where, ...]]
) -> None:
    """Whatever was recorded, the count is the number of rows that the list would give."""
    store = MemoryStore()
    for events, minutes in logs:
        store.append(batch(moved(events, minutes * HOUR // 60)))
        if refreshed:
            store.refresh(NOW)
    period = Period(*(None if bound is None else FIRST + bound * HOUR // 60 for bound in (since, until)))
    counted, where = asked
    rows = store.find(Query(counted.table, (*counted.always, *within(period), *where), limit=None)).rows
    assert count(store, NOW, counted, period, where) == len(rows)
