"""Bytes of a log → records, and pieces of a record verbatim.

A reader decodes each line once, into a struct with the few fields it needs; what is stored stays a slice of the line
as it was written (`Raw`). Lines that only Python's or JavaScript's own JSON takes (NaN, half of a surrogate pair, bytes
that are no UTF-8) are mended: a mark of replacement for what no text can hold, null for what is no number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from tachograph.events.content import Content

T = TypeVar("T")

NULL = Raw(b"null")
"""The default of verbatim fields: absent and null are the same to a reader."""

_any = msgspec.json.Decoder()
_list = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_fields = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode
_half_pair = re.compile("[\ud800-\udfff]")
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Unreadable(Exception):
    """A line that is no JSON, or not of the shape its format has."""


def parse(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    """The record of a line. Raises Unreadable."""
    try:
        if not line.isascii():
            line.decode()
        return decoder.decode(line)
    except _FAULTS as fault:
        mended = None if isinstance(fault, msgspec.ValidationError) else mend(line)
        if mended is None:
            raise Unreadable(_reason(fault)) from fault
    try:
        return decoder.decode(mended)
    except _FAULTS as fault:
        raise Unreadable(_reason(fault)) from fault


def mend(line: bytes) -> bytes | None:
    """The line as JSON that every reader takes; None when it is none at all."""
    try:
        value = json.loads(line.decode("utf-8", "replace"), parse_constant=lambda name: None, strict=False)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None
    return _half_pair.sub("\ufffd", text).encode()


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Records of a whole file with their 1-based line numbers: the one JSON document that it is, or else its lines.

    A file is one document when it decodes as one, or when its first line does not stand by itself.
    """
    head, _, rest = data.partition(b"\n")
    if rest.strip() and _stands_alone(head):
        yield from ((number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip())
    elif data.strip():
        yield 1, data


def elements(raw: Raw | bytes) -> list[Raw] | None:
    """The elements of a JSON array, verbatim; None for anything else."""
    try:
        return _list.decode(raw)
    except _FAULTS:
        return None


def members(raw: Raw | bytes) -> dict[str, Raw]:
    """The members of a JSON object, verbatim; empty for anything else."""
    try:
        return _fields.decode(raw)
    except _FAULTS:
        return {}


def value(raw: Raw | bytes) -> Any:
    """The value itself; None for a number beyond what a float holds."""
    try:
        return _any.decode(raw)
    except _FAULTS:
        return None


def text(raw: Raw | bytes) -> str | None:
    """The text of a JSON string; None for anything else."""
    try:
        return _text.decode(raw)
    except _FAULTS:
        return None


def verbatim(raw: Raw | bytes) -> Content:
    """A piece of a record as content, exactly as it stood there."""
    return Content(text=str(raw, "utf-8"), size=len(raw))


def present(raw: Raw | bytes) -> Content | None:
    """`verbatim`, but None for null."""
    return None if len(raw) == 4 and bytes(raw) == b"null" else verbatim(raw)


def encoded(thing: Any) -> Content:
    """A value of our own as content."""
    return verbatim(_encode(thing))


def embedded(said: str) -> Content:
    """JSON that stood inside a string (tool arguments, as OpenAI writes them) as JSON; other text as a string."""
    data = said.encode()
    try:
        _any.decode(data)
    except _FAULTS:
        return encoded(said)
    return verbatim(data)


def compose(parts: Mapping[str, Raw | bytes]) -> bytes:
    """A JSON object of verbatim members."""
    return b"{%s}" % b",".join(_encode(key) + b":" + bytes(part) for key, part in parts.items())


def _stands_alone(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=Raw)
    except _FAULTS:
        return mend(line) is not None
    return bool(line.strip())


def _reason(fault: Exception) -> str:
    return f"not readable: {fault}"
