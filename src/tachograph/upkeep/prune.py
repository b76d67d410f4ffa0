"""Pruning: what the retention rules let go is erased, in short transactions, so that recording goes on beside it.

Where a rule names a folder, its runs are in an archive there, read back and compared, before the first of them goes. A
rule about size is asked again after every transaction: the store says how many of its bytes are in use, so nothing more
goes than must. At the end the store gives the space back, and what that came to is measured by its files.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.record.after.audit import audit
from tachograph.record.clock import SYSTEM, Clock
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where
from tachograph.upkeep.archive import Archived, archive
from tachograph.upkeep.choose import Family, Row, families
from tachograph.upkeep.rule import ENDED, Rule
from tachograph.upkeep.watch import Keep

TRANSACTION_NS = 50_000_000
"""How long a transaction should take: the next one is made smaller or larger accordingly."""
_EVENTS = (200, 50_000)
"""Least and most events that a transaction is meant to erase. A run is erased whole, however long it is."""
_RUNS = 500
_SPARE = 1024 * 1024
"""Free bytes in the store's files that are given back even when a pruning erased nothing."""
FIGURES = ("runs", "events", "steps", "llm_calls", "tool_calls")
"""What is counted of what goes."""


class Swept(Struct, frozen=True, kw_only=True):
    """What one rule came to."""

    rule: str
    conditions: str
    runs: int = 0
    events: int = 0
    steps: int = 0
    """Plain steps: neither model nor tool calls."""
    llm_calls: int = 0
    tool_calls: int = 0
    archives: tuple[str, ...] = ()
    """The folders that this pruning wrote: one, or several where a rule about size went on."""
    archived_before: int = 0
    """Runs that an archive of an earlier, broken off pruning held already, whole."""
    archived_again: int = 0
    """Runs that such an archive held too, but that have grown since: their rows stand in both."""
    left: int = 0
    """Runs that changed while this went on, and stay for the next pruning."""
    oldest_at: int | None = None
    """When the oldest run that would go began, UTC ns; of a dry run."""


class Pruned(Struct, frozen=True, kw_only=True):
    """What a pruning came to. Sizes are those of the store's files, its write-ahead log included."""

    rules: tuple[Swept, ...]
    bytes_before: int
    bytes_after: int
    """Of a dry run: as estimated."""
    transactions: int = 0
    longest_ns: int = 0
    """The longest transaction that erased something."""
    dry: bool = False

    @property
    def returned(self) -> int:
        """Bytes given back to the file system; negative where recording went on and wrote more."""
        return self.bytes_before - self.bytes_after

    def sum(self, name: str) -> int:
        """A figure of all rules together."""
        return sum(getattr(swept, name) for swept in self.rules)


