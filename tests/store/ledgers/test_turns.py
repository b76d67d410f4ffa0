from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tachograph.errors import StoreUnavailable
from tachograph.events.account import Claim
from tachograph.store.ledgers.memory import MemoryLedger
from tachograph.store.ledgers.sqlite import SqliteLedger
from tachograph.store.ledgers.turns import Turns
from tests.contracts.accounts import NOW, account
from tests.contracts.ledger import take


def _away() -> None:
    raise StoreUnavailable("here", "away")


def test_work_is_done_and_its_answer_given() -> None:
    """A turn gives what the work gives, and is over also when the work fails."""
    turns = Turns("here", 0.05)
    with pytest.raises(StoreUnavailable, match="away"):
        turns.take(_away)
    assert turns.take(lambda: 7) == 7


def test_what_is_owed_comes_first() -> None:
    """Work that was not possible is done with the next turn, once and in its order; until then nothing else is."""
    turns, done = Turns("here", 0.05), list[str]()
    possible = False

    def work(name: str) -> Callable[[], None]:
        return lambda: done.append(name) if possible else _away()

    turns.owe(work("one"))
    turns.owe(work("two"))
    with pytest.raises(StoreUnavailable, match="away"):
        turns.take(lambda: done.append("three"))
    assert done == []
    possible = True
    turns.take(lambda: done.append("four"))
    turns.take(lambda: None)
    assert done == ["one", "two", "four"]


def test_a_turn_inside_a_turn_is_noticed() -> None:
    """Asking from inside is refused instead of waiting for oneself; what is owed then is done right after."""
    turns, done = Turns("here", 5), list[str]()

    def outer() -> None:
        with pytest.raises(StoreUnavailable, match="from inside"):
            turns.take(lambda: done.append("inner"))
        turns.owe(lambda: done.append("owed"))
        done.append("outer")

    turns.take(outer)
    assert done == ["outer", "owed"]


def test_other_threads_wait_for_a_bounded_time() -> None:
    """Who does not get a turn in time is told."""
    turns, began, over = Turns("here", 0.05), threading.Event(), threading.Event()

    def long() -> None:
        began.set()
        over.wait(20)

    thread = threading.Thread(target=turns.take, args=(long,))
    thread.start()
    assert began.wait(20)
    with pytest.raises(StoreUnavailable, match=r"other threads kept it for 0\.05 s"):
        turns.take(lambda: None)
    over.set()
    thread.join()
    assert turns.take(lambda: "mine") == "mine"


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_finaliser_may_settle_in_the_middle_of_a_request(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the garbage collector closes while the same thread is inside the ledger is settled right after."""
    ledger = MemoryLedger() if kind == "memory" else SqliteLedger(tmp_path / "a.ledger", "me", lambda _: True)
    grant = take(ledger, Claim(account(), 5, 9))
    where = f"tachograph.store.ledgers.{'memory' if kind == 'memory' else 'sqlite'}.first_that_does_not_fit"

    class Step:
        def __del__(self) -> None:
            ledger.settle(grant, (1,), NOW)

    steps = [Step()]

    def collect(*_: object) -> None:
        steps.clear()
        gc.collect()

    monkeypatch.setattr(where, collect)
    take(ledger, Claim(account(), 2, 9))
    assert ledger.used(account(), None, NOW) == 3
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is for POSIX")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_waits_and_lets_rest() -> None:
    """A turn that is taken ends before the fork; the parent goes on, the child begins without what the parent owes."""
    rested: list[int] = []
    turns = Turns("here", 5, lambda: rested.append(os.getpid()))
    turns.owe(_away)
    began = threading.Event()

    def short() -> None:
        began.set()
        threading.Event().wait(0.1)

    thread = threading.Thread(target=lambda: turns.owe(short))
    turns._later.clear()
    thread.start()
    began.wait(20)
    pid = os.fork()
    if not pid:
        os._exit(0 if turns.take(lambda: 5) == 5 and not turns._later else 1)
    assert (os.waitpid(pid, 0)[1], rested, turns.take(lambda: 6)) == (0, [os.getpid()], 6)
    thread.join()
