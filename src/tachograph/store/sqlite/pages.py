"""Pages: consecutive events of one run as one compressed block.

A page spells its events column by column, because neighbours resemble each other: times as differences, the monotonic
clock as its distance from the wall clock, steps as the distance from their own seq, bodies as tagged MessagePack. Run
and seq are not in it: its key says them. A message is named by the number of its payload instead of 64 hex digits;
the payload's row gives hash and size back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import sub
from typing import Any

import msgspec
import zstandard
from msgspec import Struct
from msgspec.structs import replace

from tachograph.errors import CodecError
from tachograph.events import codec
from tachograph.events.content import Content
from tachograph.events.envelope import Event, KnownBody
from tachograph.events.message import MessageAppended
from tachograph.events.note import Unknown

PAGE_EVENTS = 1_000
"""Most events in a page."""
PAGE_BYTES = 1 << 20
"""A page is closed above this many bytes, uncompressed: reading one event never unpacks much more."""

Names = Callable[[Sequence[int]], Mapping[int, tuple[str, int]]]
"""Payload ids → hash (hex) and size of each that exists."""


class Page(Struct, array_like=True):
    """Events as they are packed. All lists but the last two have one entry an event."""

    at: list[int]
    """UTC nanoseconds: the first as it is, then differences."""
    skew: list[int]
    """Monotonic minus UTC: the first as it is, then differences."""
    back: list[int]
    """How far the event's step lies before its seq; 0 for starts."""
    bodies: list[Any]
    messages: list[int] = []
    """Payload ids of the messages, in order; 0 where the message's content stands in the body."""
    extra: dict[int, dict[str, Any]] = {}
    """Unknown fields, by position."""


class _Fast(Page, array_like=True):
    bodies: list[KnownBody]


class _Raw(Page, array_like=True):
    bodies: list[msgspec.Raw]


class _Tag(Struct):
    type: str
    role: Any = ""
    parent: Any = None


_MESSAGE = MessageAppended.__struct_config__.tag
_decode_tag = msgspec.msgpack.Decoder(_Tag).decode
_encode = msgspec.msgpack.Encoder().encode
_decode_fast = msgspec.msgpack.Decoder(_Fast).decode
_decode_raw = msgspec.msgpack.Decoder(_Raw).decode
_BLANK = Content()


def spelled(events: Sequence[Event], messages: Iterator[int]) -> bytes:
    """A page, not yet compressed. `messages` gives the payload id of each message; 0 leaves its content in place."""
    return _encode(page_of(events, messages))


class Packer:
    """Reads pages. `expand` undoes their compression."""

    def __init__(self, expand: Callable[[bytes], bytes]) -> None:
        self._expand = expand

    def merge(self, bodies: Iterable[bytes]) -> list[tuple[int, bytes]]:
        """Pages that follow on each other as few full ones: number of events and the page, not yet compressed."""
        merged: list[tuple[int, bytes]] = []
        waiting: list[Page] = []
        count = size = 0
        for body in bodies:
            raw = self._expand(body)
            page = _decode_raw(raw)
            if waiting and (count + len(page.at) > PAGE_EVENTS or size + len(raw) > PAGE_BYTES):
                merged.append((count, _encode(_joined(waiting))))
                waiting, count, size = [], 0, 0
            waiting.append(page)
            count, size = count + len(page.at), size + len(raw)
        if waiting:
            merged.append((count, _encode(_joined(waiting))))
        return merged

    def unpack(self, run: str, first: int, body: bytes, version: int, names: Names) -> list[Event]:
        """The events of a page of codec `version`. `names` looks payloads up. Raises CodecError."""
        page = self._page(run, first, body, version)
        found = names([number for number in page.messages if number])
        messages = iter(page.messages)
        events: list[Event] = []
        clocks = zip(accumulate(page.at), accumulate(page.skew), page.back, strict=True)
        for seq, (at, skew, back) in enumerate(clocks, first):
            body_here: Any = page.bodies[seq - first]
            event = Event(run, seq, at, at + skew, seq - back, body_here, page.extra.get(seq - first))
            if type(body_here) is msgspec.Raw:
                event = codec.decode(_encode(event), version)
            if type(event.body) is MessageAppended and (number := next(messages)):
                event = _named(event, event.body, found.get(number))
            events.append(event)
        return events

    def messages(self, first: int, body: bytes) -> Iterator[tuple[int, int | None, str, int]]:
        """(seq, parent's seq, role, payload id) of each message in a page that starts at seq `first`, and no more."""
        page = _decode_raw(self._expand(body))
        numbers = iter(page.messages)
        for seq, raw in enumerate(page.bodies, first):
            tag = _decode_tag(raw)
            if tag.type == _MESSAGE:
                yield seq, tag.parent, tag.role, next(numbers)

    def _page(self, run: str, first: int, body: bytes, version: int) -> Page:
        try:
            raw = self._expand(body)
            if version != codec.SCHEMA_VERSION:
                return _decode_raw(raw)
            try:
                return _decode_fast(raw)
            except msgspec.ValidationError:
                return _decode_raw(raw)
        except (zstandard.ZstdError, msgspec.DecodeError) as problem:
            raise CodecError(f"page {first} of run {run}: {problem}") from problem


