"""Collections of conversations: lines `{id, format, source, record}`, each with the record of another format inside.

`record` is one record of that format, or the list of all lines of a log. What is inside is recognised by its shape;
the id names the conversation where the record has no id of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.wire.lines import NULL, Unreadable, elements, members, parse, text
from tachograph.wire.sessions.draft import Found, Origin, Problem, Reader, Recorded

FORMAT = "wrapped"


class _Wrapper(Struct):
    id: Any
    record: Raw
    format: Any = None
    source: Raw = NULL


_wrapper = msgspec.json.Decoder(_Wrapper)


def read(
    lines: Iterable[tuple[int, bytes]], origin: Origin, reader_of: Callable[[Iterable[bytes]], Reader | None]
) -> Found:
    """Runs of all records inside; `reader_of` finds the reader of some lines.

    Formats that nobody reads are reported once each, with the number of their records.
    """
    strange: Counter[str] = Counter()
    first: dict[str, int] = {}
    for number, line in lines:
        if not line.strip():
            continue
        try:
            wrapper = parse(_wrapper, line)
        except Unreadable as fault:
            yield Problem(number, str(fault))
            continue
        inside = _lines(wrapper.record)
        reader = reader_of(record for _, record in inside)
        if reader is None:
            said = str(wrapper.format)
            strange[said] += 1
            first.setdefault(said, number)
            continue
        for found in reader(inside, _inner(wrapper, origin)):
            yield _placed(found, number, str(wrapper.id))
    for said, count in strange.items():
        yield Problem(first[said], f"nobody here reads the format {said!r} ({count} records from this line on)")


def _lines(record: Raw) -> list[tuple[int, bytes]]:
    """The record as the lines of a file: a list of objects with types is a log, everything else one document."""
    listed = elements(record)
    if listed and "type" in members(listed[0]):
        return [(number, bytes(item)) for number, item in enumerate(listed, 1)]
    return [(1, bytes(record))]


def _inner(wrapper: _Wrapper, origin: Origin) -> Origin:
    source = text(members(wrapper.source).get("path", NULL)) or origin.source
    return msgspec.structs.replace(origin, source=source, key=str(wrapper.id))


def _placed(found: Recorded | Problem, number: int, name: str) -> Recorded | Problem:
    if isinstance(found, Recorded):
        return msgspec.structs.replace(found, line=number)
    return Problem(number, f"{name}, line {found.line}: {found.reason}")
