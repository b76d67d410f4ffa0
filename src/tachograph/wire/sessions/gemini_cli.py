"""Gemini CLI's chats (`~/.gemini/tmp/<project>/chats/session-*.json`, newer ones `.jsonl`).

A chat is one document, or a line for each change: a message that comes again under its id replaces itself, `$rewindTo`
drops a message and all after it, `$set` changes the head. One run per user message. Each `gemini` message is one call
with its tokens, and carries its tool calls with their results, which follow it in the transcript as messages of their
own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.events.content import Content
from tachograph.events.tool import ToolState
from tachograph.events.usage import MISSING
from tachograph.wire import usage
from tachograph.wire.lines import NULL, Unreadable, compose, elements, encoded, members, parse, present, text, value
from tachograph.wire.sessions.draft import Draft, Found, Origin, Problem, Recorded, failure
from tachograph.wire.times import nanoseconds

FORMAT = "gemini-cli"

_STATES: dict[str, ToolState] = {"success": "completed", "error": "failed", "cancelled": "cancelled"}


class _Tool(Struct):
    id: str | None = None
    name: str | None = None
    args: Raw = NULL
    result: Raw = NULL
    status: str | None = None
    timestamp: Any = None


class _Message(Struct):
    id: str | None = None
    type: str | None = None
    timestamp: Any = None
    content: Raw = NULL
    thoughts: Raw = NULL
    toolCalls: list[_Tool] | None = None  # noqa: N815 - as it is spelled there
    tokens: Raw = NULL
    model: str | None = None


class _Head(Struct):
    sessionId: str | None = None  # noqa: N815
    projectHash: str | None = None  # noqa: N815
    startTime: Any = None  # noqa: N815
    kind: str | None = None
    messages: list[Raw] = []


class _Chat:
    """What a file adds up to."""

    def __init__(self) -> None:
        self.head = _Head()
        self.messages: dict[str, tuple[int, _Message]] = {}

    def take(self, number: int, record: Raw) -> None:
        """One line, or the whole document. Raises DecodeError."""
        given = members(record)
        if "$rewindTo" in given:
            self._rewind(text(given["$rewindTo"]) or "")
        elif "$set" in given:
            self._head(given["$set"], number)
        elif "sessionId" in given and "type" not in given:
            self._head(record, number)
        else:
            self._message(number, record)

    def _head(self, raw: Raw, number: int) -> None:
        known, told = self.head, _head.decode(raw)
        self.head = _Head(
            told.sessionId or known.sessionId,
            told.projectHash or known.projectHash,
            told.startTime or known.startTime,
            told.kind or known.kind,
        )
        for message in told.messages:
            self._message(number, message)

    def _message(self, number: int, raw: Raw) -> None:
        message = _message.decode(raw)
        name = message.id or f"line {number}.{len(self.messages)}"
        first = self.messages[name][0] if name in self.messages else number
        self.messages[name] = (first, message)

    def _rewind(self, name: str) -> None:
        names = list(self.messages)
        for dropped in names[names.index(name) if name in self.messages else 0 :]:
            del self.messages[dropped]


_raw = msgspec.json.Decoder(Raw)
_head = msgspec.json.Decoder(_Head)
_message = msgspec.json.Decoder(_Message)


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """Runs of a chat."""
    chat = _Chat()
    for number, raw in lines:
        if not raw.strip():
            continue
        try:
            chat.take(number, parse(_raw, raw))
        except (Unreadable, msgspec.DecodeError) as fault:
            yield Problem(number, str(fault))
    turns: list[list[tuple[int, _Message]]] = []
    for number, message in chat.messages.values():
        if message.type == "user" or not turns:
            turns.append([])
        turns[-1].append((number, message))
    before: str | None = None
    for turn in turns:
        record = _run(chat.head, turn, before, origin, growing=turn is turns[-1])
        before = record.run
        yield record


def _run(
    head: _Head, turn: list[tuple[int, _Message]], before: str | None, origin: Origin, *, growing: bool
) -> Recorded:
    line, first = turn[0]
    start = nanoseconds(first.timestamp) or nanoseconds(head.startTime)
    key = f"{head.sessionId}:{first.id}" if first.id else f"{origin.key or origin.source}#{line}"
    draft = Draft(FORMAT, key, start, origin, line)
    name = "subagent" if head.kind == "subagent" else FORMAT
    draft.begin(
        name,
        agent_type=name,
        platform=FORMAT,
        session=head.sessionId,
        metadata={"project_hash": head.projectHash, "continues": before},
        input=_words(first.content) if first.type == "user" else None,
    )
    fault: _Message | None = None
    for _, message in turn:
        at = nanoseconds(message.timestamp) or draft.ready
        fault = message if message.type == "error" else None
        if message.type == "user":
            draft.say(at, "user", compose({"role": b'"user"', "content": message.content}))
        elif message.type == "gemini":
            _replied(draft, message, at)
        else:
            draft.note(at, message.type or "unknown", present(message.content))
    return _ended(draft, turn[-1][1], fault, growing=growing)


def _replied(draft: Draft, message: _Message, at: int) -> None:
    tools = message.toolCalls or []
    asked = [compose({"id": _json(tool.id), "name": _json(tool.name), "args": tool.args}) for tool in tools]
    parts: dict[str, Raw | bytes] = {"role": b'"model"', "content": message.content}
    if (elements(message.thoughts) or []) != []:
        parts["thoughts"] = message.thoughts
    if asked:
        parts["toolCalls"] = b"[%s]" % b",".join(asked)
    counts = value(message.tokens)
    call = draft.call("google", message.model or "unknown")
    output = draft.say(at, "model", compose(parts), call)
    used = usage.read(counts, "gemini.cli") if isinstance(counts, dict) else MISSING
    draft.end_call(call, at, output=output, usage=used, served_model=message.model)
    steps = [
        draft.ask(at, tool.name or "unknown", tool.id, present(tool.args), requested_by=call, index=index)
        for index, tool in enumerate(tools)
    ]
    for step, tool in zip(steps, tools, strict=True):
        _answered(draft, step, tool, at)


def _answered(draft: Draft, step: int, tool: _Tool, at: int) -> None:
    state = _STATES.get(tool.status or "")
    if state is None:  # still scheduled, running or awaiting approval: it is closed with the run
        return
    done = nanoseconds(tool.timestamp) or at
    result = present(tool.result)
    seq = None
    if result is not None:
        seq = draft.say(done, "tool", compose({"role": b'"tool"', "content": tool.result}), step)
    error = failure("ToolError", f"{tool.name} reported an error") if state == "failed" else None
    draft.answer(step, done, state, result=result, message=seq, error=error)


def _ended(draft: Draft, last: _Message, fault: _Message | None, *, growing: bool) -> Recorded:
    answer = _words(last.content)
    if fault is not None:
        error = failure("GeminiError", text(fault.content) or "")
        return draft.finish("failed", "provider_error", growing=growing, error=error)
    if last.type == "gemini" and not last.toolCalls and answer is not None:
        return draft.finish("completed", "final_answer", growing=growing, output=answer)
    if any(tool.status == "cancelled" for tool in last.toolCalls or ()):
        return draft.finish("cancelled", "user_cancel", growing=growing)
    if growing:
        return draft.finish("abandoned", "process_died", growing=True)
    return draft.finish("cancelled", "superseded")


def _words(content: Raw) -> Content | None:
    plain = text(content)
    if plain is not None:
        return present(content) if plain.strip() else None
    parts = [text(members(part).get("text", NULL)) or "" for part in elements(content) or ()]
    return encoded("\n".join(parts)) if any(part.strip() for part in parts) else None


def _json(thing: str | None) -> bytes:
    return msgspec.json.encode(thing)
