"""What is sent, as events: unpacked within bounds, then read line by line or all at once.

A body that unpacks to more than it may is refused when it gets there, not after: nothing it claims about itself is
believed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping

import zstandard

from tachograph.errors import CodecError
from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.note import Unknown
from tachograph.server.problems import Refusal
from tachograph.settings import MIB

LINES = "application/x-ndjson"
"""One event a line, as JSON."""
PACKED = "application/vnd.tachograph.events+msgpack"
"""What `events.codec.encode_all` writes."""
MOST_BYTES = 64 * MIB
"""Of a body, unpacked."""
MOST_EVENTS = 20_000
"""In a body."""
ENCODINGS = ("zstd", "gzip")

_WINDOW_BYTES = 8 * MIB
"""Largest zstd window: what RFC 8878 asks every reader to have."""
_PIECE = 512
"""Packed bytes unpacked at a time: they become 16 MiB at most, so that a body is seen to be too large in time."""
_LINE = re.compile(rb"\S[^\n]*")
"""A line that is not empty, one at a time: a body may be nothing but millions of empty ones."""


def events_of(body: bytes, headers: Mapping[str, str]) -> list[Event]:
    """The events of a request's body. Raises Refusal: 413 too large, 415 not understood, 422 not events."""
    media, version = _media(headers.get("content-type", ""))
    plain = unpacked(body, headers.get("content-encoding", ""))
    events = _packed(plain, version) if media == PACKED else _lines(plain, version)
    if len(events) > MOST_EVENTS:
        raise _too_large(f"{len(events):,} events; a request takes {MOST_EVENTS:,}")
    return events


def unpacked(body: bytes, encoding: str) -> bytes:
    """A body without its Content-Encoding. Raises Refusal."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        plain = body
    elif name == "gzip":
        plain = _unpack(body, name, _Gzip)
    elif name == "zstd":
        plain = _unpack(body, name, zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj)
    else:
        detail = f"the body is encoded as {encoding!r}; send it plain, or as one of {', '.join(ENCODINGS)}"
        raise Refusal(
            415, "unsupported-encoding", detail, parameter="Content-Encoding",
            headers={"Accept-Encoding": ", ".join(ENCODINGS)},
        )  # fmt: skip
    if len(plain) > MOST_BYTES:
        raise _too_large(f"more than {MOST_BYTES} bytes")
    return plain


def _media(header: str) -> tuple[str, int]:
    """Media type and version of the events. Raises Refusal for events of a later version than this one knows."""
    media, *parameters = (part.strip() for part in header.split(";"))
    facts = dict(part.split("=", 1) for part in parameters if "=" in part)
    version = facts.get("version", str(codec.SCHEMA_VERSION))
    if not version.isdecimal() or not 1 <= int(version) <= codec.SCHEMA_VERSION:
        detail = f"this server knows events of version 1 to {codec.SCHEMA_VERSION}, not {version!r}: upgrade it"
        raise Refusal(415, "unsupported-version", detail, parameter="Content-Type")
    return media.lower(), int(version)


# ---- unpacking -------------------------------------------------------------------------------------------------------


class _Gzip:
    """A gzip stream of one member or several, in the manner of a zstd one."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes) -> bytes:
        return self._member.decompress(data)


def _unpack(body: bytes, name: str, member: Callable[[], _Gzip | zstandard.ZstdDecompressionObj]) -> bytes:
    pieces: list[bytes] = []
    size = 0
    reader = member()
    waiting = memoryview(body)
    try:
        while waiting:
            if reader.eof:
                reader = member()
            piece, waiting = waiting[:_PIECE], waiting[_PIECE:]
            pieces.append(reader.decompress(bytes(piece)))
            size += len(pieces[-1])
            if size > MOST_BYTES:
                raise _too_large(f"unpacked, more than {MOST_BYTES} bytes")
            if reader.eof and reader.unused_data:
                waiting = memoryview(body)[len(body) - len(waiting) - len(reader.unused_data) :]
    except (zlib.error, zstandard.ZstdError) as problem:
        raise _malformed(name, str(problem)) from None
    if not reader.eof:
        raise _malformed(name, "it ends too early")
    return b"".join(pieces)


def _malformed(name: str, reason: str) -> Refusal:
    return Refusal(400, "malformed-encoding", f"the body is no whole {name}: {reason}", parameter="Content-Encoding")


def _too_large(what: str) -> Refusal:
    return Refusal(413, "too-large", f"the body holds {what}; send it in parts")


# ---- events ----------------------------------------------------------------------------------------------------------


def _lines(plain: bytes, version: int) -> list[Event]:
    events = []
    for line in _LINE.finditer(plain):
        try:
            event = codec.from_json(line[0], version)
            codec.encode(event)  # JSON has larger numbers than a store can keep
            events.append(event)
        except CodecError as problem:
            raise malformed(plain.count(b"\n", 0, line.start()) + 1, problem.reason) from None
        if len(events) > MOST_EVENTS:
            break
    return events


def _packed(plain: bytes, version: int) -> list[Event]:
    try:
        events = codec.decode_all(plain, version)
    except CodecError as problem:
        detail = f"the body is no list of events: {problem.reason}; nothing of it was stored"
        raise Refusal(422, "malformed-event", detail, parameter="body") from None
    for number, event in enumerate(events, 1):
        if event.extra or isinstance(event.body, Unknown):
            try:
                codec.to_json(event)  # MessagePack has values that JSON has no word for
            except CodecError as problem:
                raise malformed(number, problem.reason) from None
    return events


def malformed(number: int, reason: str) -> Refusal:
    """An event that cannot be stored; `number` is its line, from 1 on."""
    detail = f"line {number}: {reason}; nothing of this request was stored"
    return Refusal(422, "malformed-event", detail, parameter=f"line {number}", facts={"line": number})
