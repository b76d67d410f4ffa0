"""A run while it is performed: everything that its parts share, and nothing that decides.

One `Live` belongs to one run and one event loop. What changes here is bookkeeping (what was spent, which reminders
wait); where the run stands is the `State`, which the loop passes along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from threading import Lock
from typing import Any

import msgspec

from tachograph.agent.answer.outcome import Outcome, Spending
from tachograph.agent.compact.figures import Metrics
from tachograph.agent.compact.measure import Gauge
from tachograph.agent.guardrails.guardrail import Guardrail, Look, On
from tachograph.agent.guardrails.watch import Passed, watched
from tachograph.agent.hooks import FinishAgent, FinishRun, Hooks, Moment, Verdict
from tachograph.agent.memory import query_of
from tachograph.agent.pace.schedule import Permit
from tachograph.agent.progress import Emitter, Guarded, Limited
from tachograph.agent.reminders import Reminder, Reminding
from tachograph.agent.spec import Spec
from tachograph.agent.state import End, Ended, Fact, Kept, State, Told, advance
from tachograph.agent.team.dialogues import Team
from tachograph.agent.tools.approval import Approve, Pause
from tachograph.agent.tools.results import Shelf
from tachograph.agent.tools.tool import Tool
from tachograph.errors import LimitExceeded, SettingsError, ToolError
from tachograph.events.chat import HIDDEN, Message, Part
from tachograph.events.usage import MISSING, Cost, Usage
from tachograph.fold.approvals import Approval
from tachograph.fold.cost import PriceBook, price
from tachograph.limits.limit import Limits
from tachograph.providers.port import Exchange, ModelPort, Reply, ToolSpec
from tachograph.record.clock import Clock
from tachograph.record.door import Recorded
from tachograph.record.run import Run
from tachograph.record.sanitize import to_json
from tachograph.record.step import step


@dataclass(frozen=True, kw_only=True)
class Post:
    """What an agent brings to its work in one run: everything that another agent replaces."""

    spec: Spec
    port: ModelPort
    hooks: Hooks
    offered: Callable[[], Mapping[str, Tool]]
    edges: Mapping[str, Any]
    reminders: Sequence[Reminder]
    instructions: str
    limits: Limits | None = None
    """Of its part of the run; None: those of the run alone."""


@dataclass(kw_only=True)
class Live:
    """One run in the making."""

    spec: Spec
    port: ModelPort
    limits: Limits
    record: Run
    clock: Clock
    prices: Callable[[], PriceBook]
    """Loaded when the first call has ended."""
    emitter: Emitter
    hooks: Hooks
    offered: Callable[[], Mapping[str, Tool]]
    """The program's tools, as they are now."""
    approve: Approve | Pause | None
    posts: Callable[[str], Post]
    """Agent of the crew → what it brings."""
    lead: str = ""
    """The agent that the run is of."""
    edges: Mapping[str, Any] = field(default_factory=dict)
    """Tool → the hand-off it asks for."""
    part: Limits | None = None
    """What the agent at work may use of the run, from when it is at work."""
    instructions: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    guardrails: Sequence[Guardrail] = ()
    """Of the call, beside those of the agent."""
    shelf: Shelf = field(default_factory=Shelf)
    above: Live | None = None
    """The run that waits for this one, when it is a delegate's."""
    team: Team = field(default_factory=Team)
    """What was said to its delegates."""
    children: list[Outcome[Any]] = field(default_factory=list)
    """What its delegates came to, in the order in which they ended."""
    wrapping: LimitExceeded | None = None
    """What a tool call was refused by, where that leaves one more turn."""
    finishing: bool = False
    """Whether a hook ended not only this run but all that wait for it."""
    reminders: Sequence[Reminder] = ()
    reminding: Reminding = field(default_factory=Reminding)
    waiting: list[str] = field(default_factory=list)
    """Texts for the next request alone."""
    spent: Spending = field(default_factory=Spending)
    last_usage: Usage = MISSING
    """Of the last attempt that brought a reply."""
    told_tools: tuple[tuple[ToolSpec, ...], Any] = ((), None)
    """The tools of the last request, and how they are recorded."""
    gauge: Gauge = field(default_factory=Gauge)
    """What is known of the size of requests."""
    compacted: Metrics | None = None
    """The last time that the conversation was made smaller."""
    salt: bytes = b""
    """Random; what keeps the marks of masked values from being guessed."""
    state: State = field(default_factory=State)
    first: bool = False
    """Whether the prompt is the first message of its conversation."""
    asked_by: int | None = None
    """Number of the attempt that brought the last reply."""
    error: BaseException | None = None
    """What ended the run, where that was an exception."""
    began: int = 0
    """Monotonic ns."""
    seconds: float = 0.0
    """How long it took, once it is over."""
    cancelled: str = ""
    """Why it was called off; empty while it was not."""
    asks: Sequence[Approval] = ()
    """What a person is asked about before it goes on."""
    done: Mapping[int, tuple[Message, bool]] = field(default_factory=dict)
    """Place of an open call → its result, and whether it completed: when another of them paused the run."""
    paused: Mapping[int, str] = field(default_factory=dict)
    """Place of an open call → the run of a delegate that paused in it."""
    wake: Callable[[Any, str, Any], Awaitable[Any]] | None = None
    """Takes such a run up again: for an agent, with the call that would begin one."""
    facts: Sequence[Told] = ()
    """What the runtime says before anything else happens."""
    fresh: bool = True
    """Whether its conversation begins here; else it goes on from where a run stood."""
    again: bool = False
    """Whether it goes on in a run that had stopped."""
    step: Recorded | None = None
    """The iteration's step, while there is one."""
    closing: Callable[[Live], object] | None = None
    """Told when the conversation is whole, before the record ends."""
    moving: Lock = field(default_factory=Lock)
    """Held while the state moves: tools in threads keep things, too."""

    def take(self, post: Post) -> None:
        """Another agent is at work. The one place where that is so."""
        self.spec, self.port, self.hooks = post.spec, post.port, post.hooks
        self.approve = post.spec.approve or (None if self.above is None else self.above.approve)
        self.offered, self.edges, self.part = post.offered, post.edges, post.limits
        self.reminders, self.instructions = post.reminders, post.instructions
        self.gauge = msgspec.structs.replace(self.gauge, full=0.0, futile=0)  # of another context window
        self.record.narrow(self.part)

    def toolbox(self) -> Mapping[str, Tool]:
        """The tools of the phase, which the next request may name; where a result was cut, also what shows the rest."""
        box = self.offered()
        phase = next((phase for phase in self.spec.phases if phase.name == self.state.phase), None)
        if phase is not None and phase.tools is not None:
            box = {name: tool for name, tool in box.items() if name in phase.tools}
        if not self.shelf.holds or self.expand.name in box:
            return box
        return {**box, self.expand.name: self.expand}

    @cached_property
    def expand(self) -> Tool:
        """Shows more of a result that was cut."""
        return self.shelf.tool()

    # ---- the team -------------------------------------------------------------------------------------------------

    @property
    def ancestry(self) -> tuple[str, ...]:
        """Names of the agents at work, from the first one to this one."""
        return (*(() if self.above is None else self.above.ancestry), self.spec.name)

    @property
    def barred(self) -> tuple[str, ...]:
        """Hashes of calls that a person does not want made again: in this run, or in one above it."""
        return (*self.state.barred, *(() if self.above is None else self.above.barred))

    @property
    def share(self) -> str:
        """Whose turns its requests take: a run and its delegates have those of one run together."""
        return (self.record.run_id or "") if self.above is None else self.above.share

    # ---- time -----------------------------------------------------------------------------------------------------

    def left(self) -> float | None:
        """Seconds until the run's deadline, never less than 0; None when it has none."""
        deadline = self.record.deadline
        return None if deadline is None else max(0.0, (deadline - self.clock.mono()) / 1e9)

    @property
    def called_off(self) -> str:
        """Why it is cancelled, when it is."""
        return self.cancelled or ("user_cancel" if self.above is None else self.above.called_off)

    def expire(self) -> None:
        """Meet the deadline at the door, so that it is recorded like any other limit. Raises LimitExceeded."""
        with step("deadline", kind="observe"):
            pass

    def within(self, seconds: float | None) -> float | None:
        """So many seconds, or what is left of the run when that is less."""
        left = self.left()
        return left if seconds is None else seconds if left is None else min(seconds, left)

    # ---- telling --------------------------------------------------------------------------------------------------

    def note(self, name: str, data: Any) -> None:
        """Record a fact for which there is no event of its own."""
        (self.step or self.record).note(name, data)

    def advance(self, fact: Fact) -> None:
        """Take the state a fact further."""
        with self.moving:
            self.state = advance(self.state, fact)

    def over(self, end: End, error: BaseException | None = None) -> None:
        """It has its outcome; the first one counts."""
        self.error = error if error is not None else self.error
        if self.state.end is None:
            self.advance(Ended(end))

    def end_of(self, finish: FinishAgent | FinishRun) -> End:
        """A hook ended this run, or everything that waits for it too."""
        self.finishing = self.finishing or isinstance(finish, FinishRun)
        return End("completed", "tool_stop", finish.answer, finish.answer)

    async def ask_hooks(self, event: str, **facts: Any) -> Verdict:
        """The hooks of an event, not past the deadline, which is met where they take so long. Raises LimitExceeded."""
        try:
            return await self.fire(self.moment(event, self.state, first=self.first, **facts))
        except TimeoutError:
            self.expire()
            raise

    def keep(self, name: str, value: Any) -> None:
        """Keep a value for the run as JSON says it; from any thread. Raises ToolError when the run is over."""
        plain = msgspec.json.decode(to_json(value).text)
        with self.moving:
            if self.state.end is not None:
                raise ToolError("The run is over, and keeps nothing more.")
            self.record.note("kept", {"name": name, "value": plain})
            self.state = advance(self.state, Kept(name, plain))

    def emit(self, value: Any) -> None:
        """Tell whoever listens."""
        self.emitter.emit(value)

    def remind(self, text: str) -> None:
        """Say something at the tail of the next request, and only there."""
        if text:
            self.waiting.append(text)

    def heed(self, notices: Iterable[Any]) -> str:
        """Pass on what a guard noticed; the text that belongs to the action it noticed it at."""
        here = []
        for notice in notices:
            self.emit(Limited(notice=notice))
            if notice.mode == "nudge":
                self.remind(notice.reason)
            elif notice.mode == "warn" and notice.reason:
                here.append(notice.reason)
        return "\n".join(here)

    async def fire(self, moment: Moment) -> Verdict:
        """Ask the hooks, not past the deadline, and record what they did. Raises TimeoutError."""
        async with asyncio.timeout(self.left()):
            verdict = await self.hooks.fire(moment)
        for fired in verdict.fired:
            if fired.effect != "Continue" or fired.error:
                self.note("hook_effect", fired.facts(moment.event))
        for text in verdict.context:
            self.remind(text)
        return verdict

    def moment(self, event: str, state: State, **facts: Any) -> Moment:
        """What a hook is told of this point."""
        return Moment(
            event=event, agent=self.spec.name, run_id=self.record.run_id or "", iteration=state.iteration,
            messages=state.messages, metadata=self.context, usage=self.spent.usage, **facts,
        )  # fmt: skip

    async def guard(self, on: On, content: Any, *, hidden: Iterable[str] = (), **facts: Any) -> Passed:
        """Show something to the guardrails, and record what they did. `hidden` are arguments that no record has."""
        everyone = tuple(one for one in (*self.spec.guardrails, *self.guardrails) if one.on == on)
        if not everyone:
            return Passed(content)
        messages = self.state.messages
        facts = {"query": query_of(messages), **facts}
        look = Look(
            on, deepcopy(content) if isinstance(content, Mapping) else content, agent=self.spec.name,
            called=called(messages, self.state.succeeded), messages=messages, metadata=self.context,
            run_id=self.record.run_id or "", **facts,
        )  # fmt: skip
        passed = await watched(
            everyone, look, within=self.within, note=self.note, shown=lambda found: self._shown(found, hidden)
        )
        for ruling in passed.rulings:
            self.emit(Guarded(ruling=ruling))
        for text in passed.appended:
            self.remind(text)
        return passed

    def _shown(self, content: Any, hidden: Iterable[str]) -> Any:
        if isinstance(content, tuple):
            return Message("user", content).plain()["content"]
        return self.masked(content, hidden) if hidden and isinstance(content, Mapping) else content

    def text_of(self, value: Any) -> Any:
        """A hook's value as a result: text and media as they are, everything else as JSON."""
        if isinstance(value, str) or (isinstance(value, tuple) and all(isinstance(part, Part) for part in value)):
            return value
        return to_json(value).text

    def masked(self, arguments: Any, names: Iterable[str]) -> Any:
        """Arguments with the values of some replaced: equal ones by the same mark, so that repetitions are seen.

        What is no mapping is replaced as a whole.
        """
        if not isinstance(arguments, Mapping):
            return self._mark(arguments)
        hidden = set(names)
        return {name: self._mark(value) if name in hidden else value for name, value in arguments.items()}

    def _mark(self, value: Any) -> str:
        made = blake2b(to_json(value).text.encode("utf-8", "replace"), key=self.salt, digest_size=6)
        return f"{HIDDEN} {made.hexdigest()}"

    # ---- spending -------------------------------------------------------------------------------------------------

    def settle(
        self,
        permit: Permit,
        lane: str,
        reply: Reply | None,
        exchanges: Iterable[object],
        tier: str | None,
        *,
        aside: ModelPort | None = None,
    ) -> None:
        """What an attempt used is added up, and what the wire said of the pace is heeded. `aside`: as for `spend`."""
        usage = MISSING if reply is None else reply.usage
        self.spend(usage, reply, tier, self.clock.now(), aside=aside)
        if usage.total is not None:
            permit.used(usage.total)
        for exchange in exchanges:
            if isinstance(exchange, Exchange):
                self.spec.scheduler.learn(lane, exchange)

    def spend(
        self, usage: Usage, reply: Reply | None, tier: str | None, at: int, *, aside: ModelPort | None = None
    ) -> Cost:
        """Add an attempt; what it cost. `aside`: the model of a request that is none of the conversation."""
        port = aside or self.port
        model = (reply.served_model if reply else None) or port.model
        served = (reply.served_tier if reply else None) or tier
        try:
            cost = price(self.prices(), port.provider, model, usage, at, served)
        except SettingsError as problem:  # prices that cannot be read are none; the request was made all the same
            cost = Cost(reason=str(problem))
        self.last_usage = self.last_usage if usage.basis == "missing" or aside is not None else usage
        self.spent = self.spent.plus_call(usage, cost)
        return cost

    def called(self) -> None:
        """Count a tool call."""
        self.spent = self.spent.plus_tool_call()

    def random(self) -> float:
        """From 0 to below 1."""
        return int.from_bytes(self.clock.entropy(6)) / (1 << 48)

    async def pause(self, seconds: float) -> None:
        """Wait, but not past the deadline."""
        await asyncio.sleep(self.within(seconds) or 0.0)


def called(messages: Sequence[Message], before: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the tools that were asked for since a person spoke; `before` knows of others, which may be forgotten."""
    found = list(before)
    for message in reversed(messages):
        if message.role == "user" and not message.name:
            break
        found += [call.name for call in message.tool_calls]
    return tuple(dict.fromkeys(found))
