"""Event ⇄ bytes. Old versions are lifted here and nowhere else; what is newer than us is kept, not dropped.

Two spellings of the same structure: MessagePack in journals and stores, JSON in exports and over HTTP. A known event
decodes straight into its struct. Fields and types this version does not know survive a round trip: fields in
`Event.extra` (JSON spells them where they stood), types as `Unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tachograph.errors import CodecError
from tachograph.events.envelope import Event, KnownBody
from tachograph.events.note import Unknown

SCHEMA_VERSION = 1
"""Raised when a stored event changes its meaning; `_LIFTS[n]` turns the mapping of version n into n + 1."""

_LIFTS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

BODY_TYPES: Mapping[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind for kind in KnownBody.__args__  # type: ignore[attr-defined]
}
"""Every event type by its tag."""

_BODY_FIELDS = {tag: frozenset((*kind.__struct_encode_fields__, "type")) for tag, kind in BODY_TYPES.items()}
_EVENT_FIELDS = frozenset(Event.__struct_encode_fields__)


class _Known(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """The envelope with a body we know: the form of the fast path."""

    run: str
    seq: int
    at: int
    mono: int
    step: int
    body: KnownBody
    extra: dict[str, Any] | None = None


_pack = msgspec.msgpack.Encoder()
_unpack_known = msgspec.msgpack.Decoder(_Known)
_unpack_any = msgspec.msgpack.Decoder(dict[str, Any])
_to_json = msgspec.json.Encoder()
_from_json = msgspec.json.Decoder(dict[str, Any])


def encode(event: Event) -> bytes:
    """MessagePack bytes of an event. Raises CodecError for text that is not Unicode (lone surrogates)."""
    try:
        return _pack.encode(_stored_form(event) if type(event.body) is Unknown else event)
    except (UnicodeEncodeError, TypeError, OverflowError) as problem:
        raise CodecError(str(problem)) from problem


def decode(data: bytes | memoryview, version: int = SCHEMA_VERSION) -> Event:
    """An event from MessagePack bytes written by schema `version`. Raises CodecError."""
    try:
        return _from_mapping(_unpack_any.decode(data), version)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise CodecError(str(problem)) from problem


def decode_own(data: bytes | memoryview) -> Event:
    """An event that this very version wrote: about five times as fast as `decode`. Raises CodecError."""
    try:
        known = _unpack_known.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return decode(data)
    return Event(known.run, known.seq, known.at, known.mono, known.step, known.body, known.extra)


def to_json(event: Event) -> bytes:
    """One line of JSON. Raises CodecError as `encode` does."""
    try:
        return _to_json.encode(_as_mapping(event))
    except (UnicodeEncodeError, TypeError, OverflowError) as problem:
        raise CodecError(str(problem)) from problem


def from_json(line: bytes | str, version: int = SCHEMA_VERSION) -> Event:
    """An event from a line of JSON. Raises CodecError."""
    try:
        return _from_mapping(_from_json.decode(line), version)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise CodecError(str(problem)) from problem


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of an event as `to_json` writes it."""
    return msgspec.json.schema(_Known)


def _stored_form(event: Event) -> dict[str, Any]:
    form = {name: getattr(event, name) for name, _ in _ENVELOPE}
    body = event.body
    assert isinstance(body, Unknown)
    return {**form, "body": {"type": body.type, **body.fields}, "extra": event.extra}


def _as_mapping(event: Event) -> dict[str, Any]:
    extra = event.extra or {}
    body = event.body
    if isinstance(body, Unknown):
        tagged: dict[str, Any] = {"type": body.type, **body.fields}
    else:
        tagged = {**msgspec.to_builtins(body), **extra.get("body", {})}
    return {
        **extra.get("", {}),
        "run": event.run,
        "seq": event.seq,
        "at": event.at,
        "mono": event.mono,
        "step": event.step,
        "body": tagged,
    }


def _from_mapping(fields: dict[str, Any], version: int) -> Event:
    for known in range(version, SCHEMA_VERSION):
        fields = _LIFTS[known](fields)
    body = fields.get("body")
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise CodecError("no body with a type")
    tag = body["type"]
    kind = BODY_TYPES.get(tag)
    extra: dict[str, Any] = dict(fields.get("extra") or {})
    if outside := {key: fields[key] for key in fields.keys() - _EVENT_FIELDS}:
        extra[""] = outside
    if kind is None:
        value: Any = Unknown(tag, {key: item for key, item in body.items() if key != "type"})
    else:
        if unknown := {key: body[key] for key in body.keys() - _BODY_FIELDS[tag]}:
            extra["body"] = unknown
        value = msgspec.convert(body, kind)
    try:
        envelope = [msgspec.convert(fields[name], kind_) for name, kind_ in _ENVELOPE]
    except KeyError as problem:
        raise CodecError(f"no field {problem}") from problem
    return Event(*envelope, value, extra or None)


_ENVELOPE: tuple[tuple[str, type], ...] = (("run", str), ("seq", int), ("at", int), ("mono", int), ("step", int))
