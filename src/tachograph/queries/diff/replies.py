"""What model calls answered, as far as that can be compared: the words, and the tools asked for with their arguments.

Providers give every tool call an id of its own, so two equal replies are hardly ever equal bytes. Thoughts are left
out: few providers give them in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.fold.asks import asks
from tachograph.limits.canonical import spelled
from tachograph.queries.logs.contents import TOGETHER_BYTES
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

AT_ONCE = 10_000
"""Nodes and payloads that one query names."""
_THOUGHTS = frozenset(("thinking", "redacted_thinking", "reasoning"))
_ASKED = frozenset(("tool_use", "function_call", "tool_call", "tool-call"))


class Reply(Struct, frozen=True):
    """One message of a model, or of a tool."""

    text: str
    asked: tuple[tuple[str, bytes], ...] = ()
    """Tools that it asks for, each with its arguments in one spelling."""

    def shown(self) -> str:
        """The words, then what is asked for: `find({"id":7})`."""
        calls = (f"→ {name}({spelling.decode('utf-8', 'replace')})" for name, spelling in self.asked)
        return "\n".join((*((self.text,) if self.text else ()), *calls))


def reply_of(message: bytes) -> Reply:
    """What a recorded message says; one that is no JSON says itself."""
    try:
        value = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Reply(message.decode("utf-8", "replace"))
    body = value.get("content", value.get("parts", value.get("text"))) if isinstance(value, Mapping) else value
    return Reply("\n".join(_texts(body)), tuple((ask.name or "", spelled(ask.arguments)) for ask in asks(value)))


def _texts(body: Any) -> Iterator[str]:
    waiting = [body]
    while waiting:
        match waiting.pop():
            case str(text):
                yield text
            case list(parts):
                waiting.extend(reversed(parts))
            case {"type": kind} if kind in _THOUGHTS or kind in _ASKED:
                continue
            case {"text": str(text)} | {"refusal": str(text)}:
                yield text
            case {"content": inner} | {"parts": inner}:
                waiting.append(inner)


Read = Callable[[int], Reply | int | None]
"""Node → its message; its payload's number where there was no room to read it; None where nothing was kept."""


def replies(store: Reading, nodes: Iterable[int | None], most: int = TOGETHER_BYTES) -> Read:
    """What reads the messages at these nodes: up to `most` bytes, the smallest first."""
    payload_of = {row["id"]: row["payload"] for row in _rows(store, "nodes", nodes, ("id", "payload"))}
    wanted = {number for number in payload_of.values() if number}
    sizes = sorted(_rows(store, "payloads", wanted, ("id", "hash", "size")), key=lambda row: row["size"])
    hashes: dict[int, bytes] = {}
    for row in sizes:
        most -= row["size"]
        if most < 0:
            break
        hashes[row["id"]] = row["hash"]
    texts = store.fetch(tuple(hashes.values())) if hashes else {}
    read = {number: reply_of(texts[name]) for number, name in hashes.items() if name in texts}

    def found(node: int) -> Reply | int | None:
        number = payload_of.get(node)
        return read.get(number, number) if number else None

    return found


def _rows(
    store: Reading, table: str, ids: Iterable[int | None], columns: tuple[str, ...]
) -> Iterator[Mapping[str, Any]]:
    wanted = sorted({each for each in ids if each})
    for first in range(0, len(wanted), AT_ONCE):
        where = Where("id", "in", tuple(wanted[first : first + AT_ONCE]))
        yield from store.find(Query(table, (where,), columns, limit=None)).rows
