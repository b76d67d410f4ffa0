"""SWE-agent `.traj` files: `history` (the messages), `trajectory` (one entry a step) and `info` (how it ended).

Each step is one model call and one tool call, told in one of two ways: function calls, or an `action` cut out of the
text, whose first word is then the tool's name. Times are not recorded, only how long each action ran; tokens and cost
only as totals of the run, which stay in its metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.events.run import Status
from tachograph.wire.lines import NULL, Unreadable, encoded, members, parse, present, text, value
from tachograph.wire.sessions import chat
from tachograph.wire.sessions.draft import Draft, Found, Origin, Problem, Recorded
from tachograph.wire.times import duration
from tachograph.wire.vendors import served

FORMAT = "swe-agent"

_ENDINGS: tuple[tuple[str, Status, str], ...] = (
    ("exit_cost", "failed", "cost_budget"),
    ("exit_context", "failed", "token_budget"),
    ("exit_format", "failed", "schema_failed"),
    ("exit_total_execution_time", "failed", "deadline"),
    ("exit_command_timeout", "failed", "deadline"),
    ("exit_api", "failed", "provider_error"),
    ("exit_forfeit", "failed", "no_progress"),
    ("submitted", "completed", "final_answer"),
)
"""Part of `exit_status` → how the run ended: `submitted (exit_cost)` was cut off first; others are internal errors."""


class _Step(Struct):
    action: Any = None
    observation: Raw = NULL
    execution_time: Any = None


class _Info(Struct):
    exit_status: Any = None
    submission: Raw = NULL
    model_stats: Raw = NULL


class _Record(Struct):
    history: list[Raw]
    trajectory: list[_Step] = []
    info: _Info = msgspec.field(default_factory=_Info)
    environment: Any = None
    replay_config: Raw = NULL


class _Message(chat.Message):
    action: Any = None
    is_demo: Any = None


_record = msgspec.json.Decoder(_Record)
_message = msgspec.json.Decoder(_Message)


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """One run of each file."""
    for number, line in lines:
        try:
            record = parse(_record, line)
            yield _run(record, [(_message.decode(raw), raw) for raw in record.history], number, origin)
        except (Unreadable, msgspec.DecodeError) as fault:
            yield Problem(number, str(fault))


def _run(record: _Record, history: list[tuple[_Message, Raw]], line: int, origin: Origin) -> Recorded:
    draft = Draft(FORMAT, f"{origin.key or origin.source}#{line}", None, origin, line)
    info = record.info
    task = next((message for message, _ in history if message.role == "user" and message.is_demo is not True), None)
    draft.begin(
        FORMAT,
        platform=FORMAT,
        agent_type=FORMAT,
        input=None if task is None else chat.said(task),
        metadata={
            "environment": record.environment,
            "exit_status": info.exit_status,
            "model_stats": value(info.model_stats),
        },
    )
    provider, model = served(_model(record.replay_config))
    steps = iter(record.trajectory)
    act, step, now = 0, _Step(), draft.began
    for message, raw in history:
        if message.role != "assistant" or message.is_demo is True:
            _observed(draft, now, message, raw, act, step)
            act = 0
            continue
        if act:
            draft.answer(act, now, "completed", result=present(step.observation))
        step = next(steps, _Step())
        act = _acted(draft, now, message, raw, draft.call(provider, model))
        now += duration(step.execution_time) or 0
    if act:
        draft.answer(act, now, "completed", result=present(step.observation))
    status, reason = _ending(info.exit_status)
    return draft.finish(status, reason, at=now, growing=status == "abandoned", output=present(info.submission))


def _acted(draft: Draft, now: int, message: _Message, raw: Raw, call: int) -> int:
    """A step's call and its reply; returns the tool call it led to, 0 when the message asks for none."""
    chat.reply(draft, call, now, message, raw)
    requests = chat.asked(message)
    if requests:
        return draft.pending(requests[0].call_id) or 0
    if not isinstance(message.action, str) or not message.action.strip():
        return 0
    return draft.ask(now, message.action.split()[0], None, encoded(message.action), requested_by=call)


def _observed(draft: Draft, now: int, message: _Message, raw: Raw, act: int, step: _Step) -> None:
    """A message from outside the model: what the last action showed, or the task, or a demonstration."""
    if chat.answered(message):
        chat.listen(draft, now, message, raw)
        return
    seq = draft.say(now, str(message.role), raw, act)
    if act:
        draft.answer(act, now, "completed", result=present(step.observation) or chat.said(message), message=seq)


def _ending(exit_status: Any) -> tuple[Status, str]:
    if not isinstance(exit_status, str):
        return "abandoned", "process_died"
    return next(
        ((status, reason) for part, status, reason in _ENDINGS if part in exit_status), ("failed", "internal_error")
    )


def _model(config: Raw) -> str | None:
    """The model of the run's configuration, which some files carry as JSON in a string."""
    inner = text(config)
    agent = members(config if inner is None else inner.encode()).get("agent", NULL)
    name = value(members(members(agent).get("model", NULL)).get("name", NULL))
    return name if isinstance(name, str) else None
