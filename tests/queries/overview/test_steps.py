from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.queries.overview.steps import Step, StepsAsked, steps
from tachograph.queries.units import time
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tachograph.store.query import Query
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.queries.logs.desk import Watched, moved
from tests.strategies import BEGAN, Tape, runs

FIRST = BEGAN - BEGAN % (24 * HOUR)
NOW = FIRST + 100 * HOUR
SECOND = 1_000_000_000


def _everything(store: Any, **asked: Any) -> list[Step]:
    """All pages of a list; each says the same total."""
    found: list[Step] = []
    cursor = None
    while True:
        page = steps(store, StepsAsked(cursor=cursor, **asked), NOW)
        found += page.steps
        cursor = page.next_cursor
        if cursor is None:
            assert page.total == len(found)
            return found
        assert len(page.steps) == asked["limit"]


def test_a_call_and_a_tool_in_full(store: Store) -> None:
    """A model call has its model, tokens and cost; a step has its name; both have their error."""
    tape = Tape("one", at=FIRST, tick=SECOND)
    tape.begin(agent_type="desk")
    call = tape.call(agent_type="desk")
    usage, cost = Usage(100, 20, 3, 50, 10, basis="provider"), Cost("priced", 4_000, 2_000, 6_000)
    tape.reply(call, usage=usage, cost=cost, first_token_ns=5)
    tool = tape.tool("pay", agent_type="desk")
    tape.result(tool, state="failed", error=Failure("Refused", "no money"))
    store.append(batch(tape.events))
    [told] = steps(store, StepsAsked(kind="llm"), NOW).steps
    common: dict[str, Any] = {"run_id": tape.run, "run_name": "desk", "agent": "desk", "duration_ns": SECOND}
    assert told == Step(
        id=f"{tape.run[:28]}{call:08x}", kind="llm", name="gpt-4o", provider="openai", status="completed", error="",
        message="", started_at=FIRST + SECOND, first_token_ns=5, input_tokens=123, output_tokens=50, cost=6_000,
        **common,
    )  # fmt: skip
    [failed] = steps(store, StepsAsked(kind="tool"), NOW).steps
    assert failed == Step(
        id=f"{tape.run[:28]}{tool:08x}", kind="tool", name="pay", provider="", status="failed", error="Refused",
        message="no money", started_at=FIRST + 3 * SECOND, first_token_ns=None, input_tokens=None, output_tokens=None,
        cost=None, **common,
    )  # fmt: skip


def test_unknown_is_not_zero(store: Store) -> None:
    """A call without usage and price has no tokens and no cost."""
    tape = Tape("one", at=FIRST)
    tape.begin()
    tape.reply(tape.call(), usage=Usage(), cost=Cost(reason="no_price"))
    store.append(batch(tape.events))
    [told] = steps(store, StepsAsked(provider="openai"), NOW).steps
    assert (told.input_tokens, told.output_tokens, told.cost) == (None, None, None)


@pytest.mark.parametrize("refreshed", [False, True])
def test_an_error_without_a_type(store: Store, refreshed: bool) -> None:
    """An error that has no type is found by its category."""
    tape = Tape("one", at=FIRST)
    tape.begin()
    tape.done(tape.step(), "failed", error=Failure("", category="bug"))
    tape.done(tape.step(), "failed", error=Failure("Broken", category="bug"))
    store.append(batch(tape.events))
    if refreshed:
        store.refresh(NOW)
    assert [step.error for step in _everything(store, kind="custom", error="bug", limit=1)] == ["bug"]
    assert [step.error for step in _everything(store, kind="custom", error="Broken", limit=1)] == ["Broken"]


def test_only_hours_are_opened_that_have_some() -> None:
    """Of ninety hours with a run each, the three are read whose agent is asked for."""
    store = MemoryStore()
    for hour in range(90):
        tape = Tape(str(hour), at=FIRST + hour * HOUR)
        tape.begin(agent_type="rare" if hour in {3, 50, 51} else "common")
        store.append(batch(tape.events))
    store.refresh(NOW)
    watched = Watched(store)
    found = steps(watched, StepsAsked(agent_type="rare", start_date=time(FIRST).isoformat()), NOW)
    assert [(step.started_at - FIRST) // HOUR for step in found.steps] == [51, 50, 3]
    spans = {
        tuple(where.value // HOUR - FIRST // HOUR for where in query.where if where.column == "started_at")
        for query in watched.of("steps")
        if query.order
    }
    assert spans - {(-FIRST // HOUR, -FIRST // HOUR)} == {(100,), (51, 52), (50, 51), (3, 4)}


_minutes = st.integers(0, 60 * 99)
_logs = st.lists(st.tuples(runs(max_size=15), _minutes), max_size=4, unique_by=lambda log: log[0][0].run)
_KEYS = {"provider": "provider", "model": "model_id", "agent_type": "agent_type", "status": "status"}


@given(_logs, st.data(), st.integers(1, 4), st.booleans())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_list_is_what_the_figure_counts(logs: list[Any], data: st.DataObject, limit: int, refreshed: bool) -> None:
    """Whatever was recorded and is asked for, all pages together are the steps that meet the conditions, in order."""
    store = MemoryStore()
    for events, minutes in logs:
        store.append(batch(moved(events, minutes * HOUR // 60)))
    if refreshed:
        store.refresh(NOW)
    calls = data.draw(st.booleans())
    table, keys = ("calls", tuple(_KEYS)) if calls else ("steps", ("agent_type", "status", "kind"))
    columns = ("run_id", "run", "step", "started_at", "error_type", *keys)
    rows = [row for row in store.find(Query(table, (), columns, limit=None)).rows if row.get("kind") != "llm"]
    like: Mapping[str, Any] = data.draw(st.sampled_from(rows)) if rows else {}
    chosen = data.draw(st.sets(st.sampled_from((*keys, "error_type"))))
    wanted = {name: like[name] for name in chosen if like.get(name)}
    expected = sorted(
        (row for row in rows if all(row[name] == value for name, value in wanted.items())),
        key=lambda row: (row["started_at"], row["run"], row["step"]),
        reverse=True,
    )
    names = {**_KEYS, "kind": "kind", "error_type": "error"}
    asked = {names[name]: value for name, value in wanted.items()}
    found = _everything(store, limit=limit, **({"kind": "llm"} if calls else {}), **asked)
    assert [(step.run_id, step.started_at) for step in found] == [
        (row["run_id"], row["started_at"]) for row in expected
    ]
