"""The drain: moves journals into the store, exactly once, and finishes what dead processes began.

One process a store is elected by a file lock. A batch carries the journal's position, and the store changes it in the
same transaction as the rows; whoever comes second is told that the position has moved and stores nothing. A journal
whose owner holds no lock any more is read to its end; its open steps and runs are then closed as abandoned, at the time
of the owner's last sign of life, and its folder goes. A paused run waits on: no process is needed for that. What comes
of a run that was erased is dropped by the store, and leaves no hole; what comes of one that another process has resumed
is not stored either, and noted as lost.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tachograph.errors import CodecError, SequenceGap, StoreError, StoreRefused
from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.note import Loss
from tachograph.events.run import Failure, RunEnded
from tachograph.fold.steps import ending
from tachograph.record import journal as journals
from tachograph.record.admit import Admitter
from tachograph.record.clock import SYSTEM, Clock
from tachograph.store.ports import Appended, Batch, OpenStep, Position, Store
from tachograph.store.rows import LossRow

TAKEN_OVER = "taken_over"
"""Why what a process still writes into a run that another has resumed is lost."""
LOCK = "drain.lock"
"""Beside the journals: who holds it drains."""
Deadline = Callable[[], bool]
"""Whether time is up."""
REFUSED = "refused"
"""File in a journal's folder that says why the store does not take it."""

_BATCH_EVENTS = 1_000
_BATCH_BYTES = 1024 * 1024
_PIECE_BYTES = 512 * 1024
"""Read at a time where the owner still writes: most rounds find little."""
_REFUSED_SECONDS = 60.0
"""How long a journal that the store refuses is left alone."""
_UNWRITTEN = bytes(4)
_DIED = Failure("ProcessDied", "the process that recorded this run is gone", "bug")


class Drained(Struct, frozen=True):
    """What a round did."""

    events: int = 0
    bytes: int = 0
    abandoned: int = 0
    """Runs closed for dead processes."""
    damaged: int = 0
    """Bytes in journals that were no record."""
    finished: bool = True
    """False when time ran out before the journals were empty."""
    dropped: int = 0
    """Events of runs that were erased."""
    late: int = 0
    """Events that came too late: another process has taken their runs over."""

    def plus(self, other: Drained) -> Drained:
        """Both together."""
        return Drained(
            self.events + other.events, self.bytes + other.bytes, self.abandoned + other.abandoned,
            self.damaged + other.damaged, self.finished and other.finished, self.dropped + other.dropped,
            self.late + other.late,
        )  # fmt: skip


class Found(Struct, frozen=True):
    """A journal on disk."""

    folder: Path
    alive: bool
    own: bool

    @property
    def name(self) -> str:
        """Its id."""
        return self.folder.name


