"""Who&When: failed conversations of several agents, with human labels for which agent erred, at which step, and why.

Every message but the human's is a step of the agent that wrote it. The records hold no requests to models, so there are
no model calls. The label becomes a score of the step it names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.events.content import Content
from tachograph.events.run import Status, StepStarted
from tachograph.wire.lines import Unreadable, encoded, parse
from tachograph.wire.sessions import chat
from tachograph.wire.sessions.draft import Draft, Found, Origin, Problem, Recorded

FORMAT = "who-and-when"

_HUMAN = frozenset({"human", "user"})
_MARKS: tuple[tuple[str, Status, str], ...] = (
    ("Max rounds", "failed", "max_iterations"),
    ("Max time", "failed", "deadline"),
    ("No agent selected", "completed", "final_answer"),
    ("TERMINATE", "completed", "final_answer"),
)
"""What the frameworks write when they end a conversation."""


class _Record(Struct):
    history: list[Raw]
    question: str | None = None
    question_ID: Any = None  # noqa: N815 - as it is spelled there
    ground_truth: Any = None
    level: Any = None
    is_correct: Any = None
    is_corrected: Any = None
    mistake_agent: Any = None
    mistake_step: Any = None
    mistake_reason: Any = None
    mistake_type: Any = None


_record = msgspec.json.Decoder(_Record)
_message = msgspec.json.Decoder(chat.Message)


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """One run of each record."""
    for number, line in lines:
        try:
            record = parse(_record, line)
            yield _run(record, [(_message.decode(raw), raw) for raw in record.history], number, origin)
        except (Unreadable, msgspec.DecodeError) as fault:
            yield Problem(number, str(fault))


def _run(record: _Record, history: list[tuple[chat.Message, Raw]], line: int, origin: Origin) -> Recorded:
    draft = Draft(FORMAT, f"{origin.key or origin.source}#{line}", None, origin, line)
    known = {"question": record.question_ID, "level": record.level, "ground_truth": record.ground_truth}
    draft.begin(FORMAT, platform=FORMAT, metadata=known, input=encoded(record.question) if record.question else None)
    steps: list[int] = []
    for message, raw in history:
        author = message.name if isinstance(message.name, str) else message.role
        if not isinstance(author, str) or author in _HUMAN:
            draft.say(draft.began, str(message.role), raw)
            steps.append(0)
            continue
        kind = author.partition(" (")[0]
        step = draft.open_step(draft.began, StepStarted(kind="agent", name=author, agent_type=kind))
        draft.say(draft.began, str(message.role), raw, step)
        draft.end_step(step, draft.began, output=chat.said(message))
        steps.append(step)
    status, reason = _ending(history[-1][0] if history else None)
    draft.finish(status, reason, output=_answer([message for message, _ in history]))
    _label(draft, record, steps)
    return draft.recorded()


def _ending(last: chat.Message | None) -> tuple[Status, str]:
    words = b"" if last is None else bytes(last.content)
    return next(
        ((status, reason) for mark, status, reason in _MARKS if words.startswith(f'"{mark}'.encode())),
        ("abandoned", "process_died"),
    )


def _answer(messages: list[chat.Message]) -> Content | None:
    """The last words that are not the framework's mark."""
    spoken = [words for message in messages if (words := chat.said(message)) and words.text != '"TERMINATE"']
    return spoken[-1] if spoken else None


def _label(draft: Draft, record: _Record, steps: list[int]) -> None:
    correct = record.is_correct if record.is_correct is not None else record.is_corrected
    if isinstance(correct, bool):
        draft.score("correct", value=float(correct))
    if record.mistake_agent is None:
        return
    place = _place(record.mistake_step)
    target = steps[place] if place is not None and place < len(steps) else 0
    reason = record.mistake_reason if isinstance(record.mistake_reason, str) else None
    draft.score("mistake", label=str(record.mistake_agent), comment=reason, target=target, value=place)


def _place(step: Any) -> int | None:
    """Index of a message, which the labels write as text."""
    said = str(step)
    return int(said) if said.isascii() and said.isdigit() and len(said) < 7 else None
