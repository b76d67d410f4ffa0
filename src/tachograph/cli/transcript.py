"""The messages of a call as people read them: who speaks, and what is said, asked for and answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from rich.text import Text

from tachograph.cli import human
from tachograph.errors import NotFound
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.envelope import Event
from tachograph.fold.asks import asks
from tachograph.fold.transcript import Message, collect

STYLES = {"system": "dim", "developer": "dim", "user": "green", "assistant": "magenta", "model": "magenta", "tool": "blue"}


class Spoken(Struct, frozen=True):
    """A message of a transcript with its text."""

    node: int
    role: str
    text: str | None
    """The message as JSON, exactly as recorded; None when it was not kept."""
    reply: bool
    """Written by the model in this call, not sent to it."""


def at_call(events: Sequence[Event], call: int | None) -> tuple[int, list[Spoken]]:
    """A call's number and its messages, input first, then the reply; the run's last call when none is named.

    `events` carry their content. Raises NotFound.
    """
    starts = {event.step: event.body for event in events if isinstance(event.body, CallStarted)}
    ends = {event.step: event.body for event in events if isinstance(event.body, CallEnded)}
    number = max(starts, default=None) if call is None else call
    if number is None or number not in starts:
        raise NotFound("model call of this run", str(call if call is not None else "last"))
    messages = collect(events)
    sent = messages.path(starts[number].input)
    ended = ends.get(number)
    whole = messages.path(ended.output) if ended is not None and ended.output is not None else []
    reply = whole[len(sent) :] if [each.node for each in whole[: len(sent)]] == [each.node for each in sent] else whole
    return number, [_spoken(each, reply=False) for each in sent] + [_spoken(each, reply=True) for each in reply]


def tell(spoken: Spoken) -> Text:
    """A message for a person: a line that says who speaks, and below it what."""
    style = STYLES.get(spoken.role, "bold")
    words = Text.assemble((human.line(spoken.role), f"bold {style}"), (" answers" if spoken.reply else "", "dim"), "\n")
    if spoken.text is None:
        return words.append("(not kept)", "dim")
    try:
        message = msgspec.json.decode(spoken.text)
    except msgspec.DecodeError:
        return words.append(human.block(spoken.text))
    return words.append(human.block("\n".join(_lines(message))) or "(empty)")


def _spoken(message: Message, *, reply: bool) -> Spoken:
    return Spoken(message.node, message.role, message.content.text, reply)


def _lines(message: Any) -> Iterator[str]:
    body = message.get("content", message.get("parts", message.get("text"))) if isinstance(message, dict) else message
    yield from _texts(body)
    for ask in asks(message):
        arguments = ask.arguments if isinstance(ask.arguments, str) else msgspec.json.encode(ask.arguments).decode()
        yield f"→ {ask.name}({arguments})"


def _texts(body: Any) -> Iterator[str]:
    match body:
        case None:
            return
        case str():
            yield body
        case list():
            for part in body:
                yield from _texts(part)
        case {"type": "tool_use" | "function_call"}:
            return
        case {"text": str(text)} | {"thinking": str(text)} | {"content": str(text)}:
            yield text
        case {"content": list(parts)}:
            yield from _texts(parts)
        case _:
            yield msgspec.json.encode(body).decode()
