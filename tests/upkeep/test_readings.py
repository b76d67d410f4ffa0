from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tachograph.events.call import CallMetered, CallRepriced
from tachograph.events.limit import LimitHit
from tachograph.events.run import Failure
from tachograph.events.usage import Cost
from tachograph.record.after.audit import audit
from tachograph.store.ports import Batch, Store
from tachograph.upkeep.readings import GRACE, Readings
from tachograph.upkeep.sample import Sample
from tests.queries.kept import batch
from tests.strategies import Tape
from tests.upkeep.kept import BEGAN, DOLLAR, HOUR, SECOND, USED, desk, put

ALL: Any = frozenset({"calls", "tools", "runs", "limits"})
MILLISECOND = 1_000_000


def told(samples: Iterator[Sample]) -> list[Sample]:
    """Samples by kind and time."""
    return sorted(samples, key=lambda each: (each.kind, each.at, each.count))


def busy(name: str = "busy", at: int = BEGAN, **facts: Any) -> Tape:
    """A run with an ended call of each sort, a tool that failed, a limit that intervened and one that only warned."""
    tape = Tape(name, at=at)
    tape.begin(name, tags=("a", "b"), tenant="acme", agent_type="editor", **facts)
    tape.reply(tape.call(), usage=USED, cost=Cost("priced", total=DOLLAR))
    tape.reply(tape.call("x", "own"), "failed", error=Failure("Timeout"))
    tape.reply(tape.call(), "cancelled", cost=Cost(reason="no_price"))
    tape.result(tape.tool(), state="failed")
    tape.add(LimitHit(metric="tool_calls", mode="stop"))
    tape.add(LimitHit(metric="tool_calls", mode="warn"))
    tape.finish("failed")
    return tape


def expected(at: int = BEGAN) -> list[Sample]:
    """What `busy` comes to."""
    whose: dict[str, Any] = {"tenant": "acme", "tags": ("a", "b"), "agent": "editor"}

    def after(milliseconds: int) -> int:
        return at + milliseconds * MILLISECOND

    return [
        Sample(kind="calls", at=after(2), cost=DOLLAR, duration_ns=MILLISECOND, model="gpt-4o", **whose),
        Sample(kind="calls", at=after(4), failed=1, duration_ns=MILLISECOND, model="own", **whose),
        Sample(kind="calls", at=after(6), duration_ns=MILLISECOND, model="gpt-4o", **whose),
        Sample(kind="limits", at=after(9), **whose),
        Sample(kind="runs", at=after(11), failed=1, duration_ns=11 * MILLISECOND, **whose),
        Sample(kind="tools", at=after(8), failed=1, duration_ns=MILLISECOND, **whose),
    ]


def test_what_is_loaded_and_what_comes_in_are_the_same(store: Store) -> None:
    """A run that ended before the watch began gives the samples that it gives when it ends under its eyes."""
    put(store, busy())
    readings = Readings(store, ALL)
    assert told(readings.load(BEGAN)) == expected()
    assert list(readings.fresh()) == []
    put(store, busy("second", BEGAN + SECOND))
    assert told(readings.fresh()) == expected(BEGAN + SECOND)
    assert list(readings.fresh()) == []


def test_only_what_is_asked_for_is_read(store: Store) -> None:
    """Kinds nobody watches give no samples, loaded or new."""
    put(store, busy())
    readings = Readings(store, frozenset({"limits"}))
    assert [each.kind for each in readings.load(BEGAN)] == ["limits"]
    put(store, busy("second", BEGAN + SECOND))
    assert [each.kind for each in readings.fresh()] == ["limits"]


def test_a_run_counts_piece_by_piece(store: Store) -> None:
    """Events come in as they happen: each end once, in the batch that brings it, also when its start came long ago."""
    tape = busy()
    readings = Readings(store, ALL)
    assert list(readings.load(BEGAN)) == []
    samples: list[Sample] = []
    for event in tape.events:
        store.append(Batch([event]))
        samples += readings.fresh()
    assert told(iter(samples)) == expected()


