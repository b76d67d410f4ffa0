from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tachograph.events.call import CallRepriced
from tachograph.events.envelope import Event
from tachograph.events.note import Score
from tachograph.events.usage import Cost, Usage
from tachograph.fold.cost import PriceBook, price, price_book
from tachograph.record.after.reprice import Repriced, reprice
from tachograph.record.clock import Clock
from tachograph.store.open import open_store
from tachograph.store.ports import Appended, Batch, Store
from tachograph.store.query import Query
from tests.strategies import BEGAN, Tape

USED = Usage(input_uncached=1000, cache_read=100, output=500, reasoning=20, basis="provider", extra={"input_audio": 10})
OLD = price_book(per_million={"acme": {"input": 1, "cache_read": 0, "output": 2}}, bundled=False)
NEW = price_book(per_million={"acme": {"input": 3, "cache_read": 1, "output": 4, "input_audio": 8}}, bundled=False)
NOW = BEGAN + 10**15
CLOCK = Clock(lambda: NOW, lambda: 77, bytes)
PERIOD: dict[str, Any] = {"since_ns": BEGAN, "until_ns": BEGAN + 10**12, "clock": CLOCK}


@pytest.fixture(params=["memory:", "sqlite:{}/t.db"], ids=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each embedded kind."""
    opened = open_store(request.param.format(tmp_path))
    yield opened
    opened.close()


def taped(source: str, *models: str, book: PriceBook = OLD, status: str | None = "completed", **facts: Any) -> Tape:
    """A run with one ended call to each model, priced by a book."""
    tape = Tape(source)
    tape.begin(**facts)
    for model in models:
        call = tape.call("acme", "asked-for", tier="auto")
        cost = price(book, "acme", model, USED, tape.at)
        tape.reply(call, usage=USED, cost=cost, served_model=model, served_tier="default")
    if status:
        tape.finish(status)
    return tape


def kept(store: Store, *tapes: Tape) -> None:
    """Store some runs."""
    store.append(Batch([event for tape in tapes for event in tape.events]))


def costs(store: Store) -> list[tuple[str, int, int | None]]:
    """Run, step and cost of every call."""
    rows = store.find(Query("calls", columns=("run_id", "step", "cost_nano"), order=("run", "step"), limit=None)).rows
    return [(row["run_id"], row["step"], row["cost_nano"]) for row in rows]


def test_each_changed_call_gets_an_event_and_the_last_one_counts(store: Store) -> None:
    """New prices append one event a call; log, call, run and the answer then agree on the new cost."""
    tape = taped("one", "acme", "acme")
    kept(store, tape)
    before, after = 2_000_000, 990 * 3000 + 100_000 + 500 * 4000 + 10 * 8000
    done = reprice(store, NEW, **PERIOD)
    assert done == Repriced(calls=2, changed=2, before=2 * before, after=2 * after)
    assert done.difference == 2 * (after - before)
    cost = Cost("priced", after - 2_000_000, 2_000_000, after, 100_000, None, "override:acme", "2025-06-15")
    assert list(store.read(tape.run, after=len(tape.events) - 1)) == [
        Event(tape.run, 6, NOW, 77, 1, CallRepriced(call=1, cost=cost)),
        Event(tape.run, 7, NOW, 77, 3, CallRepriced(call=3, cost=cost)),
    ]
    assert costs(store) == [(tape.run, 1, after), (tape.run, 3, after)]
    assert store.find(Query("runs", columns=("cost_nano", "unpriced"))).rows == [
        {"cost_nano": 2 * after, "unpriced": 0}
    ]


def test_the_same_prices_change_nothing(store: Store) -> None:
    """Pricing again with the prices that are stored appends no event, as often as it is done."""
    kept(store, taped("one", "acme", "unheard-of"))
    assert reprice(store, OLD, **PERIOD) == Repriced(calls=2)
    assert reprice(store, NEW, **PERIOD).changed == 1
    assert reprice(store, NEW, **PERIOD) == Repriced(calls=2)


def test_a_model_that_has_a_price_at_last(store: Store) -> None:
    """A call that was unpriced gets its cost, and the run has one unknown less."""
    tape = taped("one", "new-model")
    kept(store, tape)
    book = price_book(per_million={"new-model": {"input": 1, "output": 1}}, bundled=False)
    assert reprice(store, book, **PERIOD) == Repriced(calls=1, changed=1, newly_priced=1, after=1_600_000)
    assert store.find(Query("runs", columns=("cost_nano", "unpriced"))).rows == [
        {"cost_nano": 1_600_000, "unpriced": 0}
    ]
    assert store.find(Query("calls", columns=("cost_state", "unpriced_reason"))).rows == [
        {"cost_state": "estimated", "unpriced_reason": "cache_read_as_input"}
    ]


def test_what_a_program_priced_itself_stays(store: Store) -> None:
    """Whatever the book says, and even when costs without a price are to be forgotten."""
    tape = Tape("one")
    tape.begin()
    stated = Cost("priced", total=7, price_id="program:acme")
    tape.reply(tape.call("acme", "acme"), usage=USED, cost=stated)
    tape.finish()
    kept(store, tape)
    assert reprice(store, NEW, **PERIOD) == Repriced(calls=1, kept=1)
    assert reprice(store, price_book(bundled=False), **PERIOD, clear=True) == Repriced(calls=1, kept=1)
    assert costs(store) == [(tape.run, 1, 7)]


def test_a_known_cost_is_forgotten_only_when_asked(store: Store) -> None:
    """A book without the model leaves what is known, and says so; `clear` makes it unpriced."""
    tape = taped("one", "acme")
    kept(store, tape)
    empty = price_book(bundled=False)
    assert reprice(store, empty, **PERIOD) == Repriced(calls=1, kept=1)
    assert costs(store) == [(tape.run, 1, 2_000_000)]
    assert reprice(store, empty, **PERIOD, clear=True) == Repriced(
        calls=1, changed=1, newly_unpriced=1, before=2_000_000
    )
    assert costs(store) == [(tape.run, 1, None)]


def test_only_the_period_is_priced_again(store: Store) -> None:
    """Calls that started before the first or at the last nanosecond of the period are not looked at."""
    tape = taped("one", "acme", "acme", "acme")
    kept(store, tape)
    second = next(event.at for event in tape.events if event.seq == 3)
    assert reprice(store, NEW, since_ns=second, until_ns=second + 1, clock=CLOCK).changed == 1
    assert [cost for *_, cost in costs(store)] == [2_000_000, 5_150_000, 2_000_000]
    assert reprice(store, NEW, since_ns=BEGAN, until_ns=second, clock=CLOCK).changed == 1
    assert reprice(store, NEW, since_ns=second, until_ns=BEGAN + 10**12, clock=CLOCK).changed == 1


def test_what_its_process_may_still_write_to_is_left_alone(store: Store) -> None:
    """Open runs, and ended ones whose journal is still there, are named and untouched; imported runs are not held."""
    open_run = taped("open", "acme", status=None, owner="j1")
    paused = taped("paused", "acme", status="paused", owner="j2")
    fresh = taped("fresh", "acme", owner="j3")
    past = taped("past", "acme", owner="j4")
    imported = taped("imported", "acme", status=None)
    kept(store, open_run, paused, fresh, past, imported)
    done = reprice(store, NEW, **PERIOD, journals={"j3"})
    assert (done.calls, done.changed) == (2, 2)
    assert done.held == tuple(sorted((open_run.run, paused.run, fresh.run)))
    assert {run for run, _, cost in costs(store) if cost != 2_000_000} == {past.run, imported.run}


def test_a_dry_run_says_the_same_and_stores_nothing(store: Store) -> None:
    """`dry` gives the answer that the real one gives, and leaves the log as it is."""
    tape = taped("one", "acme", "acme")
    kept(store, tape)
    dry = reprice(store, NEW, **PERIOD, dry=True)
    assert store.next_seq(tape.run) == len(tape.events)
    assert dry == reprice(store, NEW, **PERIOD)


def test_more_calls_than_a_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A period is walked page by page; runs that stand on several pages get each event once, in order."""
    monkeypatch.setattr("tachograph.record.after.reprice._PAGE", 3)
    tapes = [taped(f"run {number}", *["acme"] * 4) for number in range(5)]
    kept(store, *tapes)
    assert reprice(store, NEW, **PERIOD) == Repriced(calls=20, changed=20, before=40_000_000, after=20 * 5_150_000)
    for tape in tapes:
        added = list(store.read(tape.run, after=len(tape.events) - 1))
        assert sorted(event.step for event in added) == [1, 3, 5, 7]
        assert [event.seq for event in added] == [10, 11, 12, 13]


def test_a_call_without_usage_stays_unpriced(store: Store) -> None:
    """A failed call that counted no tokens has no cost under any prices, and gets no event."""
    tape = Tape("failed")
    tape.begin()
    tape.reply(tape.call("acme", "acme"), "failed", cost=Cost(reason="usage_missing"))
    tape.call("acme", "acme")
    tape.finish("failed")
    kept(store, tape)
    assert reprice(store, NEW, **PERIOD) == Repriced(calls=1)


def test_an_event_that_came_between_is_a_conflict(store: Store) -> None:
    """When something else takes the number that was ours, nothing is overwritten and the answer counts the conflict."""
    tape = taped("one", "acme")
    kept(store, tape)
    raced = _Raced(store, Event(tape.run, len(tape.events), NOW, 1, 0, Score(name="good", value=1.0)))
    done = reprice(raced, NEW, **PERIOD)
    assert (done.changed, done.conflicts) == (1, 1)
    assert costs(store) == [(tape.run, 1, 2_000_000)]
    assert msgspec.structs.replace(reprice(store, NEW, **PERIOD), held=()) == Repriced(
        calls=1, changed=1, before=2_000_000, after=5_150_000
    )


class _Raced:
    """A store into which something else is appended just before our batch."""

    def __init__(self, store: Store, event: Event) -> None:
        self._store, self._event = store, event

    def append(self, batch: Batch) -> Appended:
        """The other's event first."""
        self._store.append(Batch([self._event]))
        return self._store.append(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
