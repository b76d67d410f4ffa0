"""Recorded model calls: what was sent, what came back, and how to say it again.

Reads the events of a run into attempts. Replies in any shape that providers use give their text and their tool calls;
those that our own loop recorded come back exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.errors import ModelError, ReplayMismatch
from tachograph.events import chat
from tachograph.events.call import CallEnded, CallMetered, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.run import Failure
from tachograph.events.usage import Usage
from tachograph.fold import transcript
from tachograph.fold.asks import asks
from tachograph.providers.body import finish_of
from tachograph.providers.port import Reply


class Attempt(Struct, frozen=True, kw_only=True):
    """One recorded model call, and what is known of it."""

    started: CallStarted
    ended: CallEnded | None
    """None: the process died meanwhile."""
    usage: Usage
    """The last word on it, which may have come after its end."""
    sent: tuple[transcript.Message, ...]
    values: tuple[Any, ...]
    """What `sent` says; None where it was not kept."""
    said: tuple[Any, ...]
    """The messages of the reply, or of what came of it."""
    tools: Any
    """Tools that were sent; None when there were none."""
    facts: Mapping[str, Any]
    """Metadata of its end."""


def attempts(events: Iterable[Event], fetch: transcript.Fetch | None, model: str | None) -> Iterator[Attempt]:
    """The chat calls of recorded events, in the order in which they began."""
    trees: dict[str, transcript.Transcripts] = {}
    begun: dict[tuple[str, int], CallStarted] = {}
    ended: dict[tuple[str, int], CallEnded] = {}
    metered: dict[tuple[str, int], Usage] = {}
    for event in events:
        body = event.body
        if isinstance(body, CallStarted):
            if body.operation == "chat" and model in (None, body.model):
                begun[event.run, event.seq] = body
        elif isinstance(body, CallEnded):
            ended[event.run, event.step] = body
        elif isinstance(body, CallMetered):
            metered[event.run, body.call] = body.usage
        else:
            trees.setdefault(event.run, transcript.Transcripts()).apply(event)
    for key, started in begun.items():
        tree = trees.get(key[0]) or transcript.Transcripts()
        yield _attempt(started, ended.get(key), metered.get(key), tree, fetch)


def _attempt(
    started: CallStarted,
    ended: CallEnded | None,
    metered: Usage | None,
    tree: transcript.Transcripts,
    fetch: transcript.Fetch | None,
) -> Attempt:
    sent = tree.path(started.input)
    nodes = {message.node for message in sent}  # reminders are sent, and stand on no path to a reply
    reached = tree.path(None if ended is None else ended.output)
    said = [message for message in reached if message.node not in nodes]
    values = transcript.read([*sent, *said], fetch)
    facts = _value(None if ended is None else ended.metadata, fetch)
    return Attempt(
        started=started,
        ended=ended,
        usage=metered or (Usage() if ended is None else ended.usage),
        sent=tuple(sent),
        values=tuple(values[: len(sent)]),
        said=tuple(values[len(sent) :]),
        tools=_value(started.tools, fetch),
        facts=facts if isinstance(facts, Mapping) else {},
    )


def _value(content: Content | None, fetch: transcript.Fetch | None) -> Any:
    """What a content says; None when there is none or it was not kept."""
    if content is None:
        return None
    return transcript.read([transcript.Message(0, "", content)], fetch)[0]


def message_of(call: Attempt, position: int) -> chat.Message | None:
    """The reply as a message; None where there was none. Raises ReplayMismatch when it was not kept."""
    if not call.said:
        return None
    if any(value is None for value in call.said):
        raise ReplayMismatch(position, "the reply was recorded without its content, so it cannot be given again")
    if len(call.said) == 1:
        try:
            return chat.read(call.said[0])
        except (ValueError, AttributeError):
            pass  # in the shape of another wire: its text and its tool calls are what can be given
    uses = [
        chat.ToolUse(ask.id or "", ask.name or "", _text_of_arguments(ask.arguments))
        for value in call.said
        for ask in asks(value)
    ]
    return chat.Message("assistant", "".join(map(_text, call.said)), tuple(uses))


def _text(value: Any) -> str:
    """The text of a message in whatever shape."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text, value))
    if not isinstance(value, Mapping) or value.get("thought"):
        return ""
    return next((_text(value[key]) for key in ("text", "content", "parts") if value.get(key)), "")


def _text_of_arguments(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return "{}" if arguments is None else msgspec.json.encode(arguments).decode()


def reply_of(call: Attempt, ended: CallEnded, message: chat.Message) -> Reply:
    """The reply of an attempt that was completed."""
    word = ended.finish_reason or ""
    return Reply(
        message=message,
        finish=finish_of(word, refused=False, calls=bool(message.tool_calls)),
        usage=call.usage,
        raw_finish=word,
        served_model=ended.served_model,
        served_tier=ended.served_tier,
        response_id=ended.response_id,
        reported_cost=None if ended.reported_cost is None else Decimal(ended.reported_cost).scaleb(-9),
        citations=tuple(call.facts.get("citations") or ()),
    )


def failure_of(call: Attempt, message: chat.Message | None) -> ModelError:
    """The error with which a recorded attempt ended."""
    ended, asked = call.ended, call.started
    if ended is None:
        failure = Failure("", "the recorded call has no end: its process died", "network")
    elif ended.error is not None:
        failure = ended.error
    else:
        failure = Failure("", f"the recorded call was {ended.status}", "cancelled")
    status = None if ended is None else ended.http_status
    http = call.facts.get("http")
    seen = http[-1] if isinstance(http, list) and http and isinstance(http[-1], Mapping) else {}
    where = " ".join(part for part in (asked.provider, asked.model) if part)
    partial = None if message is None else Reply(message=message, finish="length", usage=call.usage)
    return ModelError(
        failure.category or "bug",
        failure.message.removeprefix(f"{where}: ").removeprefix(f"{failure.category}: "),
        provider=asked.provider,
        model=asked.model,
        status=status,
        retry_after=seen.get("retry_after"),
        safe=status is not None and status >= 400 and message is None,
        in_stream=message is not None,
        partial=partial,
    )
