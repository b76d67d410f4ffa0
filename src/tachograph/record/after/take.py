"""Taking a run over: one that has ended, or waits for a person, is this process's from now on, and open again.

First everything that is recorded has to be in the store: what this process recorded, and what dead ones left in their
journals, whose runs are closed as abandoned. Then the run's log says whether it may go on. The event that takes it
over is appended only if nothing else was meanwhile, so of several who want a run one gets it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tachograph.errors import NotResumable
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.run import AUDIT, Failure, RunResumed, RunStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.state import Snapshot, fold
from tachograph.fold.steps import ending
from tachograph.limits.past import Past, past
from tachograph.record import journal as journals
from tachograph.record.admit import Reach
from tachograph.record.after.append import append, following
from tachograph.record.clock import Clock
from tachograph.record.drain import Drain
from tachograph.store.changes import hash_bytes
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where

PAUSE = 0.05
"""Seconds between two looks at what another process is just moving into the store."""
_MESSAGES = 8 * 1024 * 1024
"""Most bytes of messages that are looked up, so that they need not be recorded again."""
_NEVER_ENDED = Failure("RunEnded", "the run ended while this step was open")


class Claim(Struct, frozen=True):
    """Who wants the run, and on what terms."""

    owner: str
    """The journal of this process."""
    epoch: int | None = None
    """The epoch that the run is expected to be of; None: any."""
    by: str | None = None
    limits: Content | None = None


class Taken(Struct, frozen=True):
    """A run that was taken over, and what is needed to go on with it."""

    log: Sequence[Event]
    """All its events, those that took it over last."""
    new: int
    """How many of them are new."""
    started: RunStarted
    state: Snapshot
    """As it is now: open."""
    past: Past
    """What it has used, and the runs below it."""
    texts: Mapping[bytes, bytes]
    """Contents behind hashes: those of its tool calls, and of its messages as far as they are not too large."""


def take(reach: Reach, run: str, claim: Claim, clock: Clock, seconds: float) -> Taken:
    """Take a run over. Waits for at most so many seconds for what is on its way to the store.

    Raises NotResumable, and StoreError; then nothing has changed.
    """
    until = time.monotonic() + seconds
    _settle(reach, run, claim.owner, until)
    while True:
        log = list(reach.store.read(run))
        state, started = _judge(run, log, claim)
        new = following(log, _bodies(state, claim), clock.now())
        if append(reach.store, reach.gate.admit(new, scrubbed=True)):
            log += new
            below = [past(reach.store.read(other)) for other in _below(reach.store, run)]
            used = past(log).with_runs(below)
            return Taken(log, len(new), started, fold(log), used, _texts(reach.store, log))


def bring_in(reach: Reach, owner: str, seconds: float) -> bool:
    """Move what this process (its journal is `owner`) and dead ones have recorded into the store; whether all is there.

    Runs of dead processes are closed as abandoned. Raises StoreError.
    """
    until = time.monotonic() + seconds
    said = reach.flush(seconds)
    drain = Drain(reach.journals, reach.store, reach.gate, own=lambda: owner)
    while True:
        said = drain.once(lambda: time.monotonic() > until).finished or said or drain.caught_up()
        if said and all(found.alive for found in drain.find()):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(PAUSE)


# ---- before ----------------------------------------------------------------------------------------------------------


def _settle(reach: Reach, run: str, owner: str, until: float) -> None:
    """Wait until the store knows how the run stands, and all that this process has said of it. Raises NotResumable."""
    _row(reach.store, run)  # a store that answers no questions says so at once
    said = reach.flush(max(0.0, until - time.monotonic()))
    drain = Drain(reach.journals, reach.store, reach.gate, own=lambda: owner)
    while True:
        said = drain.once(lambda: time.monotonic() > until).finished or said or drain.caught_up()
        moving = not all(found.alive for found in drain.find())
        if not _is_on_its_way(reach, run, moving=moving) and said:
            return
        if time.monotonic() > until:
            row = _row(reach.store, run)
            why = "what was recorded of it is not in the store yet: try again, or see `tachograph doctor`"
            raise NotResumable(run, row["status"] if row else "", why)
        time.sleep(PAUSE)


def _is_on_its_way(reach: Reach, run: str, *, moving: bool) -> bool:
    """Whether the store will know more of the run in a moment. Raises NotResumable for one that goes on elsewhere."""
    row = _row(reach.store, run)
    if row is None:
        return moving
    if row["source"] or row["status"] != "started":
        return False
    journal = reach.journals / (row["owner"] or "-")
    if journals.owner_lives(journal):
        raise NotResumable(run, "started", "the process that it belongs to is alive: wait until it has ended there")
    # A journal goes when its runs have been ended: then the row is another one by now.
    if not journal.is_dir() and _row(reach.store, run) == row:
        why = "it goes on in a process on another machine; or its journal is gone, and `doctor --repair` ends it"
        raise NotResumable(run, "started", why)
    return True


def _row(store: Store, run: str) -> Mapping[str, Any] | None:
    rows = store.find(Query("runs", (Where("id", "eq", run),), ("status", "owner", "source"), limit=1)).rows
    return rows[0] if rows else None


def _judge(run: str, log: Sequence[Event], claim: Claim) -> tuple[Snapshot, RunStarted]:
    """How the run stands, if it may go on. Raises NotResumable."""
    state = fold(log)
    started = state.started
    if not log:
        raise NotResumable(run, "", "the store has no such run")
    if started is None:
        raise NotResumable(run, state.status, "its start was lost")
    if started.source:
        what = "it says what was done to the records" if started.source == AUDIT else f"it is from {started.source}"
        raise NotResumable(run, state.status, f"{what}; only what was recorded here can go on here")
    if claim.epoch is not None and claim.epoch != state.epoch:
        raise NotResumable(run, state.status, f"it was taken over meanwhile: its epoch is {state.epoch}")
    if state.status == "started":
        raise NotResumable(run, state.status, "another process was faster, and goes on with it")
    if state.status == "completed":
        raise NotResumable(run, state.status, "it is completed; what comes next is a run of its own")
    return state, started


def _bodies(state: Snapshot, claim: Claim) -> Iterator[tuple[Any, int]]:
    """What takes the run over. Steps that damage has left open are closed first, as never ended."""
    for step in sorted(state.open, key=lambda step: -step.step):
        if step.step:
            kind = {"call": "llm", "tool": "tool"}.get(step.family, step.kind)
            yield ending(kind, "abandoned", _NEVER_ENDED), step.step
    yield RunResumed(owner=claim.owner, epoch=state.epoch + 1, by=claim.by, limits=claim.limits), 0


# ---- afterwards ------------------------------------------------------------------------------------------------------


def _below(store: Store, run: str) -> Iterator[str]:
    """The runs that a run has started, at any depth."""
    seen, level = {run}, [run]
    while level:
        where = (Where("parent_run", "in", tuple(level)), Where("source", "eq", ""))
        rows = store.find(Query("runs", where, ("id",), limit=None)).rows
        level = [row["id"] for row in rows if row["id"] not in seen]
        seen.update(level)
        yield from level


def _texts(store: Store, log: Sequence[Event]) -> Mapping[bytes, bytes]:
    """What the calls and messages of the run say, where it stands in the store under its hash."""
    wanted: set[str] = set()
    room = _MESSAGES
    for event in log:
        body = event.body
        if isinstance(body, MessageAppended):
            room -= body.message.size
        content = (
            body.arguments if isinstance(body, ToolStarted)
            else body.result if isinstance(body, ToolEnded)
            else body.message if isinstance(body, MessageAppended) and room > 0
            else None
        )  # fmt: skip
        if content is not None and content.text is None and content.hash is not None and content.level != "hashed":
            wanted.add(content.hash)
    return store.fetch([hash for name in sorted(wanted) if (hash := hash_bytes(name)) is not None])
