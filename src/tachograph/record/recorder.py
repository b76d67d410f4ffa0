"""The recorder: a body becomes an event, gets its place in the run, and is in the journal before `emit` returns.

Seq and append happen under one lock, and a failed append consumes no seq. The lock is reentrant only so that a
finaliser or signal handler which interrupts an append can notice: it leaves its event in a queue, and the append that
it interrupted writes it. Nothing here raises into the program; what could not be kept is counted in `Health`.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from tachograph.errors import CodecError
from tachograph.events import codec
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.ids import execution_id, run_id, split_step_id
from tachograph.events.note import Loss
from tachograph.events.run import Failure, RunEnded, RunStarted
from tachograph.fold.steps import ending
from tachograph.limits.guard import AdmitAll, Guard
from tachograph.record.clock import SYSTEM, Clock
from tachograph.record.feed import Feed
from tachograph.record.journal import Journal
from tachograph.record.prefix import Prefix
from tachograph.record.sanitize import Limits, to_json
from tachograph.record.scrub import Scrubber
from tachograph.record.spell import text_of

if TYPE_CHECKING:
    from tachograph.fold.cost import PriceBook
    from tachograph.limits.budget import Budget
    from tachograph.limits.limit import Limits as Policy
    from tachograph.record.admit import Reach

log = logging.getLogger("tachograph")

_UNKEPT = -1
"""Generation of a run whose start could not be recorded."""
LET_GO = "let_go"
"""Why what comes too late is lost: this process has let go of the run."""
_MOST_OWED = 10_000
"""Most ends that wait for a journal that takes nothing; beyond, their runs end as abandoned with the process."""

T = TypeVar("T")
Build = Callable[[int], Sequence[tuple[Any, int | None]]]
"""First seq → (body, step) pairs; step None is the event's own seq."""

_LOSSES = ((OSError, "journal_write"), (CodecError, "encode"))


class LiveRun:
    """A run that this process records: its counters, its open steps, the messages it knows."""

    __slots__ = (
        "__weakref__", "account", "at", "ended", "execution_id", "generation", "gone", "guard", "id", "llm_calls",
        "lost", "mono", "name", "next_seq", "open", "owed", "prefix", "recorder", "session", "shift", "started",
        "tenant", "tool_calls", "trace_id",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, run: str, started: RunStarted, mono: int) -> None:
        self.id = run
        self.name, self.tenant, self.session = started.name, started.tenant, started.session
        self.account: str | None = None
        """What limits of its session count it by: the session's id, told apart also where it looks like a secret."""
        self.execution_id = started.execution_id
        self.trace_id = started.trace_id or run.replace("-", "")
        self.recorder, self.generation = recorder, recorder.generation
        self.started = mono
        self.at, self.mono = 0, mono
        """When its last event was recorded: UTC and monotonic nanoseconds."""
        self.next_seq = 0
        self.open: dict[int, str] = {}
        self.prefix = Prefix()
        self.llm_calls = self.tool_calls = 0
        self.lost = 0
        self.owed = 0
        """Ends that could not be written yet; they keep their order."""
        self.ended = False
        self.gone = False
        """This process has let go of it: it waits for a person, or goes on as another's. Nothing more is recorded."""
        self.shift = 0
        """Its own monotonic clock minus that of this process: not 0 where it was begun by another."""
        self.guard: Budget | None = None
        """What bounds it; None: nothing but the recorder's own guard."""

    @property
    def kept(self) -> bool:
        """Whether its start was recorded. One that is bounded is followed all the same."""
        return self.generation >= 0

    def is_of(self, recorder: Recorder) -> bool:
        """Whether this recorder, in this process, may write into the run: a fork or another recorder may not."""
        return self.recorder is recorder and self.generation == recorder.generation


class Health:
    """What the recorder did and what it could not do, since the process began. All counts are exact."""

    __slots__ = ("faults", "lost", "shed")

    def __init__(self) -> None:
        self.shed = 0
        """Contents dropped because the journal was nearly full; their events were kept."""
        self.lost: Counter[str] = Counter()
        """Events that could not be kept, by reason."""
        self.faults: Counter[str] = Counter()
        """Failures of our own that were kept from the program, by place and type."""