def prune(
    store: Store,
    rules: Sequence[Rule],
    now_ns: int,
    keep: Keep,
    *,
    clock: Clock = SYSTEM,
    archive_into: Path | None = None,
    dry: bool = False,
    user: str | None = None,
    forget: Callable[[Sequence[str]], object] = lambda runs: None,
    pause: Callable[[float], object] = time.sleep,
    stop: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Erase what any of the rules lets go at `now_ns`. `keep` takes the audit runs, `user` is who wanted it.

    `archive_into` goes before the rules' own folders. `dry` only says what would go. `pause` (seconds) lets others
    write between two transactions; `stop` is asked there, too. `forget` is told which runs go, before they do. Raises
    StoreError, ArchiveFailed, MissingExtra; what was erased by then has its audit run.
    """
    before = _room(store)
    if dry:
        return _foreseen(store, rules, now_ns, before)
    eraser = _Eraser(store, clock, forget, pause, stop)
    done = []
    for rule in rules:
        sweep = _Sweep(store, rule, eraser, now_ns)
        try:
            sweep.run(archive_into or rule.archive)
        finally:
            for tenant, counts in sweep.erased.items():
                figures = {name: counts[name] for name in FIGURES}
                # A tenant reads this: where the operator keeps archives is not its business.
                archives = [Path(each).name for each in sweep.archives]
                facts = {"rule": rule.name, "conditions": rule.conditions, "archives": archives, **figures}
                keep(audit("pruned", facts, at=now_ns, entropy=clock.entropy(6), tenant=tenant, user=user))
        done.append(sweep.swept())
    after = _room(store, now_ns if eraser.transactions or before.free > _SPARE else None)
    return Pruned(
        rules=tuple(done), bytes_before=before.size, bytes_after=after.size, transactions=eraser.transactions,
        longest_ns=eraser.longest_ns,
    )  # fmt: skip


class _Eraser:
    """Erases in transactions of bounded time."""

    def __init__(
        self, store: Store, clock: Clock, forget: Callable[[Sequence[str]], object], pause: Callable[[float], object],
        stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._store, self._clock, self._forget, self._pause, self.stop = store, clock, forget, pause, stop
        self._events = _EVENTS[0]
        self.transactions = self.longest_ns = 0

    def batches(self, runs: Iterable[Row]) -> Iterator[list[Row]]:
        """Runs in as many at a time as a transaction should erase; fewer, or more, as the last ones took."""
        waiting = iter(runs)
        batch: list[Row] = []
        events = 0
        for run in waiting:
            batch.append(run)
            events += run["next_seq"]
            if events >= self._events or len(batch) == _RUNS:
                yield batch
                batch, events = [], 0
        if batch:
            yield batch

    def erase(self, runs: Sequence[str], at: int) -> None:
        """One transaction, and a pause as long as it took: others want to write as well."""
        self._forget(runs)
        started = self._clock.mono()
        self._store.erase(runs, at)
        took = self._clock.mono() - started
        self.transactions += 1
        self.longest_ns = max(self.longest_ns, took)
        least, most = _EVENTS
        if took > TRANSACTION_NS:
            self._events = max(least, self._events // 2)
        elif took < TRANSACTION_NS // 2:
            self._events = min(most, self._events * 2)
        self._pause(min(took, TRANSACTION_NS) / 1e9)


class _Sweep:
    """One rule at work."""

    def __init__(self, store: Store, rule: Rule, eraser: _Eraser, now_ns: int) -> None:
        self._store, self._rule, self._eraser, self._now = store, rule, eraser, now_ns
        self._left = 0
        self._archived: list[Archived] = []
        self._spared: set[tuple[str, str | None]] = set()
        """Tenant and id of runs that started one that stays."""
        self.erased: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Tenant → what was erased of theirs."""

    @property
    def archives(self) -> tuple[str, ...]:
        """The archives that were written."""
        return tuple(str(each.folder) for each in self._archived if each.folder is not None)

    def swept(self) -> Swept:
        """What it came to."""
        return msgspec.structs.replace(
            _swept(self._rule, sum(self.erased.values(), Counter())),
            archives=self.archives,
            archived_before=sum(each.known for each in self._archived),
            archived_again=sum(each.again for each in self._archived),
            left=self._left,
        )

    def run(self, into: Path | None) -> None:
        """Erase what the rule lets go, archived first where there is a folder."""
        found = families(self._store, self._rule, self._now)
        if self._rule.max_bytes is None:
            self._erase_all(found, into)
            return
        # An estimate may be wrong, so only half of what is too much goes at a time. What is archived is not lost.
        part = 1.0 if into is not None else 0.5
        while (room := _room(self._store, self._now)).used > self._rule.max_bytes and not self._eraser.stop():
            if not self._erase_all(room.enough(found, (room.used - self._rule.max_bytes) * part), into):
                return

    def _erase_all(self, found: Iterable[Family], into: Path | None) -> bool:
        """Whether there was anything."""
        runs = (run for family in found for run in family.runs)
        if into is None:
            return self._erase(runs)
        chosen = list(runs)
        if not chosen:
            return False
        with archive(self._store, chosen, into, self._now) as archived:
            self._archived.append(archived)
            return self._erase(chosen, archived.events)

    def _erase(self, runs: Iterable[Row], archived: Mapping[str, int] | None = None) -> bool:
        found = False
        for batch in self._eraser.batches(runs):
            if self._eraser.stop():
                break
            chosen = self._as_chosen(batch, archived)
            if chosen:
                self._eraser.erase([run["id"] for run in chosen], self._now)
                for run in chosen:
                    self.erased[run["tenant"]] += _figures((run,))
                found = True
        return found

    def _as_chosen(self, batch: Sequence[Row], archived: Mapping[str, int] | None) -> list[Row]:
        """Those of a batch that are still over, and still as they were archived. Who started one that stays, stays."""
        ids = tuple(run["id"] for run in batch)
        query = Query("runs", (Where("id", "in", ids),), ("id", "status", "next_seq"), limit=None)
        now = {row["id"]: row for row in self._store.find(query).rows}
        fit = []
        for run in batch:
            row = now.get(run["id"])
            if row is None:
                continue  # somebody else erased it
            whole = archived is None or archived.get(run["id"]) == row["next_seq"]
            if whole and row["status"] in ENDED and (run["tenant"], run["id"]) not in self._spared:
                fit.append(run)
            else:
                self._left += 1
                self._spared.add((run["tenant"], run["parent_run"]))
        return fit


def _figures(runs: Iterable[Row]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for run in runs:
        sums.update({"runs": 1, "events": run["next_seq"], **{name: run[name] for name in FIGURES[2:]}})
    return sums


def _swept(rule: Rule, sums: Counter[str]) -> Swept:
    return Swept(
        rule=rule.name, conditions=rule.conditions, runs=sums["runs"], events=sums["events"], steps=sums["steps"],
        llm_calls=sums["llm_calls"], tool_calls=sums["tool_calls"],
    )  # fmt: skip


def _foreseen(store: Store, rules: Sequence[Rule], now_ns: int, room: _Room) -> Pruned:
    """What a pruning would come to, each run counted by the first rule that takes it."""
    taken: set[str] = set()
    done = []
    freed = 0.0
    for rule in rules:
        excess = float("inf") if rule.max_bytes is None else room.used - freed - rule.max_bytes
        fresh = (family for family in families(store, rule, now_ns) if family.runs[-1]["id"] not in taken)
        chosen = [run for family in room.enough(fresh, excess) for run in family.runs]
        taken |= {run["id"] for run in chosen}
        sums = _figures(chosen)
        freed += sums["events"] * room.per_event
        oldest = min((run["started_at"] for run in chosen), default=None)
        done.append(msgspec.structs.replace(_swept(rule, sums), oldest_at=oldest))
    return Pruned(rules=tuple(done), bytes_before=room.size, bytes_after=max(0, int(room.used - freed)), dry=True)


class _Room(Struct, frozen=True):
    """How many bytes the store's files have, how many of them hold nothing, and how many events it has."""

    size: int
    free: int
    events: int

    @property
    def used(self) -> int:
        """Bytes that hold something."""
        return self.size - self.free

    @property
    def per_event(self) -> float:
        """What is used, shared out evenly: the estimate of what a run occupies is made of this."""
        return self.used / max(1, self.events)

    def enough(self, found: Iterator[Family], excess: float) -> Iterator[Family]:
        """The next families, until they are estimated to occupy so many bytes."""
        while excess > 0 and (family := next(found, None)) is not None:
            yield family
            excess -= family.events * self.per_event


def _room(store: Store, compact_at: int | None = None) -> _Room:
    """The room as it is; compacted at a time (UTC ns) first, so that roll-ups are made and all that counts is used."""
    if compact_at is not None:
        store.refresh(compact_at)
        store.compact()
    facts: Mapping[str, Any] = store.facts()
    return _Room(int(facts["bytes"]), int(facts.get("free_bytes", 0)), int(facts["events"]))
