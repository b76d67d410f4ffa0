"""The state of a run, and of a session, after any number of its events.

`RunState` takes events one by one; at every k it equals the fold of `events[:k]`, whatever k is and whatever the events
are: unknown types pass, gaps are counted, an event seen before changes nothing. `Snapshot` is that state as a value:
with the position in the log (`seq`) it is all that going on needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tachograph.errors import CodecError
from tachograph.events.call import CallStarted
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss
from tachograph.events.run import Failure, RunEnded, RunResumed, RunStarted, Status, StepStarted
from tachograph.events.tool import ToolStarted
from tachograph.events.usage import Usage
from tachograph.fold.steps import Open
from tachograph.fold.totals import Tally, Totals

SNAPSHOT_VERSION = 3
"""Raised when a snapshot changes its meaning. Older ones are not lifted: the log gives the state again."""


class Hit(Struct, frozen=True, omit_defaults=True):
    """A limit that was reached, however often: the last time counts."""

    count: int
    seq: int
    """Event of the last time."""
    used: float = 0
    threshold: float = 0


class Snapshot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """State of one run after the event `seq`."""

    version: int = SNAPSHOT_VERSION
    run: str = ""
    seq: int = -1
    """Last event seen; -1 before the first."""
    gaps: int = 0
    """Events before `seq` that were never seen."""
    began_at: int | None = None
    at: int | None = None
    """UTC nanoseconds of the last event."""
    started: RunStarted | None = None
    owner: str = ""
    """The journal (process) that the run belongs to now."""
    epoch: int = 0
    """How often the run was taken over."""
    status: Status = "started"
    stop_reason: str = ""
    error: Failure | None = None
    iteration: int | None = None
    """Number of the iteration that began last, as its events say it; None when they do not say."""
    totals: Totals = Totals()
    open: tuple[Open, ...] = ()
    """Steps that have not ended, outermost first; the run itself is step 0."""
    root: Open | None = None
    """The run as it began, also when it has ended: it may go on."""
    costs: tuple[tuple[int, str, int], ...] = ()
    """Ended attempts with their price: step, state, nano-USD."""
    usages: tuple[tuple[int, Usage], ...] = ()
    """Ended attempts with what they used, so that a later figure can replace it."""
    tips: tuple[int, ...] = ()
    """Messages that no other follows yet, oldest first."""
    limits: Mapping[str, Hit] = {}
    """`scope/metric/mode` → the limits reached."""
    lost: int = 0
    """Events that the run's writers say they could not record."""

    @property
    def ended(self) -> bool:
        """Whether the run has reached its outcome. A paused run has not."""
        return self.status not in ("started", "paused")


