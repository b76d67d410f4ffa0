"""Plain message lists: what fine-tuning files, notebooks and home-made loggers keep.

Three shapes: an object with `messages` (and perhaps `model`, `usage`, `id`), an array of messages, or a file with one
message a line, which is one conversation. Each conversation is one run; each message a model wrote is one model call.
Usage is known where a message brings its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.events.usage import MISSING, Usage
from tachograph.wire import usage as wire_usage
from tachograph.wire.lines import NULL, Unreadable, elements, members, parse, present, value
from tachograph.wire.sessions import chat
from tachograph.wire.sessions.draft import Draft, Found, Origin, Problem, Recorded
from tachograph.wire.times import nanoseconds
from tachograph.wire.vendors import served

FORMAT = "messages"


class _Conversation(Struct):
    messages: list[Raw]
    model: str | None = None
    id: Any = None
    tools: Raw = NULL
    metadata: Raw = NULL


class _Spoken(chat.Message):
    model: str | None = None
    usage: Raw = NULL
    timestamp: Any = None
    created_at: Any = None


_raw = msgspec.json.Decoder(Raw)
_conversation = msgspec.json.Decoder(_Conversation)
_spoken = msgspec.json.Decoder(_Spoken)


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """Runs of a file of conversations, or the one run of a file of messages."""
    loose: list[Raw] = []
    first = 1
    for number, line in lines:
        try:
            record = parse(_raw, line)
            listed = elements(record)
            if listed is not None:
                yield from _tell(_Conversation(listed), number, origin)
            elif "messages" in members(record):
                yield from _tell(parse(_conversation, bytes(record)), number, origin)
            elif "role" in members(record):
                first = first if loose else number
                loose.append(record)
            else:
                yield Problem(number, "neither a message nor a list of messages")
        except Unreadable as fault:
            yield Problem(number, str(fault))
    if loose:
        yield from _tell(_Conversation(loose), first, origin)


def _tell(conversation: _Conversation, line: int, origin: Origin) -> Found:
    spoken: list[tuple[_Spoken, Raw]] = []
    for raw in conversation.messages:
        try:
            spoken.append((_spoken.decode(raw), raw))
        except msgspec.DecodeError as fault:
            yield Problem(line, f"a message is not of the shape of one: {fault}")
    if spoken:
        yield _run(conversation, spoken, line, origin)


def _run(conversation: _Conversation, spoken: list[tuple[_Spoken, Raw]], line: int, origin: Origin) -> Recorded:
    times = [nanoseconds(message.timestamp or message.created_at) for message, _ in spoken]
    start = next((at for at in times if at is not None), None)
    key = str(conversation.id) if conversation.id is not None else f"{origin.key or origin.source}#{line}"
    draft = Draft(FORMAT, key, start, origin, line)
    trigger = next((message for message, _ in spoken if message.role == "user"), None)
    asked = None if trigger is None else chat.said(trigger)
    draft.begin("conversation", input=asked, metadata=present(conversation.metadata), platform=FORMAT)
    now = draft.began
    for (message, raw), at in zip(spoken, times, strict=True):
        now = max(now, at or now)
        name = message.model or conversation.model
        provider, model = served(name)
        chat.exchange(draft, now, message, raw, chat.Speaker(provider, model), used=_usage(message.usage))
    status, reason, answer = chat.outcome(spoken[-1][0])
    return draft.finish(status, reason, output=answer, growing=status == "abandoned")


def _usage(raw: Raw) -> Usage:
    found = value(raw)
    return wire_usage.read(found) if isinstance(found, dict) else MISSING
