from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.queries.logs.slowest import slowest
from tachograph.queries.period import Period, plan
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, Watched, as_json, moved, planner
from tests.strategies import BEGAN, Tape, runs

FIRST = BEGAN - BEGAN % (24 * HOUR)
NOW = FIRST + 100 * HOUR
SECOND = 1_000_000_000


def _slowest(store: Any, period: Period, most: int, agent: str | None = None) -> list[float]:
    rolled = () if agent is None else (Where("agent", "eq", agent),)
    steps = () if agent is None else (Where("agent_type", "eq", agent),)
    facet = "model" if agent is None else "agent"
    return [step.duration_ms for step in slowest(store, plan(store, period, NOW), facet, rolled, steps, most)]


def test_a_slow_step(store: Store) -> None:
    """A slow step says which it is, whose, when and how long; model calls are none, nor is what is still open."""
    store.append(batch(planner().events))
    tape = Tape("open")
    tape.begin()
    store.append(batch(tape.events))
    found = as_json(slowest(store, plan(store, Period(), NOW), "model", (), (), 10))
    assert found == [
        {
            "id": RUN, "execution_id": EXECUTION, "run_id": RUN, "kind": "run", "name": "plan", "agent_type": "planner",
            "status": "completed", "start_time": "2025-06-15T15:06:40Z", "duration_ms": 7_000.0,
        },
        {
            "id": f"{RUN[:28]}00000005", "execution_id": EXECUTION, "run_id": RUN, "kind": "tool",
            "name": "create_widget", "agent_type": "planner", "status": "failed",
            "start_time": "2025-06-15T15:06:45Z", "duration_ms": 1_000.0,
        },
    ]  # fmt: skip


def test_few_hours_are_opened() -> None:
    """Of ninety hours with ten runs each, only those are read that can hold one of the three longest."""
    store = MemoryStore()
    for hour in range(90):
        events = []
        for number in range(10):
            tape = Tape(f"{hour} {number}", at=FIRST + hour * HOUR + number)
            tape.begin()
            tape.wait((hour * 37 % 90 + number) * SECOND).finish()
            events += tape.events
        store.append(batch(events))
    store.refresh(NOW)
    watched = Watched(store)
    assert _slowest(watched, Period(FIRST), 3) == [98_001.0, 97_001.0, 97_001.0]
    spans = [
        tuple(where.value // HOUR - FIRST // HOUR for where in query.where if where.column == "started_at")
        for query in watched.of("steps")
        if query.order
    ]
    longest = sorted(range(90), key=lambda hour: -(hour * 37 % 90))
    assert spans == [(100,), *((hour, hour + 1) for hour in longest[:2])]


def test_of_one_agent(store: Store) -> None:
    """Limited to an agent, the longest are its own."""
    for number in range(6):
        tape = Tape(str(number), at=FIRST + number * HOUR)
        tape.begin(agent_type=("a", "b")[number % 2])
        tape.wait(number * SECOND).finish()
        store.append(batch(tape.events))
    for _ in range(2):
        assert _slowest(store, Period(), 2, "a") == [4_001.0, 2_001.0]
        store.refresh(NOW)


_minutes = st.integers(0, 60 * 110)
_logs = st.lists(st.tuples(runs(max_size=15), _minutes), max_size=5, unique_by=lambda log: log[0][0].run)
_bounds = st.none() | _minutes


@given(_logs, _bounds, _bounds, st.integers(1, 6), st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_longest_of_all(logs: list[Any], since: int | None, until: int | None, most: int, refreshed: bool) -> None:
    """They are the longest there are, whatever was recorded and wherever it is read."""
    store = MemoryStore()
    for events, minutes in logs:
        store.append(batch(moved(events, minutes * HOUR // 60)))
        if refreshed:
            store.refresh(NOW)
    period = Period(*(None if bound is None else FIRST + bound * HOUR // 60 for bound in (since, until)))
    rows = store.find(Query("steps", columns=("kind", "started_at", "duration_ns"), limit=None)).rows
    durations = [
        round(row["duration_ns"] / 1e6, 3)
        for row in rows
        if row["kind"] != "llm" and row["duration_ns"] is not None
        if period.since is None or row["started_at"] >= period.since
        if period.until is None or row["started_at"] < period.until
    ]
    assert _slowest(store, period, most) == sorted(durations, reverse=True)[:most]