def test_an_old_end_is_not_loaded_and_a_long_run_is(store: Store) -> None:
    """The window asks for when things ended; they may have started up to a day before it."""
    long = Tape("long", at=BEGAN)
    long.begin("long")
    long.wait(GRACE - HOUR)
    long.finish()
    longer = Tape("longer", at=BEGAN - GRACE)
    longer.begin("longer")
    longer.wait(GRACE + 2 * HOUR)
    longer.finish()
    put(store, desk("old", BEGAN), long, longer)
    loaded = list(Readings(store, frozenset({"runs"})).load(BEGAN + HOUR))
    assert [each.duration_ns for each in loaded] == [long.events[-1].at - BEGAN]


@pytest.mark.parametrize("live", [True, False])
def test_a_cost_that_changes_counts_by_the_difference(store: Store, live: bool) -> None:
    """Priced again, or usage that became known late: whatever it was before, at the time of the call."""
    tape = busy()
    readings = Readings(store, frozenset({"calls"}))
    if live:
        list(readings.load(BEGAN))
        put(store, tape)
        before = list(readings.fresh())
    else:
        put(store, tape)
        before = list(readings.load(BEGAN))
    tape.wait(HOUR)
    tape.add(CallRepriced(call=1, cost=Cost("priced", total=3 * DOLLAR)), 1)
    tape.add(CallMetered(call=5, usage=USED, cost=Cost("priced", total=DOLLAR)), 5)
    tape.add(CallRepriced(call=1, cost=Cost("priced", total=2 * DOLLAR)), 1)
    tape.add(CallRepriced(call=5, cost=Cost(reason="no_price")), 5)
    put(store, tape)
    after = list(readings.fresh())
    assert [(each.count, each.failed, each.duration_ns, each.model) for each in after] == [(0, 0, None, "gpt-4o")] * 4
    first, second = 2 * MILLISECOND, 6 * MILLISECOND
    assert [(each.at - BEGAN, each.cost) for each in after] == [
        (first, 2 * DOLLAR), (second, DOLLAR), (first, -DOLLAR), (second, -DOLLAR),
    ]  # fmt: skip
    assert sum(each.cost for each in (*before, *after)) == 2 * DOLLAR


def test_a_call_and_its_new_price_in_one_look(store: Store) -> None:
    """Both are read together after both happened: the call counts what it first cost, the change what it changed."""
    readings = Readings(store, frozenset({"calls"}))
    list(readings.load(BEGAN))
    tape = busy()
    tape.add(CallRepriced(call=1, cost=Cost("priced", total=3 * DOLLAR)), 1)
    put(store, tape)
    assert [each.cost for each in readings.fresh()] == [DOLLAR, 0, 0, 2 * DOLLAR]


def test_what_comes_in_while_it_is_loaded_counts_once(store: Store) -> None:
    """Between the first and the last row that are read a run ends: it is among them, or it is new, never both."""
    for number in range(5):
        put(store, desk(f"{number}", BEGAN + number))
    readings = Readings(store, frozenset({"calls", "runs"}))
    find, late = store.find, [desk("late", BEGAN + 7), desk("later", BEGAN + 8)]

    def busy_find(query: Any) -> Any:
        page = find(query)
        if late and query.table in ("runs", "calls"):
            put(store, late.pop())
        return page

    store.find = busy_find  # type: ignore[method-assign]
    loaded = list(readings.load(BEGAN))
    store.find = find  # type: ignore[method-assign]
    samples = [*loaded, *readings.fresh()]
    assert sorted(each.kind for each in samples) == ["calls"] * 7 + ["runs"] * 7
    put(store, desk("after", BEGAN + 9))
    assert sorted(each.kind for each in readings.fresh()) == ["calls", "runs"]