class Drain:
    """Moves the journals of one store. Use from one thread."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        admitter: Admitter,
        *,
        own: Callable[[], str | None] = lambda: None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._folder, self._store, self._admitter, self._own = folder, store, admitter, own
        self._clock = clock
        self._election: int | None = None
        self._refused: dict[str, tuple[float, StoreError]] = {}

    @property
    def refused(self) -> StoreError | None:
        """Why the store does not take a journal, though it can be reached; None when it takes all."""
        return next((problem for _, problem in self._refused.values()), None)

    def elected(self) -> bool:
        """Whether this process may drain; asks for the lock if nobody has it."""
        if self._election is None:
            self._election = journals.hold(self._folder / LOCK)
        return self._election is not None

    def resign(self) -> None:
        """Let another process drain."""
        if self._election is not None:
            journals.let_go(self._folder / LOCK, self._election)
            self._election = None

    def close(self) -> None:
        """Resign and close the store."""
        self.resign()
        self._store.close()

    def round(self, deadline: Deadline = lambda: False) -> Drained:
        """Move everything that is there now, or until `deadline()`. Raises StoreError, OSError; nothing is lost.

        A journal that the store refuses holds up no other: it stays, with the reason in its folder, and is tried again
        a minute later.
        """
        done = Drained()
        unreadable: OSError | None = None
        for found in self.find():
            if deadline():
                return done.plus(Drained(finished=False))
            if self._is_left_alone(found):
                done = done.plus(Drained(finished=False))
                continue
            try:
                done = done.plus(self._journal(found, deadline))
                self._accept(found)
            except OSError as problem:
                unreadable = problem  # one journal that cannot be read does not hold up the others
            except (StoreRefused, SequenceGap) as problem:
                self._refuse(found, problem)
                done = done.plus(Drained(finished=False))
        if unreadable is not None:
            raise unreadable
        return done

    def once(self, deadline: Deadline = lambda: False) -> Drained:
        """A round for which it is elected, and no longer; not finished when another process is at it. Raises as that.

        For who wants to read what journals hold, and shall hold up no process that records.
        """
        if not self.elected():
            return Drained(finished=False)
        try:
            return self.round(deadline)
        finally:
            self.resign()

    def refresh(self, now_ns: int) -> int:
        """Bring the roll-ups of closed hours up to date; cheap when none has changed."""
        return self._store.refresh(now_ns)

    def find(self) -> list[Found]:
        """The journals of this store, oldest first."""
        return find_journals(self._folder, self._own())

    def caught_up(self) -> bool:
        """Whether all that this process has recorded is in the store: another process may be the drain."""
        own = next((found for found in self.find() if found.own), None)
        if own is None:
            return True
        segment, offset = self._store.position(own.name)
        for number in journals.segments(own.folder):
            start = offset if number == segment else 0
            if number >= segment and _read(journals.segment_path(own.folder, number), start, 4).strip(b"\0"):
                return False
        return True

    # ---- one journal ----------------------------------------------------------------------------------------------

    def _journal(self, found: Found, deadline: Deadline) -> Drained:
        done = Drained()
        start = self._store.position(found.name)
        numbers = journals.segments(found.folder)
        for number in numbers:
            if number < start[0]:
                continue
            # Asked before reading: what a living writer adds after this is left for the next round.
            header = journals.read_header(journals.segment_path(found.folder, number))
            whole = not found.alive or (header is not None and header.whole)
            offset = start[1] if number == start[0] else 0
            part, start = self._segment(found, header, number, offset, start, final=whole, deadline=deadline)
            done = done.plus(part)
            if not done.finished:
                return done
            if not whole:
                break
        self._tidy(found, numbers, start[0])
        if not found.alive:
            done = done.plus(Drained(abandoned=self._bury(found, numbers)))
        return done

    def _segment(
        self,
        found: Found,
        header: journals.Header | None,
        number: int,
        offset: int,
        before: tuple[int, int],
        *,
        final: bool,
        deadline: Deadline,
    ) -> tuple[Drained, tuple[int, int]]:
        done = Drained()
        version = header.schema if header else codec.SCHEMA_VERSION
        path, piece = journals.segment_path(found.folder, number), _PIECE_BYTES
        while True:
            data = _read(path, offset, None if final else piece)
            begun = offset = max(offset, journals.HEADER_BYTES)
            for events, end, damaged in self._batches(data, offset, final, version):
                position = Position(found.name, number, end, before)
                answer = self._append(self._admitter.admit(events, scrubbed=True, position=position))
                if not answer.moved:
                    return done.plus(Drained(finished=False)), before
                before = (number, end)
                part = Drained(answer.stored, end - offset, damaged=damaged, dropped=answer.dropped, late=answer.late)
                done = done.plus(part)
                if damaged:
                    self.note_loss(found.name, "damage", 0, damaged, f"segment {number} before byte {end}")
                if answer.late:
                    self.note_loss(found.name, TAKEN_OVER, answer.late, 0, f"segment {number} before byte {end}")
                offset = end
                if deadline():
                    return done.plus(Drained(finished=False)), before
            if final or len(data) < piece or data[:4] == _UNWRITTEN:
                return done, before
            piece *= 1 if offset > begun else 4

    def note_loss(self, journal: str, reason: str, events: int, size: int = 0, detail: str = "") -> None:
        """Write down what was lost outside any run, for `tachograph doctor`; the last word on the same loss counts."""
        at = self._clock.now()
        self._store.note(LossRow(at=at, journal=journal, reason=reason, events=events, bytes=size, detail=detail))

    def _batches(self, data: bytes, offset: int, final: bool, version: int) -> Iterator[tuple[list[Event], int, int]]:
        events: list[Event] = []
        damaged, begun, end = 0, offset, offset
        for record in journals.read_records(data, offset, base=offset, final=final):
            end = record.end
            if isinstance(record, journals.Damage):
                damaged += record.end - record.start
                continue
            try:
                events.extend(codec.decode_all(record.payload, version))
            except CodecError:
                damaged += len(record.payload)
            if len(events) >= _BATCH_EVENTS or end - begun > _BATCH_BYTES:
                yield events, end, damaged
                events, damaged, begun = [], 0, end
        if end > begun:
            yield events, end, damaged

    def _append(self, batch: Batch) -> Appended:
        """Store a batch. Damage leaves holes; each missing seq becomes a loss, so that what follows keeps its place.

        Whether there is a hole, the store says: a run that it does not know may be one that was erased.
        """
        holed: set[str] = set()
        while True:
            try:
                return self._store.append(batch)
            except SequenceGap as gap:
                if gap.run in holed:
                    raise
                holed.add(gap.run)
                expected = {run: self._store.next_seq(run) for run in {event.run for event in batch.events}}
                there = {run: seq for run, seq in expected.items() if seq or run in holed}
                batch = replace(batch, events=list(_gapless(batch.events, there)))

    def _tidy(self, found: Found, numbers: list[int], current: int) -> None:
        for number in numbers:
            if number < current:
                journals.segment_path(found.folder, number).unlink(missing_ok=True)

    # ---- the refused ----------------------------------------------------------------------------------------------

    def _is_left_alone(self, found: Found) -> bool:
        until, _ = self._refused.get(found.name, (0.0, None))
        return self._clock.mono() < until

    def _accept(self, found: Found) -> None:
        self._refused.pop(found.name, None)
        (found.folder / REFUSED).unlink(missing_ok=True)

    def _refuse(self, found: Found, problem: StoreError) -> None:
        self._refused[found.name] = (self._clock.mono() + _REFUSED_SECONDS * 1e9, problem)
        with contextlib.suppress(OSError):  # only for `doctor`; the journal itself is untouched
            (found.folder / REFUSED).write_text(str(problem), encoding="utf-8")

    # ---- the dead -------------------------------------------------------------------------------------------------

    def _bury(self, found: Found, numbers: list[int]) -> int:
        heartbeat = max(
            (header.heartbeat for number in numbers if (header := self._header(found, number)) is not None), default=0
        )
        closed: list[list[Event]] = []
        by_run: dict[str, list[OpenStep]] = {}
        for step in self._store.open_steps(found.name):
            by_run.setdefault(step.run, []).append(step)
        for run, steps in by_run.items():
            closed.append(list(abandon(self._store, run, steps, _DIED, heartbeat)))
        if any(closed):
            self._store.append(self._admitter.admit(chain(*closed), scrubbed=True))
        shutil.rmtree(found.folder, ignore_errors=True)
        return sum(map(bool, closed))

    def _header(self, found: Found, number: int) -> journals.Header | None:
        return journals.read_header(journals.segment_path(found.folder, number))


def abandon(store: Store, run: str, steps: Sequence[OpenStep], why: Failure, heartbeat: int = 0) -> Iterator[Event]:
    """The ends of a run's open steps, innermost first, and of the run; none if it was erased a moment ago.

    They stand at its process's last sign of life, `heartbeat` (UTC ns), or at its last event if that is later.
    """
    seq = store.next_seq(run)
    last = next(iter(store.read(run, after=seq - 2)), None)
    if last is None:
        return
    at = max(heartbeat, last.at)
    mono = last.mono + at - last.at
    for step in sorted(steps, key=lambda step: -step.step):
        if step.step:
            yield Event(run, seq, at, mono, step.step, ending(step.kind, "abandoned", why))
            seq += 1
    yield Event(run, seq, at, mono, 0, RunEnded(status="abandoned", stop_reason="process_died", error=why))


def find_journals(folder: Path, own: str | None = None) -> list[Found]:
    """Journals below a folder, oldest first (their ids sort by time)."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
        return [Found(folder / name, name == own or journals.owner_lives(folder / name), name == own) for name in names]
    return []


def _gapless(events: Iterable[Event], expected: dict[str, int]) -> Iterator[Event]:
    """The events, and a loss for each that is missing in a run whose next seq is `expected`."""
    for event in events:
        seq = expected.get(event.run)
        if seq is not None:
            for missing in range(seq, event.seq):
                yield Event(event.run, missing, event.at, event.mono, 0, Loss(reason="damage", events=1))
            expected[event.run] = max(seq, event.seq + 1)
        yield event


def _read(path: Path, offset: int, size: int | None) -> bytes:
    """A segment's bytes from `offset` (or its first record) on. Read, not mapped: its owner may cut it any moment."""
    with path.open("rb") as file:
        file.seek(max(offset, journals.HEADER_BYTES))
        return file.read() if size is None else file.read(size)
