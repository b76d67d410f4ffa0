"""Conversations that a provider takes: every tool call has its result right behind it, every result its call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import structs

from tachograph.errors import InvalidTranscript
from tachograph.events.chat import Message, ToolUse, result
from tachograph.events.run import STOP_REASONS

INTERRUPTED = "interrupted: this call did not finish, and nothing is known of its result"


def check(messages: Sequence[Message]) -> None:
    """Raises InvalidTranscript at the first message that stands wrong."""
    open_calls: list[str] = []
    for place, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise InvalidTranscript(place, f"a result for {message.tool_call_id!r}, which is no open call")
            open_calls.remove(message.tool_call_id)
            continue
        if open_calls:
            raise InvalidTranscript(place, f"the call {open_calls[0]!r} before it has no result")
        open_calls = [call.id for call in message.tool_calls]
    if open_calls:
        raise InvalidTranscript(len(messages), f"the call {open_calls[0]!r} at the end has no result")


def hiding(messages: Iterable[Message], names: Mapping[str, tuple[str, ...]]) -> tuple[Message, ...]:
    """The same conversation, whose recorded form leaves out arguments: tool → their names."""
    return tuple(_hiding(message, names) for message in messages)


def closed(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The same conversation with a result for every call that has none: it says that the call was interrupted.

    Raises InvalidTranscript for a result without its call.
    """
    found: list[Message] = []
    waiting: list[ToolUse] = []
    for place, message in enumerate(messages):
        if message.role == "tool":
            call = next((one for one in waiting if one.id == message.tool_call_id), None)
            if call is None:
                raise InvalidTranscript(place, f"a result for {message.tool_call_id!r}, which is no open call")
            waiting.remove(call)
        else:
            found += (result(call, INTERRUPTED) for call in waiting)
            waiting = list(message.tool_calls)
        found.append(message)
    return (*found, *(result(call, INTERRUPTED) for call in waiting))


def _hiding(message: Message, names: Mapping[str, tuple[str, ...]]) -> Message:
    if all(call.hidden == names.get(call.name, call.hidden) for call in message.tool_calls):
        return message
    calls = tuple(structs.replace(call, hidden=names.get(call.name, call.hidden)) for call in message.tool_calls)
    return structs.replace(message, tool_calls=calls)


def refused(reason: str) -> str:
    """What a model is told of a call that was not let through, by what the record says of it."""
    return f"Not run: the limit {reason} is reached." if reason in STOP_REASONS["failed"] else reason
