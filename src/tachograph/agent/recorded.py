"""The state of a run from its events: what the loop knew, read from what was recorded.

The messages come from the transcript (each request names its path), everything else from the steps and notes that the
loop recorded as it went. After each event this is the state in which the run that wrote it stood, in recorded form:
content that redaction changed stays changed. What redaction took away altogether cannot be read back: that is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tachograph.agent.state import (
    Answered,
    Corrected,
    End,
    Ended,
    Iterated,
    Moved,
    Nudged,
    Refused,
    Replied,
    State,
    Wrapped,
    advance,
)
from tachograph.agent.transcript import INTERRUPTED, refused
from tachograph.errors import CodecError
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.chat import Message, read, result
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold import transcript


class RecordedState:
    """A `State` that grows with the events of its run."""

    def __init__(self, fetch: transcript.Fetch | None = None, state: State | None = None) -> None:
        self.state = state or State()
        self._fetch = fetch
        self._messages = transcript.Transcripts()
        self._tools: dict[int, ToolStarted] = {}
        self._results: dict[int, tuple[Message, bool]] = {}

    def apply(self, event: Event) -> State:
        """The state after one more event. Raises CodecError for content that was not kept."""
        self._messages.apply(event)
        match event.body:
            case StepStarted(kind="iteration"):
                self.state = advance(self.state, Iterated())
            case CallStarted() as body:
                messages = tuple(self._path(body.input))
                self.state = msgspec.structs.replace(self.state, messages=messages)
            case CallEnded(status="completed", output=int() as node) as body:
                message = self._read(self._messages.messages[node].content)
                told = self._value(body.metadata) or {}
                finish: Any = told.get("finish") or body.finish_reason
                self.state = advance(self.state, Replied(message, finish))
            case ToolStarted() as body:
                self._tools[event.seq] = body
            case ToolEnded() as body:
                self._answered(event.step, body)
            case LimitHit(mode="wrap_up", refused_kind=None | "tool", metric=metric):
                self.state = advance(self.state, Wrapped(metric))
            case Note(name=name, data=data):
                self._noted(name, self._value(data) or {})
            case RunEnded() as body:
                self._ended(body)
        return self.state

    def _answered(self, number: int, body: ToolEnded) -> None:
        started = self._tools.pop(number, None)
        if started is None or not self.state.open:
            return
        told = (self._value(body.metadata) or {}).get("told")
        content = self._value(body.result) if told is None else told
        call = self.state.open[started.index] if started.index < len(self.state.open) else self.state.open[-1]
        content = refused(body.reason) if content is None and body.reason else content
        said = read({"role": "tool", "content": INTERRUPTED if content is None else content}).content
        answer = msgspec.structs.replace(result(call, ""), content=said)
        self._results[started.index] = (answer, body.state == "completed")
        if len(self._results) == len(self.state.open):
            found = [self._results[index] for index in sorted(self._results)]
            self._results.clear()
            names = tuple(message.name or "" for message, done in found if done)
            self.state = advance(self.state, Answered(tuple(message for message, _ in found), names))

    def _noted(self, name: str, data: dict[str, Any]) -> None:
        match name:
            case "nudge":
                self.state = advance(self.state, Nudged(data["text"]))
            case "agent_trace.schema_retry":
                self.state = advance(self.state, Corrected(data["correction"]))
            case "agent_trace.phase_change":
                self.state = advance(self.state, Moved(data["to_phase"], data["text"]))
            case "gate_refused":
                self.state = advance(self.state, Refused(data["gate"], data["text"]))

    def _ended(self, body: RunEnded) -> None:
        if self.state.open:
            calls = tuple(result(call, INTERRUPTED) for call in self.state.open)
            self.state = advance(self.state, Answered(calls))
        answer = self._value(body.output)
        self.state = advance(self.state, Ended(End(body.status, body.stop_reason, answer)))

    def _path(self, node: int | None) -> Iterable[Message]:
        path = [message for message in self._messages.path(node) if not message.ephemeral]
        for value in transcript.read(path, self._fetch):
            if value is None:
                raise CodecError("a message of this run was not kept: its state cannot be read back")
            yield read(value)

    def _read(self, content: Content) -> Message:
        return read(self._value(content))

    def _value(self, content: Content | None) -> Any:
        if content is None:
            return None
        text = transcript.text_of(content, self._fetch)
        if text is None:
            raise CodecError("content of this run was not kept: its state cannot be read back")
        return msgspec.json.decode(text)


def state_of(events: Iterable[Event], fetch: transcript.Fetch | None = None, state: State | None = None) -> State:
    """The state after these events of one run, in order; `state` is the one it began in. Raises as `apply`."""
    recorded = RecordedState(fetch, state)
    for event in events:
        recorded.apply(event)
    return recorded.state
