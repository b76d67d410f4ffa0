"""A conversation as a page shows it, call by call: what was new in each request, its reply, what happened between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tachograph.events import ids
from tachograph.events.content import Content
from tachograph.queries import wording
from tachograph.queries.transcript import Said
from tachograph.queries.views.conversation import Conversation, Turn
from tachograph.queries.views.request import Request
from tachograph.web import links
from tachograph.web.message import decoded, pretty
from tachograph.web.run.events import Mark, mark
from tachograph.web.run.said import Layout, Row, Shown, notes


class Call(Struct, frozen=True, kw_only=True):
    """A model call, as the list of calls and the head of a turn name it."""

    step: int
    iteration: int | None
    model: str
    purpose: str
    agent: str
    status: str
    attempt: int
    input: int | None
    cached: int | None
    output: int | None
    cost: int | None
    is_unpriced: bool
    took: int | None
    finish: str
    error: str
    href: str
    """To what it saw."""
    details: str
    """To its details."""


class Told(Struct, frozen=True, kw_only=True):
    """A turn."""

    seq: int
    call: Call | None
    sent: tuple[Shown, ...]
    came: tuple[Shown, ...]
    follows: str
    """What its request goes on from, as a sentence; empty where that goes without saying."""
    is_break: bool
    """Whether that is another place than where the conversation stood."""
    marks: tuple[Mark, ...]
    tools: tuple[str, ...]
    """Names of the tools that were given."""
    tools_text: str
    params: str


def told(found: Conversation) -> tuple[Told, ...]:
    """A stretch of a conversation."""
    every = [each for turn in found.turns for each in (*turn.sent, *turn.came)]
    by_call = {each.node: turn.call for turn in found.turns for each in turn.came if turn.call is not None}
    laid = Layout(found.run, (*every, *found.ahead), by_call, found.tools, found.trees)
    return tuple(_told(found, turn, laid) for turn in found.turns)


def asked_for(found: Request, run: str) -> Told:
    """One request with what is new in it, and its reply. What stood in an earlier one is `repeated`."""
    messages = (*found.before, *found.new, *found.came)
    by_call = {each.node: found.call for each in found.came}
    if found.new and found.compared is not None:
        by_call[found.new[0].node] = found.compared
    laid = Layout(run, messages, by_call, found.results)
    return Told(
        seq=found.call,
        call=call(run, found.row) if found.row else None,
        sent=laid.shown(found.new),
        came=laid.shown(found.came),
        follows="",
        is_break=False,
        marks=(),
        **_given(found.tools, found.params, found.texts),
    )


def repeated(found: Request, run: str) -> tuple[Shown, ...]:
    """What an earlier request had too."""
    return Layout(run, found.before, {}, {}).shown(found.before)


def alone(message: Said, run: str) -> Shown:
    """One message without those around it."""
    return Layout(run, (message,), {}, {}).whole(message)


def call(run: str, row: Row) -> Call:
    """A model call from its row."""
    error = ": ".join(filter(None, ((row["error_type"] or "").rpartition(".")[2], row["error_message"] or "")))
    return Call(
        step=row["step"],
        iteration=row["iteration"],
        model=row["model"],
        purpose=row["purpose"] or ("" if row["operation"] == "chat" else row["operation"]),
        agent=row["agent_type"] or "",
        status=row["status"],
        attempt=row["attempt"],
        input=row["input_tokens"],
        cached=row["cache_read_tokens"],
        output=row["output_tokens"],
        cost=row["cost_nano"],
        is_unpriced=row["cost_state"] == "unpriced",
        took=row["duration_ns"],
        finish=row["finish_reason"] or "",
        error=error,
        href=links.run(run, "transcript", call=row["step"]),
        details=links.step(ids.step_id(run, row["step"])),
    )


def _told(found: Conversation, turn: Turn, laid: Layout) -> Told:
    row = None if turn.call is None else found.calls.get(turn.call)
    return Told(
        seq=turn.seq,
        call=None if row is None else call(found.run, row),
        sent=laid.shown(turn.sent),
        came=laid.shown(turn.came),
        follows=_follows(turn),
        is_break=turn.follows in ("anew", "earlier"),
        marks=tuple(mark(event, found.run) for event in turn.marks),
        **_given(turn.tools, turn.params, found.texts),
    )


def _follows(turn: Turn) -> str:
    """What the request had before its new messages."""
    if turn.call is None:
        return ""
    if not turn.is_begun:
        return "The reply to a request on the page before"
    match turn.follows:
        case "anew":
            return "A conversation of its own begins here: nothing said before is in this request"
        case "earlier":
            known = f" ({wording.some(turn.repeated, 'message')})" if turn.repeated else ""
            return f"Goes on from message {turn.after}{known}: what was said behind that is not in this request"
        case "unknown":
            return "What was said before, as before"
        case "on" if turn.repeated:
            return f"{wording.some(turn.repeated, 'message')} as before"
    return ""


def _given(tools: Content | None, params: Content | None, texts: Mapping[str, str]) -> dict[str, Any]:
    tools_text = _text(tools, texts)
    return {"tools": _tool_names(tools_text), "tools_text": pretty(tools_text), "params": pretty(_text(params, texts))}


def _text(content: Content | None, texts: Mapping[str, str]) -> str:
    if content is None:
        return ""
    found = content.text if content.text is not None else texts.get(content.hash or "")
    return found if found is not None else "; ".join(notes(content)) or f"{wording.size(content.size)} of JSON"


def _tool_names(text: str) -> tuple[str, ...]:
    """Names in tool definitions, in the shapes that providers use."""
    value = decoded(text)
    found: list[str] = []
    for tool in value if isinstance(value, list) else ():
        if isinstance(tool, Mapping):
            several = tool.get("functionDeclarations") or tool.get("function_declarations") or [tool]
            found.extend(_tool_name(each) for each in several if isinstance(each, Mapping))
    return tuple(found)


def _tool_name(tool: Mapping[str, Any]) -> str:
    for holder in (tool, tool.get("function"), tool.get("toolSpec")):
        if isinstance(holder, Mapping) and isinstance(holder.get("name"), str):
            return str(holder["name"])
    return str(tool.get("type") or "tool")
