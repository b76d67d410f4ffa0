from __future__ import annotations

from tachograph.queries.runs import Filter
from tachograph.queries.tail import WINDOW, News, tail
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000


def _begun(store: Store, name: str, after: int = 0) -> Tape:
    tape = Tape(name, at=BEGAN + after * SECOND)
    tape.begin(name)
    store.append(batch(tape.events))
    return tape


def test_only_what_is_new(store: Store) -> None:
    """The first look shows nothing; later ones show what came since, of old runs and new ones, in order of time."""
    old = _begun(store, "old")
    first = tail(store)
    assert first == News((), {}, {old.run: 1})
    old.wait(3 * SECOND)
    old.tool()
    old.finish()
    store.append(batch(old.events[1:]))
    new = _begun(store, "new", 1)
    second = tail(store, first.seen)
    assert second.events == (new.events[0], *old.events[1:])
    assert {run: row.events for run, row in second.runs.items()} == {old.run: 3, new.run: 1}
    assert second.seen == {old.run: 3, new.run: 1}
    assert tail(store, second.seen) == News((), {}, second.seen)


def test_a_clock_that_steps_back(store: Store) -> None:
    """Events of a run stay in their order when its clock steps back."""
    first = tail(store).seen
    tape = _begun(store, "back", 5)
    tape.wait(-3 * SECOND)
    tape.step()
    store.append(batch(tape.events[1:]))
    other = _begun(store, "other", 4)
    assert tail(store, first).events == (other.events[0], *tape.events)


def test_only_some_runs(store: Store) -> None:
    """With a filter only the runs that meet it are followed."""
    first = tail(store, where=Filter(text="wanted")).seen
    _begun(store, "other")
    wanted = _begun(store, "wanted", 1)
    assert tail(store, first, Filter(text="wanted")).events == tuple(wanted.events)


def test_old_runs_are_followed_while_they_are_open() -> None:
    """Runs outside the window of the newest ones are followed until they end, then forgotten."""
    store = MemoryStore()
    old = _begun(store, "old")
    seen = tail(store).seen
    for number in range(WINDOW):
        _begun(store, f"run {number}", 1 + number)
    seen = tail(store, seen).seen
    assert len(seen) == WINDOW + 1
    old.finish()
    store.append(batch(old.events[1:]))
    last = tail(store, seen)
    assert last.events == (old.events[1],)
    assert old.run not in last.seen