class RunState:
    """The state of one run, growing with its events. Begins empty, or where a snapshot stood."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self._at = snapshot or Snapshot()
        costs = {step: (state, cost) for step, state, cost in self._at.costs}
        usages = dict(self._at.usages)
        self._tally = Tally(self._at.totals, self._at.open, costs, usages, self._at.seq, self._at.root)
        self._tips = dict.fromkeys(self._at.tips)
        self._limits = dict(self._at.limits)

    @property
    def seq(self) -> int:
        """Last event seen; -1 before the first."""
        return self._tally.seq

    @property
    def status(self) -> Status:
        """How the run stands."""
        return self._at.status

    @property
    def stop_reason(self) -> str:
        """Why it ended; empty while it goes on."""
        return self._at.stop_reason

    @property
    def began_at(self) -> int | None:
        """UTC nanoseconds of the first event; None before it."""
        return self._at.began_at

    @property
    def at(self) -> int | None:
        """UTC nanoseconds of the last event; None before the first."""
        return self._at.at

    @property
    def open(self) -> Mapping[int, Open]:
        """Steps that have not ended, by step."""
        return self._tally.open

    @property
    def totals(self) -> Totals:
        """What the run adds up to so far."""
        return self._tally.totals()

    def snapshot(self) -> Snapshot:
        """The whole state as a value."""
        return replace(
            self._at,
            totals=self._tally.totals(),
            open=tuple(self._tally.open.values()),
            root=self._tally.root,
            costs=tuple((step, state, cost) for step, (state, cost) in self._tally.costs.items()),
            usages=tuple(self._tally.usages.items()),
            tips=tuple(self._tips),
            limits=dict(self._limits),
        )

    def apply(self, event: Event) -> bool:
        """Take in one event; False for one that was seen before. Raises ValueError for an event of another run."""
        now = self._at
        if now.run not in ("", event.run):
            raise ValueError(f"event of run {event.run} in the state of run {now.run}")
        if not self._tally.apply(event):
            return False
        self._at = replace(
            now,
            run=event.run,
            seq=event.seq,
            gaps=now.gaps + event.seq - now.seq - 1,
            began_at=event.at if now.began_at is None else now.began_at,
            at=event.at,
        )
        self._note(event)
        return True

    def _note(self, event: Event) -> None:
        """What an event says beyond its place in the order and beyond the totals."""
        match event.body:
            case RunStarted() as body if self._at.started is None:
                self._at = replace(self._at, started=body, owner=body.owner, epoch=body.epoch)
            case RunEnded(status=status, stop_reason=reason, error=error) if self._at.status == "started":
                self._at = replace(self._at, status=status, stop_reason=reason, error=error)
            case RunResumed(owner=owner, epoch=epoch):
                self._at = replace(
                    self._at, status="started", stop_reason="", error=None, owner=owner, epoch=epoch
                )  # fmt: skip
            case StepStarted() | CallStarted() | ToolStarted() as body if body.iteration is not None:
                self._at = replace(self._at, iteration=body.iteration)
            case MessageAppended(parent=parent, ephemeral=False):
                if parent is not None:
                    self._tips.pop(parent, None)
                self._tips[event.seq] = None
            case LimitHit() as body:
                key = f"{body.scope}/{body.metric}/{body.mode}"
                count = self._limits[key].count if key in self._limits else 0
                self._limits[key] = Hit(count + 1, event.seq, body.used, body.threshold)
            case Loss(events=lost):
                self._at = replace(self._at, lost=self._at.lost + lost)


def fold(events: Iterable[Event]) -> Snapshot:
    """The state after these events of one run, in order."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state.snapshot()


def to_json(snapshot: Snapshot) -> bytes:
    """A snapshot as JSON."""
    return msgspec.json.encode(snapshot)


def from_json(data: bytes | str) -> Snapshot:
    """A snapshot from its JSON. Raises CodecError for anything else, and for a snapshot of another version."""
    try:
        snapshot = msgspec.json.decode(data, type=Snapshot)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise CodecError(f"no snapshot: {problem}") from problem
    if snapshot.version != SNAPSHOT_VERSION:
        raise CodecError(f"snapshot of version {snapshot.version}, this version reads {SNAPSHOT_VERSION}: fold the log")
    return snapshot


class SessionState:
    """The state of a session: the runs that belong to it, growing with their events in any interleaving."""

    def __init__(self) -> None:
        self.runs: dict[str, RunState] = {}
        """Every run by its id, in the order they were first seen."""

    def apply(self, event: Event) -> bool:
        """Take in one event of one of the session's runs; False for one that was seen before."""
        return self.runs.setdefault(event.run, RunState()).apply(event)

    @property
    def status(self) -> Literal["active", "handed_off"]:
        """`handed_off` while the run that began last gave the conversation to a person.

        That a session is closed is said by whoever closes it; no event of a run does.
        """
        last = max(self.runs.values(), key=lambda run: (run.began_at or 0, run.seq), default=None)
        return "handed_off" if last is not None and last.stop_reason == "human_handoff" else "active"

    @property
    def totals(self) -> Totals:
        """What all its runs add up to."""
        return sum((run.totals for run in self.runs.values()), Totals())

    @property
    def at(self) -> int | None:
        """UTC nanoseconds of the latest event; None before the first."""
        return max((run.at for run in self.runs.values() if run.at is not None), default=None)
