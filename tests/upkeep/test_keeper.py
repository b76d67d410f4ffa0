from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tachograph.errors import SettingsError, StoreUnavailable
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tachograph.upkeep.alert import Alert, Firing
from tachograph.upkeep.keeper import PRUNE_EVERY, WATCH_EVERY, Health, Keeper, keeper_for
from tachograph.upkeep.policies import Policies
from tachograph.upkeep.rule import Rule
from tachograph.upkeep.watch import Keep
from tests.upkeep.kept import BEGAN, DAY, DOLLAR, HOUR, NOW, audits, clock, desk, names, put

POLICIES = Policies(
    rules=(Rule(name="old", older_than=30 * DAY),),
    alerts=(Alert(name="spend", metric="cost", threshold=1, window=HOUR),),
)


def test_each_part_is_done_when_it_is_due(store: Store, keep: Keep) -> None:
    """It watches at one interval and prunes at another, by the time it is told."""
    keeper = Keeper(store, POLICIES, keep, clock=clock())
    put(store, desk("old", BEGAN))
    first = keeper.step(NOW)
    assert (bool(first), first.firings, first.pruned is not None) == (True, (), True)
    assert names(store) == []
    put(store, desk("older", BEGAN), desk("dear", NOW, cost=2 * DOLLAR))
    assert not keeper.step(NOW + WATCH_EVERY - 1)
    second = keeper.step(NOW + WATCH_EVERY)
    assert ([firing.alert for firing in second.firings], second.pruned) == (["spend"], None)
    third = keeper.step(NOW + PRUNE_EVERY)
    assert third.pruned is not None
    assert third.pruned.sum("runs") == 1
    assert keeper.health == Health(
        prunings=2, runs_erased=2, bytes_returned=keeper.health.bytes_returned, alerts_fired=1,
        late_samples=1, last_watch_at=NOW + PRUNE_EVERY, last_prune_at=NOW + PRUNE_EVERY,
    )  # fmt: skip
    assert keeper.health.bytes_returned > 0
    assert [each["runs"] for each in audits(store, "pruned")] == [1, 1]
    assert keeper.health.counts() == {
        "upkeep_prunings": 2, "upkeep_runs_erased": 2, "upkeep_bytes_returned": keeper.health.bytes_returned,
        "upkeep_alerts_fired": 1, "upkeep_late_samples": 1, "upkeep_callback_failures": 0, "upkeep_failures": 0,
    }  # fmt: skip


def test_a_failure_is_counted_and_tried_again(
    store: Store, keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One part that fails does not hold up the other; the same failure is logged once; afterwards all is well."""
    keeper = Keeper(store, POLICIES, keep, clock=clock())
    put(store, desk("old", BEGAN))

    def away(*_: Any) -> Any:
        raise StoreUnavailable("sqlite:x", "locked")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "tachograph.upkeep"):
        patch.setattr(store, "erase", away)
        for round_ in range(2):
            keeper.step(NOW + round_ * PRUNE_EVERY)
    health = keeper.health
    assert (health.failures, health.prunings, health.last_watch_at, health.last_prune_at) == (
        2,
        0,
        NOW + PRUNE_EVERY,
        0,
    )
    assert health.last_failure == "pruning: store sqlite:x is not available: locked"
    assert caplog.messages == ["pruning failed, it is tried again: store sqlite:x is not available: locked"]
    keeper.step(NOW + 2 * PRUNE_EVERY)
    assert (health.prunings, health.runs_erased, health.last_failure) == (1, 1, "")


def test_callbacks_that_fail_are_counted(store: Store, keep: Keep) -> None:
    """The keeper says how many, and goes on."""

    def broken(firing: Firing) -> None:
        raise ValueError("no")

    keeper = Keeper(store, POLICIES, keep, clock=clock(), on_alert=broken)
    keeper.step(NOW)
    put(store, desk("dear", NOW, cost=2 * DOLLAR))
    assert len(keeper.step(NOW + WATCH_EVERY).firings) == 1
    keeper.close(5)
    keeper.step(NOW + 2 * WATCH_EVERY)
    assert keeper.health.callback_failures == 1


def test_it_works_by_itself(store: Store, keep: Keep) -> None:
    """Started, it watches and prunes in threads; closed, no thread is left."""
    before = threading.active_count()
    heard: list[Firing] = []
    keeper = Keeper(
        store, POLICIES, keep, clock=clock(), watch_every=1_000_000, prune_every=1_000_000, on_alert=heard.append
    )
    put(store, desk("old", BEGAN))
    keeper.start()
    keeper.start()
    put(store, desk("dear", NOW, cost=2 * DOLLAR))
    deadline = time.monotonic() + 20
    while not (heard and names(store) == ["dear"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    keeper.close()
    assert ([firing.alert for firing in heard], names(store)) == (["spend"], ["dear"])
    assert threading.active_count() == before


def test_closing_ends_a_pruning_between_transactions(store: Store, keep: Keep) -> None:
    """A long one stops where it is, and leaves the store whole."""
    put(store, *(desk(f"{number}", BEGAN + number) for number in range(100)))
    keeper = Keeper(store, POLICIES, keep, clock=clock())
    erase = store.erase

    def closing(runs: Any, at: int) -> Any:
        keeper._stopping.set()
        return erase(runs, at)

    store.erase = closing  # type: ignore[method-assign]
    done = keeper.step(NOW).pruned
    assert done is not None
    assert (done.transactions, done.sum("runs") < 100, store.check()) == (1, True, [])


def test_a_mistake_in_here_does_not_end_the_thread(
    store: Store, keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its traceback and counted; the next round goes on."""
    keeper = Keeper(store, Policies(alerts=POLICIES.alerts), keep, clock=clock(), watch_every=1_000_000)
    looked = threading.Event()
    real, first = keeper._watch.step, iter([True])

    def broken(now_ns: int) -> Any:
        if next(first, False):
            raise RuntimeError("oops")
        looked.set()
        return real(now_ns)

    monkeypatch.setattr(keeper._watch, "step", broken)
    with caplog.at_level(logging.ERROR, "tachograph.upkeep"):
        keeper.start()
        assert looked.wait(20)
        keeper.close()
    assert (caplog.messages, keeper.health.failures) == (["upkeep failed"], 1)


def test_without_policies_there_is_nothing_to_do(keep: Keep) -> None:
    """No thread, no query."""
    nothing: Any = object()
    before = threading.active_count()
    keeper = Keeper(nothing, Policies(), keep)
    keeper.start()
    assert (keeper.idle, bool(keeper.step(NOW)), threading.active_count()) == (True, False, before)
    keeper.close()


def test_a_keeper_is_made_from_settings(tmp_path: Path) -> None:
    """With the policies of the data folder, and audit runs that pass the gate; a bad callback is refused at once."""
    (tmp_path / "policies.toml").write_text("[[retention]]\nname = 'old'\nolder_than = '30d'\n")
    store = MemoryStore()
    put(store, desk("old", BEGAN))
    keeper = keeper_for(Settings(home=tmp_path), store, clock=clock())
    assert keeper.step(NOW)
    assert (names(store), len(audits(store, "pruned"))) == ([], 1)
    (tmp_path / "policies.toml").write_text("[[alert]]\nmetric='cost'\nthreshold=1\ncallback='no_such:thing'")
    with pytest.raises(SettingsError, match="callback='no_such:thing'"):
        keeper_for(Settings(home=tmp_path), store)
