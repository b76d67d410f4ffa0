from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tachograph.errors import ArchiveFailed, StoreUnavailable
from tachograph.events.envelope import Event
from tachograph.store.open import open_store
from tachograph.store.ports import Erased, Store
from tachograph.upkeep import parquet
from tachograph.upkeep.prune import Pruned, Swept, prune
from tachograph.upkeep.rule import Rule
from tachograph.upkeep.watch import Keep
from tests.strategies import Tape
from tests.upkeep.kept import BEGAN, DAY, NOW, audits, clock, desk, names, put

OLD = Rule(name="old", older_than=30 * DAY)


def pruned(store: Store, keep: Keep, *rules: Rule, **more: Any) -> Pruned:
    """A pruning without pauses, on a clock that ticks."""
    return prune(store, rules, NOW, keep, **{"clock": clock(), "pause": lambda _: None, **more})


def large(name: str, at: int, kilobytes: int = 40) -> Tape:
    """A run with so much text of its own that does not pack well."""
    text = "".join(f"{name}{number * 7919 % 10007:x}" for number in range(kilobytes * 1024 // (len(name) + 4)))
    return desk(name, at, text=text)


def test_what_is_old_goes_and_is_counted(store: Store, keep: Keep) -> None:
    """Runs, steps and calls are told, everything else stays, and each tenant gets an audit run with its own figures."""
    put(
        store, desk("a", BEGAN, calls=2), desk("b", BEGAN + 1, tenant="acme"), desk("c", BEGAN + 2, tenant="acme"),
        desk("open", BEGAN, end=None), desk("new", NOW - DAY),
    )  # fmt: skip
    done = pruned(store, keep, OLD, user="ada")
    [swept] = done.rules
    assert swept == Swept(
        rule="old", conditions="older than 30d", runs=3, events=29, steps=3, llm_calls=4, tool_calls=3
    )
    assert (done.sum("runs"), done.transactions, done.dry) == (3, 1, False)
    assert names(store) == ["open", "new"]
    facts = {"user": "ada", "rule": "old", "conditions": "older than 30d", "archives": []}
    assert sorted(audits(store, "pruned"), key=lambda each: each["runs"]) == [
        {"tenant": "default", **facts, "runs": 1, "events": 11, "steps": 1, "llm_calls": 2, "tool_calls": 1},
        {"tenant": "acme", **facts, "runs": 2, "events": 18, "steps": 2, "llm_calls": 2, "tool_calls": 2},
    ]  # fmt: skip
    assert store.check() == []
    again = pruned(store, keep, OLD)
    assert (again.sum("runs"), again.transactions, len(audits(store, "pruned"))) == (0, 0, 2)


def test_who_keeps_something_of_runs_is_told_before_they_go(store: Store, keep: Keep) -> None:
    """All that go, each once, while they are still there; of a dry run nobody is told."""
    put(store, desk("a", BEGAN), desk("b", BEGAN + 1), desk("new", NOW - DAY))
    told: list[tuple[int, int]] = []
    forget = lambda runs: told.append((len(runs), len(names(store))))  # noqa: E731
    pruned(store, keep, OLD, dry=True, forget=forget)
    assert told == []
    pruned(store, keep, OLD, forget=forget)
    assert told == [(2, 3)]


def test_several_rules_take_what_any_of_them_takes(store: Store, keep: Keep) -> None:
    """Each run counts for the first rule that takes it; what no rule takes stays."""
    put(store, desk("old", BEGAN), desk("bad", NOW - DAY, end="failed"), desk("oldbad", BEGAN, end="failed"))
    put(store, desk("good", NOW - DAY))
    done = pruned(store, keep, OLD, Rule(name="bad", status=("failed",)))
    assert [(swept.rule, swept.runs) for swept in done.rules] == [("old", 2), ("bad", 1)]
    assert names(store) == ["good"]


def test_a_dry_run_changes_nothing_and_foretells(store: Store, keep: Keep) -> None:
    """It counts what would go as the pruning does, and estimates what would be left."""
    put(store, *(desk(f"{number}", BEGAN + number) for number in range(10)), desk("new", NOW - DAY))
    rules = (OLD, Rule(name="all", status=("completed",)))
    foreseen = pruned(store, keep, *rules, dry=True)
    assert len(names(store)) == 11
    assert foreseen.bytes_after < foreseen.bytes_before
    done = pruned(store, keep, *rules)
    assert [(each.rule, each.runs, each.events) for each in foreseen.rules] == [
        (each.rule, each.runs, each.events) for each in done.rules
    ]


def nobody(events: Sequence[Event]) -> None:
    """Takes audit runs and keeps none."""


@pytest.fixture
def on_disk(tmp_path: Path) -> Store:
    """A file: only there sizes are what they are."""
    return open_store(f"sqlite:{tmp_path / 'sized.db'}")


def test_a_store_that_is_too_large_is_cut_to_size(on_disk: Store) -> None:
    """The oldest go until the files fit, and no more than a little below; the newest are still there."""
    for number in range(60):
        put(on_disk, large(f"{number:02}", BEGAN + number * DAY))
    on_disk.refresh(NOW)
    on_disk.compact()
    whole = on_disk.facts()["bytes"]
    wanted = whole * 6 // 10
    rule = Rule(name="size", max_bytes=wanted)
    foreseen = pruned(on_disk, nobody, rule, dry=True)
    done = pruned(on_disk, nobody, rule)
    assert done.bytes_after == on_disk.facts()["bytes"] <= wanted
    assert wanted - done.bytes_after < whole // 10
    assert done.returned == done.bytes_before - done.bytes_after > 0
    left = names(on_disk)
    assert left == [f"{number:02}" for number in range(60 - len(left), 60)]
    assert abs(foreseen.sum("runs") - done.sum("runs")) <= 6
    assert pruned(on_disk, nobody, rule).sum("runs") == 0
    on_disk.close()


def test_size_and_another_condition_must_both_hold(on_disk: Store, tmp_path: Path) -> None:
    """Only what meets the rest of the rule goes for size; where that is not enough the store stays too large."""
    for number in range(20):
        put(on_disk, large(f"{number:02}", BEGAN + number * DAY), large(f"acme{number:02}", BEGAN, 4))
    tight = Rule(name="size", max_bytes=1, tag="none")
    assert pruned(on_disk, nobody, tight).sum("runs") == 0
    first = Rule(name="size", max_bytes=1, older_than=95 * DAY)
    done = pruned(on_disk, nobody, first, archive_into=tmp_path / "archive")
    assert (done.sum("runs"), len(names(on_disk))) == (25, 15)
    on_disk.close()


def test_a_family_is_erased_from_below(store: Store, keep: Keep) -> None:
    """Children go before those who started them, in one transaction or in several."""
    top = desk("top", BEGAN)
    put(store, top, *(desk(f"child {number}", BEGAN + number, parent_run=top.run) for number in range(60)))
    order: list[str] = []

    def note(runs: Sequence[str], at: int) -> Erased:
        order.extend(runs)
        return erase(runs, at)

    erase, store.erase = store.erase, note  # type: ignore[method-assign]
    done = pruned(store, keep, OLD)
    assert (done.sum("runs"), done.transactions > 1, order[-1]) == (61, True, top.run)


def test_transactions_keep_to_their_time(store: Store, keep: Keep) -> None:
    """Where erasing is slow, transactions become smaller; where it is fast, larger; others get a pause as long."""
    put(store, *(desk(f"{number}", BEGAN + number) for number in range(400)))
    ticking = clock()
    sizes: list[int] = []
    pauses: list[float] = []

    def slow(runs: Sequence[str], at: int) -> Erased:
        sizes.append(len(runs))
        for _ in range(len(runs)):
            ticking.mono()  # a millisecond each
        return erase(runs, at)

    erase, store.erase = store.erase, slow  # type: ignore[method-assign]
    done = pruned(store, keep, OLD, clock=ticking, pause=pauses.append)
    assert done.sum("runs") == sum(sizes) == 400
    assert (sizes[0], max(sizes)) == (23, 45)  # 200 events, then 400 in less than 50 ms
    assert done.longest_ns == 46_000_000
    assert all(0 < pause <= 0.05 for pause in pauses)
    assert len(pauses) == done.transactions


def test_it_stops_between_transactions_when_it_is_told_to(store: Store, keep: Keep) -> None:
    """What was erased by then is told and has its audit run; the rest is for the next time."""
    put(store, *(desk(f"{number}", BEGAN + number) for number in range(100)))
    asked = iter([False, False, True, True])
    done = pruned(store, keep, OLD, stop=lambda: next(asked))
    left = len(names(store))
    assert 0 < left < 100
    assert (done.sum("runs"), [each["runs"] for each in audits(store, "pruned")]) == (100 - left, [100 - left])


def test_a_failure_midway_is_told_by_its_audit_run(store: Store, keep: Keep) -> None:
    """The store goes away after the first transaction: the error comes out, and what went is on record."""
    put(store, *(desk(f"{number}", BEGAN + number) for number in range(100)))

    def once(runs: Sequence[str], at: int) -> Erased:
        if len(names(store)) < 100:
            raise StoreUnavailable(store.url, "gone")
        return erase(runs, at)

    erase, store.erase = store.erase, once  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="gone"):
        pruned(store, keep, OLD)
    assert [each["runs"] for each in audits(store, "pruned")] == [100 - len(names(store))]


def test_a_run_that_is_taken_up_again_stays(store: Store, keep: Keep) -> None:
    """One that is open again when its turn comes is left alone, and so is the one that started it."""
    top = desk("top", BEGAN)
    child = desk("child", BEGAN + 1, parent_run=top.run)
    put(store, desk("first", BEGAN - 1), top, child)
    find = store.find

    def reopened(query: Any) -> Any:
        page = find(query)
        if query.columns == ("id", "status", "next_seq"):
            rows = [{**row, "status": "started"} if row["id"] == child.run else row for row in page.rows]
            return type(page)(rows, page.after, page.total)
        return page

    store.find = reopened  # type: ignore[method-assign]
    done = pruned(store, keep, OLD)
    assert (done.sum("runs"), done.sum("left"), names(store)) == (1, 2, ["top", "child"])


def test_a_run_that_stays_spares_nobody_of_another_tenant(store: Store, keep: Keep) -> None:
    """Blue's run is open again when its turn comes, and named red's as its parent: red's goes all the same."""
    red = desk("red", BEGAN + 1, tenant="red")
    blue = desk("blue", BEGAN, tenant="blue", parent_run=red.run)
    put(store, blue, red)
    find = store.find

    def reopened(query: Any) -> Any:
        page = find(query)
        if query.columns == ("id", "status", "next_seq"):
            rows = [{**row, "status": "started"} if row["id"] == blue.run else row for row in page.rows]
            return type(page)(rows, page.after, page.total)
        return page

    store.find = reopened  # type: ignore[method-assign]
    assert (pruned(store, keep, OLD).sum("runs"), names(store)) == (1, ["blue"])


def test_what_was_recorded_meanwhile_is_not_counted_as_given_back(store: Store, keep: Keep) -> None:
    """Sizes are measured before and after, so a store that grew says so."""
    assert Pruned(rules=(), bytes_before=10, bytes_after=25).returned == -15
    put(store, desk("new", NOW - DAY))
    assert pruned(store, keep, OLD).returned == 0


def test_an_archive_that_fails_keeps_everything(
    store: Store, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is erased, nothing is left of the archive, and there is no audit run of a pruning that was none."""
    put(store, *(desk(f"{number}", BEGAN + number) for number in range(5)))
    monkeypatch.setattr(parquet.Table, "faults", lambda self: iter(["not what was written"]))
    with pytest.raises(ArchiveFailed, match="its runs stay in the store: not what was written"):
        pruned(store, keep, OLD, archive_into=tmp_path / "archive")
    assert (len(names(store)), audits(store, "pruned")) == (5, [])
    assert [path.name for path in (tmp_path / "archive").iterdir()] == [".lock"]