def page_of(events: Sequence[Event], messages: Iterator[int]) -> Page:
    """The form that is packed. Takes one payload id from `messages` for each message among the events."""
    bodies: list[Any] = []
    numbers: list[int] = []
    for event in events:
        body: Any = event.body
        if type(body) is MessageAppended:
            numbers.append(number := next(messages))
            if number:
                body = MessageAppended(
                    role=body.role, parent=body.parent, message=_unnamed(body.message), ephemeral=body.ephemeral
                )
        elif type(body) is Unknown:
            body = {"type": body.type, **body.fields}
        bodies.append(body)
    at = [event.at for event in events]
    skew = [event.mono - event.at for event in events]
    return Page(
        at=[at[0], *map(sub, at[1:], at)],
        skew=[skew[0], *map(sub, skew[1:], skew)],
        back=[event.seq - event.step for event in events],
        bodies=bodies,
        messages=numbers,
        extra={place: dict(event.extra) for place, event in enumerate(events) if event.extra},
    )


def _unnamed(content: Content) -> Content:
    """A message's content without what its payload's row says."""
    if (
        content.text is None
        and content.level == "full"
        and content.full_size is None
        and not content.redacted
        and not content.marks
    ):
        return _BLANK
    return replace(content, hash=None, size=0)


def _named(event: Event, body: MessageAppended, name: tuple[str, int] | None) -> Event:
    """A message with its hash and size; one whose payload is gone has no content."""
    message = Content(level="none") if name is None else replace(body.message, hash=name[0], size=name[1])
    named = MessageAppended(role=body.role, parent=body.parent, message=message, ephemeral=body.ephemeral)
    return Event(event.run, event.seq, event.at, event.mono, event.step, named, event.extra)


def _joined(pages: Sequence[Page]) -> Page:
    """Pages one after the other as one. Differences across a seam are taken from the running sums."""
    at: list[int] = []
    skew: list[int] = []
    extra: dict[int, dict[str, Any]] = {}
    last_at = last_skew = 0
    for page in pages:
        extra.update({len(at) + place: fields for place, fields in page.extra.items()})
        at += [page.at[0] - last_at, *page.at[1:]]
        skew += [page.skew[0] - last_skew, *page.skew[1:]]
        last_at, last_skew = sum(page.at), sum(page.skew)
    return Page(
        at=at,
        skew=skew,
        back=[back for page in pages for back in page.back],
        bodies=[body for page in pages for body in page.bodies],
        messages=[number for page in pages for number in page.messages],
        extra=extra,
    )
