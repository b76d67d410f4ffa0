"""One record of OpenHands' `output.jsonl`: the events of a run, and what its model calls took.

An action of the agent carries the reply it came from, so each reply seen for the first time is a call; its duration and
cost stand in `metrics`. Tools are recorded as the model asked for them (`execute_bash` with its arguments), not as the
action they became (`run`). Actions that no model asked for (a recall) are plain steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.events.content import Content
from tachograph.events.run import Failure, Status, StepKind, StepStarted
from tachograph.events.tool import ToolStarted, ToolState
from tachograph.wire.lines import NULL, compose, encoded, members, parse, present, text, value
from tachograph.wire.money import nano_usd
from tachograph.wire.sessions import chat
from tachograph.wire.sessions.draft import Draft, Origin, Recorded, failure
from tachograph.wire.times import duration, nanoseconds
from tachograph.wire.vendors import served

FORMAT = "openhands"

_ERRORS: tuple[tuple[str, str], ...] = (
    ("maximum iteration", "max_iterations"),
    ("StuckInLoop", "tool_loop"),
    ("maximum budget", "cost_budget"),
)
"""Part of `error` → stop reason; any other error is an internal one."""


class _Origin(Struct):
    tool_call_id: str | None = None
    model_response: chat.Completion | None = None


class _Event(Struct):
    id: int | str | None = None
    timestamp: Any = None
    source: str | None = None
    action: str | None = None
    observation: str | None = None
    cause: int | str | None = None
    args: Raw = NULL
    content: Raw = NULL
    success: Any = None
    tool_call_metadata: _Origin | None = None


class _Latency(Struct):
    response_id: str | None = None
    latency: Any = None


class _Spent(Struct):
    cost: Raw = NULL


class _Metrics(Struct):
    response_latencies: list[_Latency] = []
    costs: list[_Spent] = []


class _Record(Struct):
    history: list[_Event]
    metrics: _Metrics | None = None
    instance_id: Any = None
    error: Any = None
    metadata: Raw = NULL
    test_result: Raw = NULL


_record = msgspec.json.Decoder(_Record)
_message = msgspec.json.Decoder(chat.Message)


def tell(line: bytes, number: int, origin: Origin) -> Recorded:
    """The run of one record. Raises Unreadable."""
    record = parse(_record, line)
    start = next((at for event in record.history if (at := nanoseconds(event.timestamp)) is not None), None)
    draft = Draft(FORMAT, f"{record.instance_id}@{origin.key or origin.source}#{number}", start, origin, number)
    return _History(draft, record).told()


class _History:
    """Goes through the events of one run."""

    def __init__(self, draft: Draft, record: _Record) -> None:
        metrics = record.metrics or _Metrics()
        self.draft, self.record = draft, record
        self.answer: Content | None = None
        self._took = {item.response_id: duration(item.latency) for item in metrics.response_latencies}
        self._costs: Iterator[_Spent] = iter(metrics.costs)
        self._known: set[str] = set()
        self._steps: dict[int | str | None, int] = {}
        self._tools: Content | None = None

    def told(self) -> Recorded:
        """The whole run."""
        config = members(self.record.metadata)
        model = value(members(config.get("llm_config", NULL)).get("model", NULL))
        metadata = {"instance": self.record.instance_id, "model": model}
        task = next((event for event in self.record.history if event.action == "message"), None)
        asked = None if task is None else present(members(task.args).get("content", NULL))
        name = value(config.get("agent_class", NULL))
        self.draft.begin(
            FORMAT,
            platform=FORMAT,
            agent_type=name if isinstance(name, str) else FORMAT,
            input=asked,
            metadata=metadata,
        )
        for event in self.record.history:
            at = nanoseconds(event.timestamp) or self.draft.ready
            if event.observation is not None:
                self._observed(event, at)
            elif event.action is not None:
                self._acted(event, at)
        return self._ended()

    def _acted(self, event: _Event, at: int) -> None:
        args = members(event.args)
        content = args.get("content", NULL)
        came_from = event.tool_call_metadata
        if event.action == "system":
            self._tools = present(args.get("tools", NULL))
            self.draft.say(at, "system", _message_of("system", content))
        elif came_from is not None and came_from.model_response is not None:
            self._replied(event, came_from, came_from.model_response, at)
        elif event.action == "message":
            self._said(event, content, at)
        else:
            kind: StepKind = "retrieval" if event.action == "recall" else "custom"
            self._steps[event.id] = self.draft.open_step(at, StepStarted(kind=kind, name=event.action or kind))
        if event.action == "finish":
            self._finished(event, args, at)

    def _replied(self, event: _Event, came_from: _Origin, reply: chat.Completion, at: int) -> None:
        if reply.id is None or reply.id not in self._known:
            self._known.add(reply.id or "")
            took = self._took.get(reply.id)
            provider, model = served(reply.model)
            started = None if took is None else at - took
            call = self.draft.call(provider, model, at=started, tools=self._tools)
            cost = nano_usd(next(self._costs, _Spent()).cost) or None
            message = _read(reply.message)
            chat.reply(self.draft, call, at, message, reply.message, reported_cost=cost, **reply.facts())
        step = self.draft.pending(came_from.tool_call_id)
        if step is not None:
            self._steps[event.id] = step

    def _said(self, event: _Event, content: Raw, at: int) -> None:
        if event.source != "agent":
            self.draft.say(at, "user", _message_of("user", content))
            return
        message = chat.Message(role="assistant", content=content)
        call = self.draft.call(*served(None), tools=self._tools)
        chat.reply(self.draft, call, at, message, _message_of("assistant", content))
        self.answer = chat.said(message)

    def _observed(self, event: _Event, at: int) -> None:
        step = self._steps.pop(event.cause, None)
        if step is None:
            if event.observation == "error":
                self.draft.note(at, "error", present(event.content))
            return
        tool = self.draft.events[step].body
        if not isinstance(tool, ToolStarted):
            self.draft.end_step(step, at, output=present(event.content))
            return
        call_id = msgspec.json.encode(tool.call_id)
        body = compose({"role": b'"tool"', "tool_call_id": call_id, "content": event.content})
        seq = self.draft.say(at, "tool", body, step)
        failed = event.success is False or event.observation == "error"
        error = failure("ToolError", event.observation or "") if failed else None
        state: ToolState = "failed" if failed else "completed"
        self.draft.answer(step, at, state, result=present(event.content), message=seq, error=error)

    def _finished(self, event: _Event, args: Mapping[str, Raw], at: int) -> None:
        step = self._steps.pop(event.id, None)
        if step is not None and isinstance(self.draft.events[step].body, ToolStarted):
            self.draft.answer(step, at, "completed")
        elif step is not None:
            self.draft.end_step(step, at)
        said = [args.get(name, NULL) for name in ("final_thought", "message", "thought")]
        self.answer = next((present(raw) for raw in said if (text(raw) or "").strip()), encoded(""))

    def _ended(self) -> Recorded:
        error = self.record.error if isinstance(self.record.error, str) else None
        status, reason, fault = _ending(error, self.answer)
        growing = status == "abandoned"
        self.draft.finish(status, reason, growing=growing, output=self.answer, error=fault)
        resolved = value(members(members(self.record.test_result).get("report", NULL)).get("resolved", NULL))
        if isinstance(resolved, bool):
            self.draft.score("resolved", value=float(resolved))
        return self.draft.recorded()


def _ending(error: str | None, answer: Content | None) -> tuple[Status, str, Failure | None]:
    if error is not None:
        reason = next((reason for part, reason in _ERRORS if part in error), "internal_error")
        return "failed", reason, failure(error.partition(":")[0][:80], error)
    return ("completed", "final_answer", None) if answer is not None else ("abandoned", "process_died", None)


def _message_of(role: str, content: Raw) -> bytes:
    return compose({"role": msgspec.json.encode(role), "content": content})


def _read(raw: Raw) -> chat.Message:
    try:
        return _message.decode(raw)
    except msgspec.DecodeError:
        return chat.Message(role="assistant")
