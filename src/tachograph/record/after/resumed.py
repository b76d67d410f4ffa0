"""A run that goes on: entered like a new one, it is the old one, with its id, its place and what it has used.

with resumed(run_id, limits="40 turns") as run:       # raises NotResumable: then nothing has happened
    ...                                               # steps, notes and runs below it, as in any run
    run.output = answer
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import replace

from tachograph.errors import NotResumable, StoreUnavailable
from tachograph.events import chat
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.ids import step_id
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunEnded, RunStarted
from tachograph.record import scope
from tachograph.record.after.append import lived
from tachograph.record.after.take import Claim, Taken, take
from tachograph.record.door import Recorded
from tachograph.record.intent import Trigger
from tachograph.record.prefix import Prefix, key_of
from tachograph.record.recorder import LiveRun, Recorder
from tachograph.record.run import Run, stated
from tachograph.store.changes import hash_bytes

if TYPE_CHECKING:
    import asyncio

    from tachograph.limits.limit import Limits

SECONDS = 10.0
"""How long to wait for what is on its way to the store."""


class Resumed(Run):
    """A run that was taken over. Once entered it is like any other; `trigger` is what its start said."""

    log: Sequence[Event] = ()
    """Its events as they were when it was taken over, and those that took it over; known once that is done."""
    epoch: int | None = None
    """Which time this is: 1 for the first. Before it is taken over, the epoch it is expected to be of."""

    def __init__(
        self,
        run: Recorded | str | None,
        limits: Limits | None = None,
        *,
        epoch: int | None = None,
        by: str | None = None,
        below: Recorded | str | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._wanted = (run.run_id if isinstance(run, Recorded) else run) or ""
        super().__init__(Trigger(self._wanted), below, limits)
        self.epoch = epoch
        self._by, self._seconds = by, seconds
        self._started: RunStarted | None = None

    @property
    def parent_id(self) -> str | None:
        """Id of the step it belongs below, as its start says."""
        start = self._started
        return None if start is None or start.parent_run is None else step_id(start.parent_run, start.parent_step or 0)

    def take(self) -> None:
        """Take the run over now, before it is entered: from then on it is open here, and must be entered and left.

        It waits for the store, so asyncio programs do it in a thread, or leave it to `async with`. Raises
        NotResumable and StoreError; then nothing has happened.
        """
        if self._live is not None:
            return
        recorder = self._recorder = self.source()
        if recorder is None or recorder.reach is None:
            raise NotResumable(self._wanted, "", "nothing is recorded here")
        if recorder.find(self._wanted) is not None:
            raise NotResumable(self._wanted, "started", "it goes on in this very process")
        former = recorder.let_go(self._wanted)
        try:
            taken = self._taken(recorder)
        except BaseException as problem:
            # It stays over: whoever has it may still say something of it. Unless it goes on elsewhere.
            if former is not None and getattr(problem, "status", "") != "started":
                former.gone = recorder.find(self._wanted) is not None
            raise
        self._go_on(recorder, taken)

    def enter(self, caller: FrameType | None) -> None:
        """Go on, in the frame of whoever is inside it. Raises as `take`."""
        self.take()
        assert self._live is not None
        self._scope = scope.enter(self._live, 0, caller, surrounds=self.surrounds)

    async def __aenter__(self) -> Self:
        """The same as `with`; the store is waited for in a thread. If that is called off, the run ends as cancelled."""
        if self._live is None:
            import asyncio  # noqa: PLC0415 - only programs that use it load it

            taking = asyncio.ensure_future(asyncio.to_thread(self.take))
            try:
                await asyncio.shield(taking)
            except asyncio.CancelledError:
                taking.add_done_callback(self._give_back)
                raise
        self.enter(sys._getframe(1))  # noqa: SLF001 - as in the door
        return self

    def fetch(self, hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Contents that its log names by hash, from the store. Raises StoreError."""
        recorder = self._recorder
        if recorder is None or recorder.reach is None:
            raise NotResumable(self._wanted, "", "nothing is recorded here")
        store = recorder.reach().store
        try:
            return store.fetch(hashes)
        finally:
            store.close()

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _again(self) -> Resumed:
        again = Resumed(
            self._wanted, self.limits, epoch=self.epoch, by=self._by, below=self.below, seconds=self._seconds
        )
        again.source = self.source
        return again

    def _taken(self, recorder: Recorder) -> Taken:
        assert recorder.reach is not None
        try:
            owner = recorder.ready()
        except OSError as problem:
            raise StoreUnavailable(str(recorder.journal.folder), str(problem)) from problem
        limits = None if self.limits is None else recorder.content(_in_words(self.limits))
        claim = Claim(owner, self.epoch, recorder.word(self._by), limits)
        reach = recorder.reach()
        try:
            return take(reach, self._wanted, claim, recorder.clock, self._seconds)
        finally:
            reach.store.close()

    def _go_on(self, recorder: Recorder, taken: Taken) -> None:
        """The run as it was, open in this process."""
        started, now = taken.started, recorder.clock.mono()
        self._started, self.epoch, self.log = started, taken.state.epoch, taken.log
        self.trigger = _trigger(started)
        live = LiveRun(recorder, self._wanted, started, now - taken.past.ran_ns)
        live.account = None if started.session is None else recorder.scrubber.named(started.session)
        live.next_seq = len(taken.log)
        live.shift = lived(taken.log, recorder.clock.now()) - now
        live.at, live.mono = taken.log[-1].at, now
        live.llm_calls = taken.past.counts.get("max_llm_calls", 0)
        live.tool_calls = taken.past.counts.get("max_tool_calls", 0)
        place = self._place(recorder)
        recorder.go_on(live, self.limits, None if place is None else place[0].guard)
        self._live = self._run = live
        self._number = 0
        try:
            _know(live, taken)
        except Exception as problem:  # noqa: BLE001 - a run that was taken over goes on; what it knows less is counted
            recorder.fault("resume", problem)
        recorder.feed.publish(taken.log[len(taken.log) - taken.new :])

    def _give_back(self, taking: asyncio.Future[None]) -> None:
        if not taking.cancelled() and taking.exception() is None and self._live is not None:
            self._live.recorder.end_run(self._live, RunEnded(status="cancelled", stop_reason="user_cancel"))


