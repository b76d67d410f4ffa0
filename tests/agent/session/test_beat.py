from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tachograph.agent.session import beat
from tachograph.agent.session.beat import Heartbeat
from tachograph.errors import StoreUnavailable
from tachograph.store.heads import open_heads
from tachograph.store.sessions.head import Fate, Held, Taken
from tachograph.store.sessions.heads import Heads
from tests.contracts.heads import KEY

LASTS = 300_000_000


class Holding:
    """A turn that somebody has in hand."""

    def __init__(self, heads: Heads) -> None:
        found = heads.acquire(KEY, time.time_ns(), LASTS)
        assert isinstance(found, Taken)
        self.key, self.epoch, self.lasts = KEY, found.head.epoch, LASTS
        self.living = True
        self.heard = threading.Event()
        self.fates: list[Fate] = []

    def told(self, fate: Fate) -> None:
        """Remember it."""
        self.fates.append(fate)
        self.heard.set()

    def lives(self) -> bool:
        """As the test says."""
        return self.living


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heart that beats fast."""
    monkeypatch.setattr(beat, "LOOK_SECONDS", 0.01)


@pytest.fixture
def heads(tmp_path: Path) -> Iterator[Heads]:
    """Heads of a store in a file."""
    opened = open_heads(f"sqlite:{tmp_path}/a.db", tmp_path, "me", "me", lambda _: True)
    yield opened
    opened.close()


def until(wanted: Callable[[], object]) -> None:
    """Wait for it, for ten seconds at most."""
    for _ in range(1_000):
        if wanted():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_a_lease_is_held_until_it_is_dropped(heads: Heads) -> None:
    """For longer than it would last; then it ends by its time, and the thread with it."""
    beating, holder = Heartbeat(heads, time.time_ns), Holding(heads)
    beating.hold(holder)
    until(lambda: (heads.get(KEY) or pytest.fail("gone")).lease.until > time.time_ns() + LASTS // 2)
    time.sleep(LASTS / 1e9)
    head = heads.get(KEY)
    assert head is not None
    assert heads.holds(head, time.time_ns()) is not None
    beating.drop(holder)
    until(lambda: beating._thread is None)
    assert (holder.fates, isinstance(heads.acquire(KEY, time.time_ns() + LASTS, LASTS), Taken)) == ([], True)


def test_a_turn_hears_that_it_was_superseded_or_lost(heads: Heads) -> None:
    """By another process, as the heartbeat sees it; and in this process at once."""
    beating, holder = Heartbeat(heads, time.time_ns), Holding(heads)
    beating.hold(holder)
    assert isinstance(heads.acquire(KEY, time.time_ns(), LASTS, supersede=True), Held)
    assert holder.heard.wait(10)
    assert set(holder.fates) == {"superseded"}
    heads.release(KEY, holder.epoch)
    until(lambda: holder.fates[-1] == "lost")
    beating.drop(holder)
    until(lambda: beating._thread is None)
    holder.fates.clear()
    beating._held = {KEY: beat._Held(weakref.ref(holder), holder.epoch, LASTS)}
    beating.supersede(KEY, holder.epoch + 1)
    beating.supersede(("t", "other"), holder.epoch)
    assert holder.fates == []
    beating.supersede(KEY, holder.epoch)
    assert holder.fates == ["superseded"]


@pytest.mark.parametrize("how", ["forgotten", "its loop is gone"])
def test_a_turn_that_nobody_can_end_gives_its_lease_back(heads: Heads, how: str) -> None:
    """Nobody has it in hand any more, or its event loop was closed: the next one need not wait."""
    beating, holder = Heartbeat(heads, time.time_ns), Holding(heads)
    beating.hold(holder)
    if how == "forgotten":
        del holder
        gc.collect()
    else:
        holder.living = False
    until(lambda: heads.get(KEY) is not None and (heads.get(KEY) or pytest.fail("gone")).lease is None)


def test_a_file_that_is_away_for_a_while_is_no_end(heads: Heads, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """It is tried again, whatever went wrong, and said."""
    beating, holder = Heartbeat(heads, time.time_ns), Holding(heads)
    problems = [StoreUnavailable("sqlite:a", "locked"), RuntimeError("a fault")]
    renew = heads.renew

    def sometimes(*given: Any) -> Any:
        if problems:
            raise problems.pop()
        return renew(*given)

    monkeypatch.setattr(heads, "renew", sometimes)
    beating.hold(holder)
    until(lambda: not problems)
    until(lambda: (heads.get(KEY) or pytest.fail("gone")).lease.until > time.time_ns() + LASTS // 2)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    beating.drop(holder)
