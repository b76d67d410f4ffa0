"""Content: a piece of recorded JSON, either here or named by the hash of its bytes.

A prompt, a tool's arguments, a step's input: whatever a program handed over is kept as the exact JSON text that was
recorded (after redaction), never as a re-shaped object, so that it reads back byte for byte. Small text stays in the
event; larger text moves to the store's payloads and only `hash` and `size` remain. Identity is BLAKE2b-256 of exactly
the stored bytes; `canonical_hash` ignores key order and is for asking "is this the same value?".
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

INLINE_BYTES = 512
"""Content up to this many bytes stays inside its event; larger content is stored once, by hash."""


class Content(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A recorded JSON value. Exactly one of `text` and `hash` is set, or neither when the level keeps nothing."""

    text: str | None = None
    """The JSON text, exactly as recorded."""
    hash: str | None = None
    """BLAKE2b-256 of the text's UTF-8 bytes, hex, when the text is kept elsewhere (or, at level `hashed`, nowhere)."""
    size: int = 0
    """Bytes of the recorded text."""
    full_size: int | None = None
    """Bytes before it was cut; None when it is whole. For a value that was never encoded whole, a lower bound."""
    redacted: Mapping[str, int] | None = None
    """How often each redaction rule fired; never what it removed."""
    marks: tuple[str, ...] = ()
    """What sanitising had to replace: nan, cycle, depth, surrogate, bytes, repr_failed, …"""
    level: str = "full"
    """Capture level: full, redacted, hashed or none. `pending` while only a private journal holds it unscrubbed."""

    def value(self) -> Any:
        """The JSON value. Raises LookupError when the text is not here (fetch it by `hash` first)."""
        if self.text is None:
            raise LookupError(f"content {self.hash or self.level!r} is not inline")
        return msgspec.json.decode(self.text)


def digest(data: bytes) -> bytes:
    """BLAKE2b-256: the identity of stored bytes."""
    return blake2b(data, digest_size=32).digest()


def inline(text: str, **facts: Any) -> Content:
    """Content that carries its own text."""
    return Content(text=text, size=len(text.encode()), **facts)


def canonical(text: str | bytes) -> bytes:
    """The same JSON value in one spelling: keys sorted at every depth, no white space, integral floats as integers."""
    return _sorted_json.encode(_normal(msgspec.json.decode(text)))


def canonical_hash(text: str | bytes) -> bytes:
    """BLAKE2b-256 of the canonical spelling; text that is not JSON hashes as it is."""
    try:
        return digest(canonical(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return digest(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


_SPELLED_ONE_WAY = frozenset((str, int, bool, type(None)))
_sorted_json = msgspec.json.Encoder(order="sorted")


def _normal(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        if _SPELLED_ONE_WAY.issuperset(map(type, value.values())):
            return value
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return value