def resumed(
    run: Recorded | str | None,
    *,
    limits: Limits | str | None = None,
    epoch: int | None = None,
    by: str | None = None,
    below: Recorded | str | None = None,
    seconds: float = SECONDS,
) -> Resumed:
    """A run, by its id, to go on with: as context manager, plain or async, where `run(…)` begins a new one.

    One that failed, was cancelled or abandoned, or is paused, goes on under the same id: numbers continue, the epoch is
    one higher, and this process owns it. `limits` hold over the whole of it, what it has used before included, and
    count instead of those it had; without any it is bounded as a new run would be. `by` is who wanted it, `epoch` the
    one it is expected to be of, for who has read it before. `below` is a run or step that is open here and whose limits
    bound it too. It waits at most `seconds` for what is still on its way to the store.

    Entering raises NotResumable when the run is unknown, completed, imported, of another epoch, or goes on elsewhere,
    and StoreError when the store cannot be asked: one behind `https:` cannot. Then nothing has happened.
    """
    return Resumed(run, stated(limits), epoch=epoch, by=by, below=below, seconds=seconds)


def _in_words(limits: Limits) -> str:
    from tachograph.limits.text import spell  # noqa: PLC0415 - only who states limits needs their words

    return spell(limits) or "the default limits"


def _trigger(started: RunStarted) -> Trigger:
    """What began the run, as far as its start says."""
    names = Trigger.__struct_fields__
    same = {name: getattr(started, name) for name in RunStarted.__struct_fields__ if name in names}
    return Trigger(**{**same, "metadata": None, "input": None})


def _know(live: LiveRun, taken: Taken) -> None:
    """What the run has used and said before counts, and need not be said again."""
    if live.guard is not None:
        from tachograph.limits.history import of_events  # noqa: PLC0415 - only what is bounded needs it

        local = (replace(event, mono=event.mono - live.shift) for event in taken.log)
        detector = of_events(local, lambda hashes: taken.texts, live.guard.limits.loops)
        live.guard.go_on(taken.past, detector)
    _remember(live.prefix, taken)


def _remember(prefix: Prefix, taken: Taken) -> None:
    """The messages that are recorded, in each form in which they may be sent again."""
    for event in taken.log:
        body = event.body
        if isinstance(body, MessageAppended) and not body.ephemeral:
            for key in _keys(body.message, taken.texts):
                prefix.learn(key, event.seq, body.parent, body.message.size)


def _keys(content: Content, texts: Mapping[bytes, bytes]) -> Iterator[Any]:
    text: str | bytes | None = content.text
    if text is None:
        text = texts.get(hash_bytes(content.hash) or b"")
    if text is None or content.full_size is not None:
        return
    value = msgspec.json.decode(text)
    yield key_of(value)
    if isinstance(value, dict):
        with contextlib.suppress(ValueError):  # no message of ours
            if (message := chat.read(value)).plain() == value:
                yield message
