"""When two tool calls are the same, and when two results are.

A call is its tool and its arguments as a value: neither the order of keys, nor white space, nor 1 or 1.0 or 1e0 make it
another one. Arguments that are no JSON are what their text is. A result that is text is that text, byte for byte; any
other is compared as a value. Nothing here raises, whatever a program hands over: what cannot be spelled is its `repr`,
and what has none is its type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import msgspec

from tachograph.events.content import canonical

NOTHING = b"{}"
"""Arguments of a call that has none, however that was written."""

_FAULTS = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ACKNOWLEDGED = 64
"""Bytes of the longest acknowledgement."""
_DONE = frozenset(
    ("done", "message", "none", "null", "ok", "okay", "result", "status", "success", "successful", "true")
)
_BETWEEN = re.compile(r"[^\w-]+")


def _spell(value: Any) -> Any:
    return _ADDRESS.sub("", repr(value))


_sorted_json = msgspec.json.Encoder(enc_hook=_spell, order="sorted")


def spelled(arguments: Any, ignore: Sequence[str] = ()) -> bytes:
    """Arguments in one spelling: a value, or the JSON text of one, less the fields that do not count.

    A field is named as it is at the top, or by a path with dots: `options.seed`, through lists as well.
    """
    text = arguments if isinstance(arguments, str | bytes) else _encoded(arguments)
    if not text or text.isspace() or text in ("null", b"null"):
        return NOTHING
    try:
        if text[:1] in ('"', b'"'):
            text = _unwrapped(text)
        return _without(text, ignore) if ignore else canonical(text)
    except _FAULTS:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        return b"text:" + data


def key_of(name: str, spelling: bytes) -> bytes:
    """What names a call: the same for the same tool and the same spelling of its arguments."""
    return blake2b(name.encode("utf-8", "surrogatepass") + b"\0" + spelling, digest_size=16).digest()


def result_of(status: str, error: str, result: Any) -> bytes:
    """What names a result: how the call ended, the class of its error, and what it returned."""
    data = result if isinstance(result, bytes) else _encoded(result)
    head = f"{status}\0{error}\0".encode("utf-8", "surrogatepass")
    return blake2b(head + data, digest_size=16).digest()


def says_nothing(result: Any) -> bool:
    """Whether a result says no more than that it was done: nothing at all, true, or a word such as ok.

    Tools that write or think answer all calls like that, and are getting on. An empty list is an answer.
    """
    if result is None or result is True or result == "":
        return True
    text = result if isinstance(result, str) else _encoded(result) if isinstance(result, dict) else None
    if not text or len(text) > _ACKNOWLEDGED:
        return False
    found = words_of(text if isinstance(text, bytes) else text.encode("utf-8", "replace")).split()
    return bool(found) and _DONE.issuperset(found)


def words_of(spelling: bytes) -> str:
    """Arguments with nothing left but their words: case, punctuation and white space do not count."""
    return _BETWEEN.sub(" ", spelling.decode("utf-8", "replace")).casefold()


def _encoded(value: Any) -> bytes:
    """A value as JSON with sorted keys, and what is no JSON as near to it as can be."""
    try:
        return _sorted_json.encode(value)
    except Exception:  # noqa: BLE001 - a program's own `__repr__` may raise anything, and a call must not fail by it
        return _described(value)


def _described(value: Any) -> bytes:
    with suppress(Exception):
        return _sorted_json.encode(msgspec.to_builtins(value, str_keys=True, enc_hook=_spell))
    with suppress(Exception):
        return _sorted_json.encode(_spell(value))
    return type(value).__qualname__.encode("utf-8", "replace")


def _unwrapped(text: str | bytes) -> str | bytes:
    """The arguments themselves where they came as JSON text inside a JSON string."""
    inner: str = msgspec.json.decode(text, type=str)
    try:
        msgspec.json.decode(inner)
    except (msgspec.DecodeError, UnicodeError):
        return text
    return inner


def _without(text: str | bytes, ignore: Sequence[str]) -> bytes:
    value = msgspec.json.decode(text)
    for path in ignore:
        _drop(value, path)
    return canonical(_sorted_json.encode(value))


def _drop(value: Any, path: str) -> None:
    if isinstance(value, list):
        for item in value:
            _drop(item, path)
    elif isinstance(value, dict):
        if path in value:
            del value[path]
            return
        head, dot, rest = path.partition(".")
        if dot and head in value:
            _drop(value[head], rest)