@pytest.mark.parametrize("loaded", [True, False])
def test_a_run_that_is_imported_again_counts_with_what_is_new(store: Store, loaded: bool) -> None:
    """A session log that grew brings its last run whole once more; its first calls were counted already."""
    short, long = Tape("log"), Tape("log")
    for tape, calls in ((short, 1), (long, 3)):
        tape.begin("log", source="codex:a.jsonl")
        for _ in range(calls):
            tape.reply(tape.call(), cost=Cost("priced", total=1))
    readings = Readings(store, frozenset({"calls"}))
    if loaded:
        put(store, short)
        assert len(list(readings.load(BEGAN))) == 1
    else:
        list(readings.load(BEGAN))
        put(store, short)
        assert len(list(readings.fresh())) == 1
    store.append(batch(long.events, replace=[long.run]))
    assert [each.at for each in readings.fresh()] == [BEGAN + 4 * MILLISECOND, BEGAN + 6 * MILLISECOND]


def test_audit_runs_and_erased_runs_are_nothing(store: Store) -> None:
    """What was done to the records is no work of an agent; a run that is gone before anybody looked leaves nothing."""
    readings = Readings(store, ALL)
    list(readings.load(BEGAN))
    store.append(Batch(audit("alert", LimitHit(metric="cost", mode="stop"), at=BEGAN, entropy=bytes(6))))
    gone = busy("gone")
    put(store, gone)
    store.erase([gone.run], BEGAN)
    assert list(readings.fresh()) == []
    assert list(Readings(store, ALL).load(BEGAN)) == []
    put(store, busy())
    assert len(list(readings.fresh())) == 6


def test_a_reader_that_was_left_behind_knows_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the feed has forgotten what it did not read, there is nothing for it but to load again."""
    readings = Readings(store, ALL)
    list(readings.load(BEGAN))
    assert not readings.behind()
    put(store, *(desk(f"{number}", BEGAN + number) for number in range(5)))
    assert not readings.behind()
    find = store.find

    def forgotten(query: Any) -> Any:
        page = find(query)
        return type(page)([{"min_id": 3}], None, None) if query.table == "feed" else page

    monkeypatch.setattr(store, "find", forgotten)
    assert readings.behind()
    assert len(list(readings.load(BEGAN))) == 15
    assert not readings.behind()


def test_an_end_that_was_none_is_taken_back(store: Store) -> None:
    """A run that failed and was resumed has not failed; a pause is no end. Who looks later sees the same sum."""
    readings = Readings(store, frozenset({"runs"}))
    list(readings.load(BEGAN))
    tape = Tape("again", at=BEGAN)
    tape.begin("again")
    seen: list[Sample] = []
    for status in ("paused", "failed", "paused", "completed"):
        tape.finish(status)
        if status != "completed":
            tape.resume()
        put(store, tape)
        seen += readings.fresh()
    assert [(each.count, each.failed, (each.at - BEGAN) // MILLISECOND) for each in seen] == [
        (1, 1, 3), (-1, -1, 3), (1, 0, 7),
    ]  # fmt: skip
    assert [each.duration_ns for each in seen] == [3 * MILLISECOND, 3 * MILLISECOND, 7 * MILLISECOND]
    loaded = list(Readings(store, frozenset({"runs"})).load(BEGAN))
    assert [(each.count, each.failed) for each in loaded] == [(1, 0)]
    tape.resume()
    tape.finish("failed")
    put(store, tape)
    assert [(each.count, each.failed) for each in readings.fresh()] == [(-1, 0), (1, 1)]


def test_a_paused_run_is_no_end(store: Store) -> None:
    """Neither when it is loaded, nor when it comes in."""
    tape = Tape("waits", at=BEGAN)
    tape.begin("waits")
    tape.finish("paused", stop_reason="approval")
    readings = Readings(store, frozenset({"runs"}))
    list(readings.load(BEGAN))
    put(store, tape)
    assert list(readings.fresh()) == []
    assert list(Readings(store, frozenset({"runs"})).load(BEGAN)) == []
