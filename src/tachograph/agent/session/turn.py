"""One turn of a session: the lease is held, what was said is read, a run is made of it, and what it added is committed.

What is committed is a point of the log. The run records how its conversation stands right before it ends, so the point
is there as soon as the run is in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple, Self

from msgspec import structs

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Prompt, begin, call_of, message_of, outcome_of
from tachograph.agent.handle import Handle
from tachograph.agent.live import Live
from tachograph.agent.progress import Emitter, RunBegan
from tachograph.agent.reminders import cleaned
from tachograph.agent.run import fly
from tachograph.agent.session.history import NOWHERE, conversation, hidden, is_readable, recovered, spoken
from tachograph.agent.session.kept import state_of, storable
from tachograph.agent.session.terms import Terms
from tachograph.agent.session.waiting import taken
from tachograph.agent.state import End, Ended, advance
from tachograph.agent.team.dialogues import Team
from tachograph.errors import LimitExceeded, SessionBusy, SessionConflict, SettingsError, StoreError
from tachograph.events.chat import Message
from tachograph.record.run import run
from tachograph.store.sessions.head import Changes, Fate, Head, Lease, Point

FLUSH_SECONDS = 2.0
"""Most that a commit waits until what was said is in the store; another process waits for the rest when it reads."""
_OURS = ("history", "session", "tenant", "closing")
"""Keywords of a call that a turn gives."""
_inside: ContextVar[tuple[Turn, ...]] = ContextVar("tachograph_turns", default=())
"""The turns that the caller is inside of, or was when it was begun."""
log = logging.getLogger("tachograph.session")


class _Said(NamedTuple):
    """How a conversation stood when its run ended."""

    messages: tuple[Message, ...]
    point: Point


class Turn:
    """See `Session.turn`. Use as `async with`, from one event loop."""

    head: Head
    """Where the session stood when the turn began; after a commit, as it stands."""
    history: tuple[Message, ...] = ()
    """What was said, without instructions."""
    state: dict[str, Any]
    """The session's own state."""
    epoch = 0

    def __init__(
        self, session: Terms, *, supersede: bool = False, history: Sequence[Message] | None = None
    ) -> None:  # fmt: skip
        self.session, self.key, self.lasts = session, session.key, int(session.lease * 1e9)
        self.team = Team()
        """What was said to delegates; it is the session's when the turn is committed."""
        self.fate: Fate = "held"
        """What became of the lease."""
        self.over = False
        self._supersede = supersede
        self._given = None if history is None else tuple(history)
        self._telling = threading.Lock()
        self._handle: Handle[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._said: dict[str, _Said] = {}
        """By run."""
        self._inherited: tuple[str, ...] = ()
        """Runs of dead writers that stand in the history, until a commit makes them part of it."""
        self._upgraded = False

    @property
    def agent(self) -> str | None:
        """Name of the agent who speaks next; None when nobody has spoken."""
        return self.head.agent

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of tools whose arguments are masked in the history."""
        return hidden(self.history)

    # ---- beginning and ending -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Take the lease and read what was said. Raises SessionError, StoreError."""
        self._loop = asyncio.get_running_loop()
        if any(turn.key == self.key and not turn.over for turn in _inside.get()):
            raise SessionBusy(self.key[1], "the turn that this is inside of", 0.0)
        found = await taken(self.session, self.key, supersede=self._supersede)
        self.head, self.epoch = found.head, found.head.epoch
        self._inherited = found.head.unfinished if self.session.recover else ()
        self.session.local.beat.hold(self)
        try:
            self.state = state_of(self.head, self.session.state_version, self.session.upgrade)
            self._upgraded = self.state is not self.head.state
            self.history = await self._read(found.before) if self._given is None else self._given
            if self.head.history is not None:
                self.team = self.session.team.copy()
        except BaseException:
            self._leave()
            raise
        _inside.set((*_inside.get(), self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back. What was not committed is no part of the session."""
        _inside.set(tuple(turn for turn in _inside.get() if turn is not self))
        self._leave()

    def told(self, fate: Fate) -> None:
        """A newer message came, or the lease is lost: the run ends as superseded. From any thread."""
        with self._telling:
            before, self.fate = self.fate, "lost" if self.fate == "lost" else fate
        handle = self._handle
        if before == "held" and handle is not None:  # once: called off again, it could not end in good order
            with contextlib.suppress(RuntimeError):  # its event loop is gone, and the run with it
                handle.cancel("superseded")

    def lives(self) -> bool:
        """Whether its event loop does."""
        return self._loop is not None and not self._loop.is_closed()

    # ---- what happens in it ---------------------------------------------------------------------------------------

    def call(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The keywords of a call of an agent in this turn. Raises SettingsError for one that is the session's."""
        given = dict(given or {})
        for name in _OURS:
            if name in given:
                raise SettingsError(name, given[name], "left out: the session gives it")
        about = {"user": self.head.user, "platform": self.head.platform, "refs": self.head.refs or None}
        found: dict[str, Any] = {"team": self.team, **about, **given}
        own = {"session": self.session.id, "tenant": self.session.tenant, "history": self.history}
        return {**found, **own, "closing": self._closing}

    async def run(self, agent: Agent, prompt: Prompt | None, **call: Any) -> Outcome[Any]:
        """A run of the agent on this conversation; commit its outcome. Raises as `Agent.run`, and SessionConflict.

        Superseded, it ends as `cancelled`, and what it said is no part of the conversation.
        """
        return outcome_of(await self.fly(agent, prompt, call))

    async def fly(
        self, agent: Agent, prompt: Prompt | None, call: Mapping[str, Any],
        known: Callable[[Live], object] = lambda live: None,
    ) -> Live:  # fmt: skip
        """The run itself; `known` is told of it before it begins."""
        emitter = Emitter(call.get("emitter"))
        emitter.subscribe(RunBegan, self._began)
        live = begin(agent, agent.port, prompt, call_of({**self.call(call), "emitter": emitter}))
        begun = live.state.messages
        live.closing = lambda ending: self._close(ending, begun, prompt)
        known(live)

        async def work(is_known: Callable[[Live], object]) -> Live:
            is_known(live)
            return await fly(live, prompt)

        handle = self._handle = Handle(work, emitter)
        if self.fate != "held":
            handle.cancel("superseded")
        try:
            await handle.outcome()
        except asyncio.CancelledError:
            handle.cancel(live.called_off)
            await _ended(handle)
            raise
        finally:
            self._handle = None
        if live.state.end is None:  # it was called off before it began
            reason = live.called_off if self.fate == "held" else "superseded"
            live.state = advance(live.state, Ended(End("cancelled", reason)))
            self._only_said(agent, prompt)
        return live

    async def whole(
        self, agent: Agent, prompt: Prompt | None, call: Mapping[str, Any],
        known: Callable[[Live], object] = lambda live: None, *,
        speaks: Callable[[Outcome[Any]], str | None] = lambda outcome: None,
        state: Callable[[], Mapping[str, Any] | None] = lambda: None,
    ) -> Live:  # fmt: skip
        """`fly`, and what it came to committed; `speaks` says who speaks next, `state` what the state is then.

        What was said is kept also where the caller does not want to hear the rest. Raises as `fly` and `commit`.
        """
        begun: list[Live] = []

        def is_known(live: Live) -> None:
            begun.append(live)
            known(live)

        try:
            live = await self.fly(agent, prompt, call, is_known)
        except (asyncio.CancelledError, LimitExceeded):
            if begun:
                self._keep_broken(outcome_of(begun[0]), speaks)
            raise
        outcome = outcome_of(live)
        try:
            await self.commit(outcome, agent=speaks(outcome), state=state())
        except SessionConflict:
            if outcome.stop_reason != "superseded":
                raise
        return live

    async def commit(
        self, outcome: Outcome[Any], *, agent: str | None = None, state: Mapping[str, Any] | None = None
    ) -> Head:
        """Make what this outcome's run has said part of the session, with who speaks next and the state.

        Of a superseded run only what the user said stays. One that said nothing leaves the history where it was, and so
        does one that is paused: it is not over, and who speaks next is not decided. Raises SessionConflict when the
        lease was lost: then nothing was written. Raises StoreUnavailable, SettingsError.
        """
        said = self._said.get(outcome.run_id or "")
        if said is not None and said.point != NOWHERE and is_readable(self.session.system):
            try:
                await asyncio.to_thread(self.session.system.worker.flush, FLUSH_SECONDS)
            except asyncio.CancelledError:
                self.keep(outcome, agent=agent, state=state)
                raise
        return self.keep(outcome, agent=agent, state=state)

    def keep(
        self, outcome: Outcome[Any], *, agent: str | None = None, state: Mapping[str, Any] | None = None
    ) -> Head:  # fmt: skip
        """`commit` without waiting for the store."""
        said = self._said.pop(outcome.run_id or "", None)
        superseded = outcome.stop_reason == "superseded"
        changes: dict[str, Any] = {} if said is None else {"history": said.point}
        if not superseded:
            if outcome.status != "paused":
                changes["agent"] = agent or outcome.agent or self.head.agent
            if outcome.stop_reason == "human_handoff":
                changes["status"] = "handed_off"
            if state is not None or self._upgraded:
                self.state = self.state if state is None else storable(state)
                changes |= {"state": self.state, "state_version": self.session.state_version}
        # What a paused run says when it goes on belongs to the session: its log is read again before the next turn.
        waits = (outcome.run_id,) if outcome.status == "paused" and outcome.run_id else ()
        head = self._committed(Changes(**changes), said, waits)
        if not superseded:
            self.session.team = self.team
        return head

    # ---- how it is done -------------------------------------------------------------------------------------------

    def _keep_broken(self, outcome: Outcome[Any], speaks: Callable[[Outcome[Any]], str | None]) -> None:
        try:
            self.keep(outcome, agent=speaks(outcome))
        except Exception as problem:  # noqa: BLE001 - the caller is told what broke it off
            log.warning("session %s: what was said until it was broken off is not kept: %s", self.key[1], problem)

    async def _read(self, before: Lease | None) -> tuple[Message, ...]:
        session, accept = self.session, self.session.accept_missing
        said = session.local.said(self.head)
        if said is None:
            said = await asyncio.to_thread(conversation, session.system, self.head, accept=accept)
        if self.head.unfinished and session.recover:
            said = await asyncio.to_thread(recovered, session.system, self.head, before, said, accept=accept)
        return said

    def _leave(self) -> None:
        self.over = True
        self.session.local.beat.drop(self)
        try:
            self.session.local.heads.release(self.key, self.epoch, self._inherited)
        except StoreError as problem:  # it ends by its time
            log.warning("session %s: the lease could not be given back: %s", self.key[1], problem)

    def _began(self, began: RunBegan) -> None:
        """The run is recorded: should this process die, the next writer knows what was under way."""
        handle = self._handle
        if handle is None or not began.run_id or began.run_id != handle.run_id:
            return
        try:
            self.session.local.heads.begin(self.key, self.epoch, began.run_id)
        except SessionConflict:
            self.told("lost")
        except StoreError as problem:
            log.warning("session %s: the run under way is not known to others: %s", self.key[1], problem)

    def _close(self, live: Live, begun: tuple[Message, ...], prompt: Prompt | None) -> None:
        """Record how the conversation stands; of a superseded run, what the user said behind what was said before."""
        end, messages = live.state.end, live.state.messages
        if end is not None and end.status == "paused":
            return
        if live.cancelled == "superseded" and (end is None or end.status != "completed"):
            messages = begun if prompt is None or not self.session.keep_superseded else (*begun, _clean(prompt))
            self._note(live.record.run_id, live.record.transcribe(messages), messages)
            return
        before = {id(message) for message in begun}
        if any(message.role == "assistant" and id(message) not in before for message in messages):
            self._note(live.record.run_id, live.record.transcribe(messages), messages)

    def _closing(self, live: Live) -> None:
        """The same for a run that the program began itself, with the keywords of `call`."""
        self._close(live, self.history, None)

    def _only_said(self, agent: Agent, prompt: Prompt | None) -> None:
        """Record what the user said to a run that was superseded before it began."""
        if prompt is None or self.fate == "held" or not self.session.keep_superseded:
            return
        messages, about = (*self.history, _clean(prompt)), self.call()
        facts = {name: about[name] for name in ("session", "tenant", "user", "platform", "refs")}
        try:
            with run(agent.name, agent_type=agent.name, input=_clean(prompt).plain()["content"], **facts) as record:
                record.discarded = True
                record.stop("cancelled", "superseded")
                self._note("", record.transcribe(messages), messages, record.run_id)
        except LimitExceeded:
            log.warning("session %s: a limit keeps what was said to a superseded run from being kept", self.key[1])

    def _note(self, key: str | None, seq: int | None, messages: tuple[Message, ...], run_id: str | None = None) -> None:
        of = run_id or key
        point = NOWHERE if of is None or seq is None else Point(of, seq)
        self._said[key or ""] = _Said(spoken(messages), point)

    def _committed(self, changes: Changes, said: _Said | None, waits: tuple[str, ...] = ()) -> Head:
        local, clock = self.session.local, self.session.system.recorder.clock
        if self.fate == "lost":
            raise SessionConflict(self.key[1], "the lease was lost")
        before = local.said(self.head)
        self._inherited = (*(self._inherited if said is None else ()), *waits)
        changes = structs.replace(changes, unfinished=self._inherited)
        self.head = local.heads.commit(self.key, self.epoch, self.head.version, changes, clock.now())
        if said is not None:
            self.history = said.messages
            self.session.tell_unreadable(nowhere=said.point == NOWHERE)
        if said is not None or before is not None:
            local.remember(self.head, self.history if said is not None else before or ())
        return self.head


def _clean(prompt: Prompt) -> Message:
    return cleaned(message_of(prompt))[0]


async def _ended(handle: Handle[Any]) -> None:
    """Wait until it is over, however often the caller is cancelled meanwhile: it has been called off, and ends soon."""
    over = asyncio.Event()
    handle.when_over(over.set)
    while not handle.done:
        try:
            await over.wait()
        except asyncio.CancelledError:
            continue
