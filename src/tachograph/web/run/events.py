"""Events of a run as lines: what happened, in one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from tachograph.events import codec, ids
from tachograph.events.call import CallEnded, CallMetered, CallRepriced, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss, Note, Score
from tachograph.events.run import Failure, RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.queries import wording
from tachograph.queries.units import Time, time
from tachograph.queries.views.stretch import type_of
from tachograph.web import links
from tachograph.web.message import Part, decoded, parts, pretty

WIDTH = 160
"""Most characters of recorded text in a line."""


class Line(Struct, frozen=True, kw_only=True):
    """One event."""

    seq: int
    at: Time
    type: str
    kind: str
    """llm, tool, limit, run, … : how it is coloured."""
    text: str
    """What it says."""
    step: int
    step_href: str
    href: str
    """To the whole event."""
    size: int
    """Bytes of content that it carries or names."""


def line(event: Event, run: str) -> Line:
    """The line of an event."""
    teller = _TELLERS.get(type(event.body))
    return Line(
        seq=event.seq,
        at=time(event.at),
        type=type_of(event),
        kind=_KINDS.get(type(event.body), "other"),
        text="" if teller is None else teller(event.body),
        step=event.step,
        step_href=links.step(ids.step_id(run, event.step)) if event.step else links.run(run),
        href=links.event(run, event.seq),
        size=sum(each.size for each in _contents(event)),
    )


class Mark(Struct, frozen=True, kw_only=True):
    """An event that stands between what was said: a limit, a hand-off, a compaction, a run that went on."""

    label: str
    kind: str
    text: str
    href: str


def mark(event: Event, run: str) -> Mark:
    """The mark of an event."""
    label, text = _marked(event)
    return Mark(label=label, kind=_KINDS.get(type(event.body), "other"), text=text, href=links.event(run, event.seq))


def _marked(event: Event) -> tuple[str, str]:
    match event.body:
        case LimitHit(mode=mode, reason=reason):
            used = f"{event.body.metric} {event.body.used:g} of {event.body.threshold:g}"
            return f"limit: {mode}", cut(_joined(used, reason), 2 * WIDTH)
        case StepStarted(kind="handoff", name=name):
            return "hand-off", cut(_joined(name.removeprefix("handoff "), _reason(event.body.input)), 2 * WIDTH)
        case StepStarted(kind=kind, name=name):
            return kind, cut(_joined(name if name != kind else "", _said(event.body.input)))
        case RunResumed() as body:
            return "resumed", _run_resumed(body)
    return type_of(event).replace("_", " "), ""


def _reason(content: Content | None) -> str:
    """Why somebody was handed to."""
    value = None if content is None else decoded(content.text)
    reason = value.get("reason") if isinstance(value, dict) else None
    return reason if isinstance(reason, str) else ""


KINDS: Mapping[str, tuple[str, ...]] = {
    "run": ("run_started", "run_ended", "run_resumed"),
    "steps": ("step_started", "step_ended"),
    "model calls": ("call_started", "call_ended", "call_metered", "call_repriced"),
    "tool calls": ("tool_started", "tool_ended"),
    "messages": ("message_appended",),
    "limits": ("limit_hit",),
    "notes": ("note", "score", "loss"),
}
"""Kind of events → their types."""


def types_of(kind: str) -> frozenset[str]:
    """The types that a kind means; a type means itself, nothing means all."""
    return frozenset(KINDS.get(kind, (kind,) if kind else ()))


def whole(event: Event) -> str:
    """All of an event as JSON on lines."""
    return pretty(codec.to_json(event).decode())


def _contents(event: Event) -> list[Content]:
    body = event.body
    values = (getattr(body, name) for name in body.__struct_fields__)
    return [value for value in values if isinstance(value, Content)]


def cut(text: str, width: int = WIDTH) -> str:
    """Text on one line, at most so many characters of it."""
    flat = " ".join(text[: 4 * width].split())
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"


def _said(content: Content | None) -> str:
    """What a content holds: text of a JSON string bare, other JSON as it stands."""
    if content is None:
        return ""
    if content.text is None:
        return f"({wording.size(content.size)}{'' if content.hash and content.level != 'hashed' else ', not kept'})"
    return cut(decoded(content.text) if content.text.startswith('"') else content.text)


def spoken(content: Content) -> str:
    """What a message says, on one line."""
    if content.text is None:
        return _said(content)
    return cut(" ".join(map(_word, parts(decoded(content.text)))))


def _word(part: Part) -> str:
    match part.kind:
        case "ask":
            return f"→ {part.name}({' '.join(part.text.split())})"
        case "result":
            return " ".join(map(_word, part.parts))
        case "media":
            return f"[{part.name}]"
        case "thinking":
            return f"(thinks) {part.text}"
    return part.text


def _joined(*words: str | None) -> str:
    return " · ".join(filter(None, words))


def _error(error: Failure | None) -> str:
    return "" if error is None else cut(f"{error.type.rpartition('.')[2]}: {error.message}".removesuffix(": "))


def _run_started(body: RunStarted) -> str:
    return _joined(f"{body.name} begins", f"from {body.source}" if body.source else "", _said(body.input))


def _run_ended(body: RunEnded) -> str:
    return _joined(wording.outcome(body.status, body.stop_reason), _error(body.error), _said(body.output))


def _run_resumed(body: RunResumed) -> str:
    return _joined("goes on", f"by {body.by}" if body.by else "", _said(body.limits))


def _step_started(body: StepStarted) -> str:
    name = str(body.iteration) if body.kind == "iteration" and body.iteration is not None else body.name
    return _joined(f"{body.kind} {name.removeprefix(f'{body.kind} ')}", _said(body.input))


def _step_ended(body: StepEnded) -> str:
    return _joined(body.status, _error(body.error), _said(body.output))


def _call_started(body: CallStarted) -> str:
    again = f"attempt {body.attempt}" if body.attempt > 1 else ""
    return _joined(body.model, body.provider, again, body.purpose, "streamed" if body.streaming else "")


def _call_ended(body: CallEnded) -> str:
    return _joined(wording.outcome(body.status, body.finish_reason or ""), _spent(body), _error(body.error))


def _spent(body: CallEnded | CallMetered) -> str:
    usage, cost = body.usage, body.cost
    money = wording.money(cost.total if cost else None)
    return f"{wording.short(usage.input_total)} → {wording.short(usage.output)} tokens · {money}"


def _call_metered(body: CallMetered) -> str:
    return f"call {body.call} · {_spent(body)}"


def _call_repriced(body: CallRepriced) -> str:
    return f"call {body.call} now costs {wording.money(body.cost.total)}"


def _tool_started(body: ToolStarted) -> str:
    return _joined(body.name, _said(body.arguments))


def _tool_ended(body: ToolEnded) -> str:
    return _joined(body.state, cut(body.reason or ""), _error(body.error), _said(body.result))


def _message(body: MessageAppended) -> str:
    fleeting = "in this request only" if body.ephemeral else ""
    return _joined(body.role, fleeting, spoken(body.message))


def _limit(body: LimitHit) -> str:
    return _joined(body.mode, f"{body.scope} {body.metric}: {body.used:g} of {body.threshold:g}", cut(body.reason))


def _note(body: Note) -> str:
    return _joined(body.name, _said(body.data))


def _score(body: Score) -> str:
    value = body.label if body.value is None else f"{body.value:g}"
    return _joined(f"{body.name} {value or wording.UNKNOWN}", body.kind, cut(body.comment or ""))


def _loss(body: Loss) -> str:
    return f"{body.reason}: {wording.some(body.events, 'event')}, {wording.size(body.bytes)} could not be recorded"


_TELLERS: Mapping[type, Callable[[Any], str]] = {
    RunStarted: _run_started,
    RunEnded: _run_ended,
    RunResumed: _run_resumed,
    StepStarted: _step_started,
    StepEnded: _step_ended,
    CallStarted: _call_started,
    CallEnded: _call_ended,
    CallMetered: _call_metered,
    CallRepriced: _call_repriced,
    ToolStarted: _tool_started,
    ToolEnded: _tool_ended,
    MessageAppended: _message,
    LimitHit: _limit,
    Note: _note,
    Score: _score,
    Loss: _loss,
}
_KINDS: Mapping[type, str] = {
    **dict.fromkeys((CallStarted, CallEnded, CallMetered, CallRepriced), "llm"),
    **dict.fromkeys((ToolStarted, ToolEnded), "tool"),
    **dict.fromkeys((LimitHit, Loss), "limit"),
    **dict.fromkeys((RunStarted, RunEnded, RunResumed), "run"),
}
