"""What did the model see and say: the messages of one call, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tachograph.errors import NotFound
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.fold.transcript import Message, Transcripts, collect
from tachograph.queries.events import fetch_texts, text_of
from tachograph.store.ports import Reading


class Said(Struct, frozen=True):
    """One message."""

    node: int
    """Seq of its event."""
    role: str
    text: str | None
    """The whole message as JSON, exactly as recorded; None when it was not kept."""
    content: Content
    """How it was recorded: size, what was cut, masked or replaced."""
    ephemeral: bool = False
    """Present in this request only."""


class Transcript(Struct, frozen=True):
    """One model call's conversation. Without a call: the whole conversation up to its newest message."""

    run: str
    call: int | None
    model: str | None
    input: tuple[Said, ...]
    """What was sent, oldest first."""
    output: tuple[Said, ...]
    """What came back; on an abort the partial reply."""
    tools: str | None = None
    """Tool definitions that were sent, as JSON."""
    params: str | None = None
    """Everything else that was sent, as JSON."""


def transcript(store: Reading, run: str, call: int | None = None) -> Transcript:
    """The transcript of a run at a model call (its step). None: at its last call, or of all it has without any.

    Raises NotFound when the run has no such call.
    """
    events = list(store.read(run))
    starts = {event.seq: event for event in events if isinstance(event.body, CallStarted)}
    if call is not None and call not in starts:
        raise NotFound("model call", f"{run}/{call}")
    messages = collect(events)
    if call is None and not starts:
        return _without_call(store, run, messages)
    step = max(starts) if call is None else call
    return _at_call(store, messages, starts[step], _end(events, step))


def exchange(messages: Transcripts, start: CallStarted, end: CallEnded | None) -> tuple[list[Message], list[Message]]:
    """What a call sent and what came back, each oldest first."""
    sent = _path(messages, start.input)
    whole = _path(messages, end.output) if end is not None else []
    known = {message.node for message in sent}
    return sent, [message for message in whole if message.node not in known]


def _at_call(store: Reading, messages: Transcripts, start: Event, end: CallEnded | None) -> Transcript:
    opening = start.body
    assert isinstance(opening, CallStarted)
    sent, came = exchange(messages, opening, end)
    extra = (opening.tools, opening.params)
    texts = fetch_texts((*(message.content for message in (*sent, *came)), *extra), store.fetch)
    tools, params = (None if content is None else text_of(content, texts) for content in extra)
    return Transcript(start.run, start.seq, opening.model, _said(sent, texts), _said(came, texts), tools, params)


def _without_call(store: Reading, run: str, messages: Transcripts) -> Transcript:
    path = _path(messages, max(messages.tips, default=None))
    texts = fetch_texts((message.content for message in path), store.fetch)
    return Transcript(run, None, None, _said(path, texts), ())


def _path(messages: Transcripts, node: int | None) -> list[Message]:
    """Messages up to a node; none for a node that is not there."""
    return messages.path(node) if node in messages.messages else []


def _end(events: Iterable[Event], step: int) -> CallEnded | None:
    ends = (event.body for event in events if event.step == step and isinstance(event.body, CallEnded))
    return next(ends, None)


def _said(path: Iterable[Message], texts: Mapping[bytes, bytes]) -> tuple[Said, ...]:
    return tuple(
        Said(message.node, message.role, text_of(message.content, texts), message.content, message.ephemeral)
        for message in path
    )
