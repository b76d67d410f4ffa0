"""Leases, commits and supersession against a model: whatever processes do, live through or die of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tachograph.errors import SessionClosed, SessionConflict
from tachograph.store.sessions.head import Changes, Head, Key, Point, Taken
from tachograph.store.sessions.heads import SECOND, STALE, Heads
from tachograph.store.sessions.memory import MemoryCabinet
from tachograph.store.sessions.sqlite import SqliteCabinet
from tests.contracts.accounts import NOW

KEY: Key = ("t", "s")
LASTS = 10 * SECOND
NAMES = some.sampled_from("abc")


class Processes(RuleBasedStateMachine):
    """Three processes over one cabinet in memory; the model is what was committed, in order, and who may write."""

    turns = Bundle("turns")

    def __init__(self) -> None:
        super().__init__()
        self.living = set("abc")
        self.cabinet: Any = self.make()
        self.desks = {name: Heads(self.cabinet, name, name, self.living.__contains__) for name in "abc"}
        self.now = NOW
        self.chain: list[int] = []
        """The seqs of committed points."""
        self.writer: int | None = None
        """The epoch that may write."""
        self.until = 0
        self.whose = ""
        self.superseded = False
        self.closed = False
        self.unfinished: list[str] = []
        self.epochs: set[int] = set()

    def make(self) -> Any:
        """An empty cabinet."""
        return MemoryCabinet()

    @rule(seconds=some.sampled_from([0, 1, 4, 11]))
    def wait(self, seconds: int) -> None:
        """Time passes; what waited without a sign is forgotten."""
        self.now += seconds * SECOND + 1

    @rule(target=turns, name=NAMES, supersede=some.booleans())
    def come(self, name: str, supersede: bool) -> Any:
        """A process wants the next turn; nobody waits for long."""
        self.now += STALE
        name = name if name in self.living else min(self.living)
        free = self.writer is None or self.until <= self.now or self.whose not in self.living
        try:
            found = self.desks[name].acquire(KEY, self.now, LASTS, supersede=supersede)
        except SessionClosed:
            assert self.closed
            return multiple()
        assert not self.closed
        if not isinstance(found, Taken):
            assert not free
            self.superseded |= supersede
            self.desks[name].withdraw(KEY, found.ticket)
            return multiple()
        assert free
        assert found.head.epoch not in self.epochs
        assert (found.before is not None) == (self.writer is not None)
        assert list(found.head.unfinished) == (self.unfinished if self.writer is not None else [])
        self.epochs.add(found.head.epoch)
        self.writer, self.until, self.whose = found.head.epoch, self.now + LASTS, name
        self.superseded, self.unfinished = False, list(found.head.unfinished)
        return name, found.head

    @rule(turn=turns, run=some.text("xyz", min_size=1, max_size=2))
    def begin(self, turn: tuple[str, Head], run: str) -> None:
        """A run is begun by who may, and by nobody else."""
        name, head = turn
        if self.may(turn):
            self.desks[name].begin(KEY, head.epoch, run)
            self.unfinished.append(run)
        else:
            with pytest.raises(SessionConflict):
                self.desks[name].begin(KEY, head.epoch, run)

    @rule(turn=turns, seen=some.integers(-1, 1))
    def commit(self, turn: tuple[str, Head], seen: int) -> None:
        """What was said is written by who may and saw the last; by nobody else."""
        name, head = turn
        version = len(self.chain) + seen
        changes = Changes(history=Point("r", len(self.chain)))
        if self.may(turn) and seen == 0:
            self.desks[name].commit(KEY, head.epoch, version, changes, self.now)
            self.chain.append(len(self.chain))
            self.unfinished = []
        else:
            with pytest.raises(SessionConflict):
                self.desks[name].commit(KEY, head.epoch, version, changes, self.now)

    @rule(turn=turns)
    def renew(self, turn: tuple[str, Head]) -> None:
        """The heartbeat holds what is held, and hears what became of it."""
        name, head = turn
        expected = "lost" if not self.may(turn) else "superseded" if self.superseded else "held"
        assert self.desks[name].renew({KEY: head.epoch}, self.now, LASTS) == {KEY: expected}
        assert self.desks[name].fates({KEY: head.epoch}) == {KEY: expected}
        if expected != "lost":
            self.until = max(self.until, self.now + LASTS)

    @rule(turn=consumes(turns))
    def release(self, turn: tuple[str, Head]) -> None:
        """A turn ends; one that was lost changes nothing by that."""
        name, head = turn
        assert self.desks[name].release(KEY, head.epoch) == self.may(turn)
        if head.epoch == self.writer:
            self.writer, self.unfinished = None, []

    @rule(name=NAMES)
    def die(self, name: str) -> None:
        """A process dies, and one of its name is never seen again."""
        if len(self.living) > 1:
            self.living.discard(name)

    @rule(close=some.booleans())
    def stand(self, close: bool) -> None:
        """Somebody closes the session, or opens it again."""
        heads = self.desks["a"]
        found = heads.close_session(KEY, self.now) if close else heads.reopen(KEY, self.now)
        self.closed = close and found is not None

    @invariant()
    def one_chain(self) -> None:
        """What stands is what was committed last, and as often as it was committed."""
        head = self.desks["a"].get(KEY)
        if head is not None:
            assert (head.version, None if head.history is None else head.history.seq) == (
                len(self.chain), self.chain[-1] if self.chain else None
            )  # fmt: skip
            assert (None if head.lease is None else head.lease.epoch) == self.writer

    def may(self, turn: tuple[str, Head]) -> bool:
        """Whether this turn's lease is the one that counts."""
        return turn[1].epoch == self.writer


class FiledProcesses(Processes):
    """The same over a file."""

    def make(self) -> Any:
        """An empty file."""
        self.folder = tempfile.TemporaryDirectory()
        return SqliteCabinet(Path(self.folder.name) / "a.sessions")

    def teardown(self) -> None:
        """Remove it."""
        self.cabinet.close()
        self.folder.cleanup()


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=150, stateful_step_count=30)
TestFiledProcesses = FiledProcesses.TestCase
TestFiledProcesses.settings = settings(max_examples=20, stateful_step_count=30)