class Recorder:
    """Writes events of this process's runs into its journal."""

    def __init__(
        self,
        journal: Callable[[], Journal],
        scrubber: Scrubber,
        *,
        guard: Guard | None = None,
        clock: Clock = SYSTEM,
        limits: Limits | None = None,
        pending: bool = False,
        sync_effects: bool = False,
    ) -> None:
        self._open_journal = journal
        self.journal = journal()
        self.scrubber = scrubber
        self.guard: Guard = guard or AdmitAll()
        self.clock = clock
        self._now, self._mono, _ = clock
        self.limits = limits or Limits()
        self.pending = pending
        self.sync_effects = sync_effects
        self.feed = Feed()
        self.health = Health()
        self.recorded = 0
        """Events in the journal since the process began."""
        self.generation = 0
        self.on_activity: Callable[[], None] | None = None
        """Called once before the first event of this process: the worker starts here."""
        self.policy: Policy | None = None
        """Limits of each run that nothing in this process started and that states none."""
        self.prices: Callable[[], PriceBook] | None = None
        """What calls cost here; None: nobody has said."""
        self.open_budget: Callable[[Policy | None, Budget | None, LiveRun], Budget] | None = None
        """(limits, the budget above, the run) → what bounds the run; None: nothing can."""
        self.reach: Callable[[], Reach] | None = None
        """Opens the store that this records into; None: nobody has said where that is."""
        self._runs: dict[str, LiveRun] = {}
        self._over: WeakValueDictionary[str, LiveRun] = WeakValueDictionary()
        """Runs that have ended, as long as somebody could still say something of them."""
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self.admission = threading.Lock()
        """Held while a guard is asked and the answer is counted."""
        self._busy = False
        self._late: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.late = False
        """Whether finalisers or signal handlers have left something to do."""
        self._quiet = True
        self._closed = False
        self._leaving = False
        self._owed: deque[tuple[LiveRun, Build]] = deque()

    # ---- runs and steps -------------------------------------------------------------------------------------------

    def start_run(
        self,
        fill: Callable[[str, str, str, int], RunStarted],
        limits: Policy | None = None,
        above: Budget | None = None,
        account: str | None = None,
    ) -> LiveRun | None:
        """Begin a run. `fill(run id, execution id, owner, now)` gives its start event. None if it could not be kept.

        A run that is bounded, by limits or by what is above it, is begun even if it could not be kept: then nothing of
        it is recorded, and its limits hold.
        """
        limits = self._within(limits, above)
        bounded = (limits or above) is not None and self.open_budget is not None
        if self._leaving and not bounded:
            return None
        if self._quiet:
            self._wake()
        if self.late and not self._busy:
            self.settle_late()
        now, mono = self.clock.now(), self.clock.mono()
        run = run_id(now, self.clock.entropy(6))
        body = fill(run, execution_id(now, run), self.journal.owner.journal, now)
        live = LiveRun(self, run, body, mono)
        live.account = account
        live.prefix.measured = bounded or type(self.guard) is not AdmitAll
        if bounded and self.open_budget is not None:
            live.guard = self.open_budget(limits, above, live)
        if not self._leaving and self.start(live, body, "run") is not None:
            self._runs[run] = live
            return live
        live.generation = _UNKEPT
        return live if bounded else None

    def _within(self, limits: Policy | None, above: Budget | None) -> Policy | None:
        if above is not None or self.policy is None:
            return limits
        return self.policy if limits is None else limits.within(self.policy)

    def ready(self) -> str:
        """The journal of this process, which is there from now on: a run can belong to it. Raises OSError."""
        if self._quiet:
            self._wake()
        with self._lock:
            self.journal.claim(self._now())
        return self.journal.owner.journal

    def let_go(self, run: str) -> LiveRun | None:
        """Record nothing more in a run that has ended here: it is to go on. None if there was nothing to let go of."""
        with self._lock:
            former = self._over.get(run)
            if former is None or former.gone or former.owed:
                return None
            former.gone = True
        return former

    def go_on(self, run: LiveRun, limits: Policy | None, above: Budget | None) -> None:
        """A run that was taken over is open here from now on, within these limits."""
        limits = self._within(limits, above)
        if self.open_budget is not None and (limits or above) is not None:
            run.guard = self.open_budget(limits, above, run)
        run.prefix.measured = run.guard is not None or type(self.guard) is not AdmitAll
        run.open[0] = "run"
        self._runs[run.id] = run

    def find(self, step: str) -> tuple[LiveRun, int] | None:
        """The run and number of the step with this id, if its run is open in this process; else None."""
        try:
            name, number = split_step_id(step)
        except ValueError:
            return None
        run = self._runs.get(name)
        return None if run is None or run.ended or number >= run.next_seq else (run, number)

    def start(self, run: LiveRun, body: Any, kind: str) -> int | None:
        """Record a start event; its seq is the step's number. None if it could not be kept."""
        number = self.write(run, lambda seq: ((body, None),), starts=True)
        if number is not None:
            self.opened(run, number, kind)
        return number

    def opened(self, run: LiveRun, step: int, kind: str) -> None:
        """A start was recorded: from now on the step owes an end."""
        run.open[step] = kind
        if self.sync_effects:
            self._sync()

    def end(self, run: LiveRun, step: int, body: Any) -> bool:
        """Record the end of a step, once: False when it had ended already."""
        if not self.claim(run, step):
            return False
        self.finish(run, lambda seq: ((body, step),))
        return True

    def claim(self, run: LiveRun, step: int) -> bool:
        """Whether the caller may write the end of this step: true for one caller only."""
        return run.is_of(self) and run.open.pop(step, None) is not None

    def finish(self, run: LiveRun, build: Build) -> int | None:
        """Record an end; one that cannot be written now is written as soon as it can be, in its order."""
        first = None if run.owed else self.write(run, build, owed=True)
        if first is None and not (self._closed or run.gone) and len(self._owed) < _MOST_OWED:
            run.owed += 1
            self._owed.append((run, build))
        return first

    def pay(self) -> None:
        """Write the ends that are owed, oldest first, until one cannot be written."""
        while self._owed:
            run, build = self._owed[0]
            if self.write(run, build, owed=True) is None:
                return
            run.owed -= 1
            self._owed.popleft()

    def end_run(self, run: LiveRun, body: RunEnded) -> None:
        """End a run; steps that are still open are closed first, innermost first: cancelled or paused, or abandoned.

        Of a run that is paused this process lets go: any may take it up.
        """
        status = body.status if body.status in ("cancelled", "paused") else "abandoned"
        why = None if status == "paused" else Failure("RunEnded", "the run ended while this step was open")
        run.ended = True
        self.close_steps(run, why, status)
        if self.end(run, 0, body):
            self._runs.pop(run.id, None)
            self._over[run.id] = run
            run.prefix.forget()
            run.gone = body.status == "paused" and not run.owed

    def close_steps(self, run: LiveRun, why: Failure | None, status: Any) -> None:
        """End every open step of a run but the run itself."""
        for step in sorted(run.open, reverse=True):
            if step:
                self.end(run, step, ending(run.open.get(step, "custom"), status, why))

    def close_runs(self, why: Failure, status: Any, stop_reason: str) -> None:
        """End every run of this process and all their steps, and begin no other: the process is about to go."""
        self._leaving = True
        for run in list(self._runs.values()):
            self.close_steps(run, why, status)
            self.end_run(run, RunEnded(status=status, stop_reason=stop_reason, error=why))

    # ---- events ---------------------------------------------------------------------------------------------------

    def emit(self, run: LiveRun, body: Any, step: int) -> int | None:
        """Record one body. Its seq, or None when it could not be kept (counted)."""
        return self.write(run, lambda seq: ((body, step),))

    def write(self, run: LiveRun, build: Build, *, starts: bool = False, owed: bool = False) -> int | None:
        """Record what `build(first seq)` gives, all of it or nothing. The first seq, or None (counted).

        One record, one clock reading, one lock: a call's new messages and its start travel together. What `starts`
        something is not recorded in a run that has ended, or from inside an append: nothing would ever end it. What is
        `owed` is no loss when it fails, since it will be tried again.
        """
        if not run.is_of(self):
            return None
        with self._lock:
            if self._busy:
                self._postpone(run, build, starts=starts)
                return None
            if run.gone:
                self.lose(LET_GO, None)
            if run.gone or (starts and run.ended):
                return None
            self._busy = True
            try:
                if run.lost:
                    self._admit_loss(run)
                first = self._append(run, build)
            except Exception as problem:  # noqa: BLE001 - rule: nothing of ours reaches the program; it is counted
                first = None
                if not owed:
                    run.lost += 1
                    self.lose(next((why for kind, why in _LOSSES if isinstance(problem, kind)), "fault"), problem)
            finally:
                self._busy = False
        # Not under the lock: what was left there may call the program's own code.
        if self.late:
            self.settle_late()
        return first

    def _append(self, run: LiveRun, build: Build) -> int:
        first = run.next_seq
        now, mono, name = self._now(), self._mono(), run.id
        lived = mono + run.shift
        events = [
            Event(name, seq, now, lived, seq if step is None else step, body)
            for seq, (body, step) in enumerate(build(first), first)
        ]
        data = codec.encode_all(events)
        # Taken before the append: an interrupt in between leaves a hole, which is seen, and never a seq used twice.
        run.next_seq = first + len(events)
        try:
            self.journal.append(data, now)
        except Exception:
            run.next_seq = first
            raise
        run.at, run.mono = now, mono
        self.recorded += len(events)
        feed = self.feed
        if feed.subscriptions or feed.listeners:
            feed.publish(events)
        return first

    def _postpone(self, run: LiveRun, build: Build, *, starts: bool) -> None:
        if starts:
            run.lost += 1
            self.lose("started_inside_an_append", None)
        else:
            self.later(lambda: self.write(run, build))

    def _admit_loss(self, run: LiveRun) -> None:
        body, mono = Loss(reason="not_recorded", events=run.lost), self._mono() + run.shift
        event = Event(run.id, run.next_seq, self._now(), mono, 0, body)
        self.journal.append(codec.encode_all([event]), event.at)
        run.next_seq += 1
        run.lost = 0
        self.recorded += 1
        self.feed.publish([event])

    def later(self, action: Callable[[], object]) -> None:
        """Leave an action for the next step or the worker: for finalisers and signal handlers."""
        self._late.put(action)
        self.late = True

    def settle_late(self) -> None:
        """Do what finalisers and signal handlers left."""
        self.late = False
        while True:
            try:
                action = self._late.get_nowait()
            except Empty:
                return
            action()

    # ---- content --------------------------------------------------------------------------------------------------

    def content(self, value: object) -> Content:
        """Any object as recorded content: sanitised, and scrubbed unless the drain does that."""
        clean = to_json(value, self.limits)
        if self.journal.pressed:
            self.health.shed += 1
            return Content(size=len(clean.text), level="none", marks=("shed",))
        if self.pending:
            return Content(
                text=clean.text, size=len(clean.text), full_size=clean.full_size, marks=clean.marks, level="pending"
            )
        return self.scrubber.capture(clean.text, full_size=clean.full_size, marks=clean.marks)

    def plain(self, text: object) -> str:
        """A short text (name, id, tag, error) with secrets masked; anything else as its text."""
        return self.scrubber.plain(text if isinstance(text, str) else text_of(text))

    def word(self, text: object) -> str | None:
        """A short text that may be missing."""
        return None if text is None else self.plain(text)

    def words(self, texts: Mapping[str, object] | None) -> Mapping[str, str] | None:
        """Named short texts that may be missing."""
        return {self.plain(name): self.plain(text) for name, text in texts.items()} if texts else None

    # ---- failures -------------------------------------------------------------------------------------------------

    def lose(self, reason: str, problem: BaseException | None) -> None:
        """Count an event that could not be kept; the first of each reason is logged."""
        self.health.lost[reason] += 1
        if self.health.lost[reason] == 1:
            log.warning("event not recorded (%s): %s; see `tachograph doctor`", reason, problem)

    def fault(self, place: str, problem: BaseException) -> None:
        """Count a failure of our own that was kept from the program; the first of each kind is logged."""
        key = f"{place}:{type(problem).__name__}"
        self.health.faults[key] += 1
        if self.health.faults[key] == 1:
            log.warning("recorder fault in %s: %r; the program is not affected", place, problem)

    def _sync(self) -> None:
        try:
            with self._lock:
                self.journal.sync()
        except (OSError, ValueError) as problem:
            self.fault("sync", problem)

    # ---- life -----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._lock:
            first, self._quiet = self._quiet, False
        if first and self.on_activity is not None:
            try:
                self.on_activity()
            except Exception as problem:  # noqa: BLE001 - a worker that cannot start must not stop the program
                self.fault("worker", problem)

    def locked(self, action: Callable[[], T]) -> T | None:
        """Run an action on the journal under the lock (heartbeat, spare segment); None when it failed (counted)."""
        try:
            with self._lock:
                return action()
        except Exception as problem:  # noqa: BLE001 - housekeeping failures are counted, never raised
            self.fault("journal", problem)
            return None

    def after_fork(self) -> None:
        """In a forked child: new locks, a journal of its own; runs of the parent stay the parent's."""
        self.generation += 1
        for live in self._runs.values():
            live.prefix.after_fork()
            if live.guard is not None:
                live.guard.after_fork()
        self.journal.forsake()
        self.journal = self._open_journal()
        self._runs.clear()
        self.feed = Feed()
        self.health = Health()
        self.recorded = 0
        self._reset()

    def close(self) -> None:
        """Leave the journal in good order."""
        self.settle_late()
        self.pay()
        self._closed = True
        with self._lock:
            self.journal.close()
