"""The state of a run from its events: what the loop knew, read from what was recorded.

The messages come from the transcript (each request names its path), everything else from the steps and notes that the
loop recorded as it went. After each event this is the state in which the run that wrote it stood, in recorded form:
content that redaction changed stays changed. What redaction took away altogether cannot be read back: that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import msgspec

from tachograph.agent.reminders import REMINDED, Reminding
from tachograph.agent.state import (
    Accepted,
    Answered,
    Asked,
    Compacted,
    Corrected,
    End,
    Ended,
    Fact,
    GivenToPerson,
    Handed,
    Iterated,
    Kept,
    Moved,
    Nudged,
    Prompted,
    Recalled,
    Refused,
    Replied,
    Resumed,
    Ruled,
    State,
    Told,
    Wrapped,
    advance,
)
from tachograph.agent.state import read as begun
from tachograph.agent.team.carried import retold
from tachograph.agent.transcript import INTERRUPTED, refused
from tachograph.errors import CodecError
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.chat import Message, read, result
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold import approvals, transcript
from tachograph.fold.handoffs import STATES, handing_of
from tachograph.record.step import CONVERSATION

_FACTS: Mapping[str, Callable[[dict[str, Any]], Fact]] = {
    "nudge": lambda said: Nudged(said["text"]),
    "agent_trace.schema_retry": lambda said: Corrected(said["correction"]),
    "agent_trace.phase_change": lambda said: Moved(said["to_phase"], said["text"]),
    "told": lambda said: Told(said["kind"], said["text"], tuple(said.get("barred", ()))),
    "gate_refused": lambda said: Refused(said["gate"], said["text"]),
    "kept": lambda said: Kept(said["name"], said["value"]),
    "answer_accepted": lambda said: Accepted(said.get("replaced")),
    "memory_recalled": lambda said: Recalled(said["block"], said["joins"]),
}
NOTED = frozenset((CONVERSATION, REMINDED, approvals.REQUESTED, approvals.DECIDED, *STATES, *_FACTS))
"""Notes that say where a run stands."""


def fact_of(name: str, said: dict[str, Any]) -> Fact | None:
    """The fact that a note recorded; None for what is none."""
    if name in _FACTS:
        return _FACTS[name](said)
    if name == approvals.REQUESTED:
        asked = approvals.approval_of(said)
        return None if asked is None else Asked(asked)
    if name == approvals.DECIDED:
        decided = approvals.decided_of(said)
        return None if decided is None else Ruled(decided)
    handing = handing_of(name, said)
    return None if handing is None else GivenToPerson(handing)


_MARK = "[not kept]"
_NOT_KEPT = {role: Message(role, _MARK) for role in ("system", "user", "assistant")}
"""What stands for a message that was not kept; for a result nothing, since nobody knows whose it was."""


class RecordedState:
    """A `State` that grows with the events of its run."""

    def __init__(
        self, fetch: transcript.Fetch | None = None, state: State | None = None, *, accept: bool = False
    ) -> None:
        """`accept` goes on where content was not kept: with a mark in its place, and a word in `losses`."""
        self.state = state or State()
        self.reminding = Reminding()
        """What the run was reminded of."""
        self.begun = self.prompted = False
        """Whether its conversation is on record, and whether what was said first has joined it."""
        self.asked_by: int | None = None
        """The attempt that brought the last reply."""
        self.losses: list[str] = []
        """What could not be read back."""
        self._fetch, self._accept = fetch, accept
        self._messages = transcript.Transcripts()
        self._read: dict[int, Message | None] = {}
        """Messages by their node, read once."""
        self._tools: dict[int, ToolStarted] = {}
        self.paused: dict[int, str] = {}
        """Place of an open call → the run of a delegate that paused in it."""
        self._results: dict[int, tuple[Message, bool]] = {}
        self._wrap_up = ""
        """The limit that refused one of these calls and allows one more turn."""
        self._handing: tuple[int, int] = (-1, -1)
        """The hand-off under way, and the call that asked for it."""
        self._handed: dict[str, Any] | None = None
        """What it came to, until its call has ended."""
        self._aside: set[int] = set()
        """Steps that are none of the conversation: compactions, and the requests in them."""

    def apply(self, event: Event) -> State:
        """The state after one more event. Raises CodecError for content that was not kept."""
        self._messages.apply(event)
        handler = self._handlers.get(type(event.body))
        if handler is not None and not self._is_aside(event):
            handler(self, event, event.body)
        return self.state

    def under_way(self) -> tuple[Message, ...]:
        """Results of the open calls once one of them has begun: what is known by now, or that it was interrupted."""
        if not (self._tools or self._results or self.paused):
            return ()
        known = {index: message for index, (message, _) in self._results.items()}
        return tuple(known.get(index) or result(call, INTERRUPTED) for index, call in enumerate(self.state.open))

    @property
    def done(self) -> dict[int, tuple[Message, bool]]:
        """Place of an open call → its result, where it has one, and whether it completed."""
        return dict(self._results)

    def _run_started(self, event: Event, body: RunStarted) -> None:
        if body.agent_type is not None and not self.state.agent:
            self.state = msgspec.structs.replace(self.state, agent=body.agent_type, visited=(body.agent_type,))

    def _step_started(self, event: Event, body: StepStarted) -> None:
        if body.kind == "iteration":
            self.prompted = True
            self.state = advance(self.state, Iterated())
            self.reminding = msgspec.structs.replace(self.reminding, seen=len(self.state.messages))
        elif body.kind == "handoff" and body.action_type == "agent":
            self._handing = event.seq, body.parent

    def _step_ended(self, event: Event, body: StepEnded) -> None:
        if event.step == self._handing[0] and body.status == "completed":
            self._handed = self._value(body.output)

    def _call_started(self, event: Event, body: CallStarted) -> None:
        self.state = msgspec.structs.replace(self.state, messages=self._path(body.input))

    def _call_ended(self, event: Event, body: CallEnded) -> None:
        if body.status == "completed" and body.output is not None:
            told = self._value(body.metadata) or {}
            finish: Any = told.get("finish") or body.finish_reason
            self.state = advance(self.state, Replied(self._path(body.output)[-1], finish))
            self.asked_by = event.step

    def _tool_started(self, event: Event, body: ToolStarted) -> None:
        self._tools[event.seq] = body

    def _tool_ended(self, event: Event, body: ToolEnded) -> None:
        self._answered(event.step, body)

    def _limit_hit(self, event: Event, body: LimitHit) -> None:
        if body.mode == "wrap_up" and body.refused_kind is None:
            self.state = advance(self.state, Wrapped(body.metric))
        elif body.mode == "wrap_up" and body.refused_kind == "tool":
            self._wrap_up = self._wrap_up or body.metric

    def _is_aside(self, event: Event) -> bool:
        """Whether it belongs to a compaction: the end of that says what the conversation is from then on."""
        match event.body:
            case StepStarted(kind="compaction"):
                self._aside.add(event.seq)
            case CallStarted(parent=parent) if parent in self._aside:
                self._aside.add(event.seq)
            case StepEnded(status="completed") as body if event.step in self._aside:
                node = (self._value(body.metadata) or {}).get("after")
                if isinstance(node, int):  # a compaction that another program recorded may not say
                    self.state = advance(self.state, Compacted(self._path(node)))
        return event.step in self._aside

    def _answered(self, number: int, body: ToolEnded) -> None:
        started = self._tools.pop(number, None)
        if started is None or not self.state.open:
            return
        self.paused.pop(started.index, None)
        facts = self._value(body.metadata) or {}
        if isinstance(asleep := facts.get("paused"), str):
            self.paused[started.index] = asleep
            return
        told = facts.get("told")
        content = self._value(body.result) if told is None else told
        call = self.state.open[started.index] if started.index < len(self.state.open) else self.state.open[-1]
        content = refused(body.reason) if content is None and body.reason else content
        said = read({"role": "tool", "content": INTERRUPTED if content is None else content}).content
        answer = msgspec.structs.replace(result(call, ""), content=said)
        self._results[started.index] = (answer, body.state == "completed")
        self._all_answered(number, body.state)

    def _all_answered(self, number: int = -1, state: str = "") -> None:
        """Take the results in when each call has one; the last came from the step `number`."""
        if self._results and len(self._results) == len(self.state.open):
            found = [self._results[index] for index in sorted(self._results)]
            self._results.clear()
            self.paused.clear()
            names = tuple(message.name or "" for message, done in found if done)
            answered = Answered(tuple(message for message, _ in found), names, self._wrap_up)
            self.state, self._wrap_up = advance(self.state, answered), ""
            # A hand-off is the last thing that is done about a reply.
            if self._handed is not None and (number, state) == (self._handing[1], "completed"):
                self._passed(self._handed)
            self._handed = None

    def _passed(self, told: dict[str, Any]) -> None:
        messages = retold(told["messages"], self.state.messages)
        self.state = advance(self.state, Handed(told["to"], messages, told["phase"]))

    def _conversed(self, data: dict[str, Any], seq: int) -> None:
        """The conversation was put on record: as the run began, or with what somebody said."""
        messages = self._path(data.get("node", seq - 1))
        self.begun = True
        if data["by"] == "prompted":
            self.prompted = True
            self.state = advance(self.state, Prompted(messages[-1]))
        else:
            self.state = begun(data.get("state", {}), messages)

    def _note(self, event: Event, body: Note) -> None:
        if body.name not in NOTED or (data := self._value(body.data)) is None:
            return
        if body.name == CONVERSATION:
            self._conversed(data, event.seq)
        elif body.name == REMINDED:
            self.reminding = msgspec.convert(data, Reminding)
        elif (fact := fact_of(body.name, data)) is not None:
            self.state = advance(self.state, fact)

    def _run_ended(self, event: Event, body: RunEnded) -> None:
        if body.status != "paused":
            for index, call in enumerate(self.state.open):
                self._results.setdefault(index, (result(call, INTERRUPTED), False))
            self._all_answered()
        answer = self._value(body.output)
        self.state = advance(self.state, Ended(End(body.status, body.stop_reason, answer)))

    def _run_resumed(self, event: Event, body: RunResumed) -> None:
        self._wrap_up = ""
        self.state = advance(self.state, Resumed())

    def _path(self, node: int | None) -> tuple[Message, ...]:
        path = [message for message in self._messages.path(node) if not message.ephemeral]
        unread = [message for message in path if message.node not in self._read]
        for message, value in zip(unread, transcript.read(unread, self._fetch), strict=True):
            if value is None:
                self._lost(f"the message {message.node} of this run was not kept")
            self._read[message.node] = _NOT_KEPT.get(message.role) if value is None else read(value)
        return tuple(found for message in path if (found := self._read[message.node]) is not None)

    def _lost(self, what: str) -> None:
        if not self._accept:
            raise CodecError(f"{what}: its state cannot be read back")
        self.losses.append(what)

    def _value(self, content: Content | None) -> Any:
        if content is None:
            return None
        text = transcript.text_of(content, self._fetch)
        if text is None:
            self._lost("content of this run was not kept")
            return None
        return msgspec.json.decode(text)

    _handlers: ClassVar[Mapping[type, Callable[[RecordedState, Event, Any], None]]] = {
        RunStarted: _run_started,
        StepStarted: _step_started,
        StepEnded: _step_ended,
        CallStarted: _call_started,
        CallEnded: _call_ended,
        ToolStarted: _tool_started,
        ToolEnded: _tool_ended,
        LimitHit: _limit_hit,
        Note: _note,
        RunEnded: _run_ended,
        RunResumed: _run_resumed,
    }


def state_of(events: Iterable[Event], fetch: transcript.Fetch | None = None, state: State | None = None) -> State:
    """The state after these events of one run, in order; `state` is the one it began in. Raises as `apply`."""
    recorded = RecordedState(fetch, state)
    for event in events:
        recorded.apply(event)
    return recorded.state
