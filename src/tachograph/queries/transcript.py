"""What did the model see and say: the messages of one call, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

import msgspec
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
    whole: bool = True
    """False: there was no room for its text."""


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
    cut: Mapping[str, Content] = {}
    """Those of `tools` and `params` that there was no room for."""
    left_out: int = 0
    """Messages that are not of the part that was asked for."""


class Part(Struct, frozen=True):
    """How much of a transcript to give: its newest messages, and so many bytes of text, the smallest texts first."""

    bytes: float = inf
    messages: int | None = None
    """Most messages, input and output together; None for all."""
    skip: int = 0
    """Newest messages to leave out."""


WHOLE = Part()


def transcript(store: Reading, run: str, call: int | None = None, part: Part = WHOLE) -> Transcript:
    """The transcript of a run at a model call (its step). None: at its last call, or of all it has without any.

    Raises NotFound when the run has no such call.
    """
    events = list(store.read(run))
    starts = {event.seq: event for event in events if isinstance(event.body, CallStarted)}
    if call is not None and call not in starts:
        raise NotFound("model call", f"{run}/{call}")
    messages = collect(events)
    if call is None and not starts:
        path = _path(messages, max(messages.tips, default=None))
        return _told(store, Transcript(run, None, None, (), ()), _Parts(path, ()), part)
    step = max(starts) if call is None else call
    opening = starts[step].body
    assert isinstance(opening, CallStarted)
    sent, came = exchange(messages, opening, _end(events, step))
    found = Transcript(run, step, opening.model, (), ())
    return _told(store, found, _Parts(sent, came, opening.tools, opening.params), part)


class _Parts(NamedTuple):
    """What a transcript is made of, before any text is read."""

    sent: Sequence[Message]
    came: Sequence[Message]
    tools: Content | None = None
    params: Content | None = None


class _Text(NamedTuple):
    text: str | None
    whole: bool


def exchange(messages: Transcripts, start: CallStarted, end: CallEnded | None) -> tuple[list[Message], list[Message]]:
    """What a call sent and what came back, each oldest first."""
    sent = _path(messages, start.input)
    whole = _path(messages, end.output) if end is not None else []
    known = {message.node for message in sent}
    return sent, [message for message in whole if message.node not in known]


def _told(store: Reading, found: Transcript, parts: _Parts, part: Part) -> Transcript:
    """The transcript with its messages, as much of them as is asked for."""
    path = (*parts.sent, *parts.came)
    last = max(len(path) - part.skip, 0)
    first = 0 if part.messages is None else max(last - part.messages, 0)
    shown = path[first:last]
    tools, params, *texts = _texts(
        store, (parts.tools, parts.params, *(message.content for message in shown)), part.bytes
    )
    said = tuple(
        Said(message.node, message.role, text, message.content, message.ephemeral, whole)
        for message, (text, whole) in zip(shown, texts, strict=True)
    )
    replies = max(len(parts.sent) - first, 0)
    return msgspec.structs.replace(
        found,
        input=said[:replies],
        output=said[replies:],
        tools=tools.text,
        params=params.text,
        cut={
            name: content
            for name, content, text in (("tools", parts.tools, tools), ("params", parts.params, params))
            if content is not None and not text.whole
        },
        left_out=len(path) - len(shown),
    )


def _texts(store: Reading, contents: Sequence[Content | None], most: float) -> list[_Text]:
    """The text of each, where it was kept and there is room for it; the smallest first."""
    sizes = {place: _size(content) for place, content in enumerate(contents) if content is not None}
    fitting: set[int] = set()
    for place in sorted(sizes, key=sizes.__getitem__):
        most -= sizes[place]
        if most < 0:
            break
        fitting.add(place)
    fetched = fetch_texts((contents[place] for place in fitting), store.fetch)
    return [
        _Text(None, whole=place not in sizes)
        if content is None or place not in fitting
        else _Text(text_of(content, fetched), whole=True)
        for place, content in enumerate(contents)
    ]


def _size(content: Content) -> int:
    """Bytes of text that can be given."""
    return 0 if content.text is None and content.hash is None else content.size


def _path(messages: Transcripts, node: int | None) -> list[Message]:
    """Messages up to a node; none for a node that is not there."""
    return messages.path(node) if node in messages.messages else []


def _end(events: Iterable[Event], step: int) -> CallEnded | None:
    ends = (event.body for event in events if event.step == step and isinstance(event.body, CallEnded))
    return next(ends, None)
