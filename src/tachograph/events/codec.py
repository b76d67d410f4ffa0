"""Event ⇄ bytes. Old versions are lifted here and nowhere else; what is newer than us is kept, not dropped.

Two spellings of the same structure: MessagePack in journals and stores, JSON in exports and over HTTP. A known event
decodes straight into its struct. Fields and types this version does not know survive a round trip: fields in
`Event.extra` (JSON spells them where they stood), types as `Unknown`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from tachograph.errors import CodecError
from tachograph.events.envelope import Event, KnownBody
from tachograph.events.note import Unknown

SCHEMA_VERSION = 1
"""Raised when a stored event changes its meaning; `_LIFTS[n]` turns the mapping of version n into n + 1."""

_LIFTS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

BODY_TYPES: Mapping[str, type[msgspec.Struct]] = {str(kind.__struct_config__.tag): kind for kind in KnownBody.__args__}
"""Every event type by its tag."""

_EVENT_FIELDS = frozenset(Event.__struct_encode_fields__)


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    """The envelope: what every event has, whatever its body."""

    run: str
    seq: int
    at: int
    mono: int
    step: int


class _Known(_Envelope, frozen=True, forbid_unknown_fields=True, gc=False):
    """The envelope with a body we know: the form of the fast path. Anything it does not know it refuses."""

    body: KnownBody
    extra: dict[str, Any] | None = None


_pack = msgspec.msgpack.Encoder()
_unpack_known = msgspec.msgpack.Decoder(_Known)
_unpack_known_list = msgspec.msgpack.Decoder(list[_Known])
_unpack_any_list = msgspec.msgpack.Decoder(list[dict[str, Any]])
_unpack_any = msgspec.msgpack.Decoder(dict[str, Any])
_to_json = msgspec.json.Encoder()
_from_json = msgspec.json.Decoder(dict[str, Any])
_UNWRITABLE = (UnicodeEncodeError, TypeError, OverflowError, RecursionError)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode(event: Event) -> bytes:
    """MessagePack bytes of an event. Raises CodecError for text that is not Unicode (lone surrogates)."""
    try:
        return _pack.encode(_stored_form(event) if type(event.body) is Unknown else event)
    except _UNWRITABLE as problem:
        raise CodecError(str(problem)) from problem


def encode_all(events: Sequence[Event]) -> bytes:
    """MessagePack bytes of several events together. Raises CodecError."""
    try:
        return _pack.encode([_stored_form(event) if type(event.body) is Unknown else event for event in events])
    except _UNWRITABLE as problem:
        raise CodecError(str(problem)) from problem


def decode(data: bytes | memoryview, version: int = SCHEMA_VERSION) -> Event:
    """An event from MessagePack bytes written by schema `version`. Raises CodecError."""
    try:
        if version == SCHEMA_VERSION:
            with contextlib.suppress(msgspec.ValidationError):
                return _event(_unpack_known.decode(data))
        return _from_mapping(_unpack_any.decode(data), version)
    except _UNREADABLE as problem:
        raise CodecError(str(problem)) from problem


def decode_all(data: bytes | memoryview, version: int = SCHEMA_VERSION) -> list[Event]:
    """The events that `encode_all` of schema `version` wrote. Raises CodecError."""
    try:
        if version == SCHEMA_VERSION:
            with contextlib.suppress(msgspec.ValidationError):
                return [_event(known) for known in _unpack_known_list.decode(data)]
        return [_from_mapping(fields, version) for fields in _unpack_any_list.decode(data)]
    except _UNREADABLE as problem:
        raise CodecError(str(problem)) from problem


def to_json(event: Event) -> bytes:
    """One line of JSON. Raises CodecError as `encode` does."""
    try:
        return _to_json.encode(_as_mapping(event))
    except _UNWRITABLE as problem:
        raise CodecError(str(problem)) from problem


def from_json(line: bytes | str, version: int = SCHEMA_VERSION) -> Event:
    """An event from a line of JSON. Raises CodecError."""
    try:
        return _from_mapping(_from_json.decode(line), version)
    except _UNREADABLE as problem:
        raise CodecError(str(problem)) from problem


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of an event as `to_json` writes it: further fields are allowed, further types are not."""
    fields = [(field.name, field.type) for field in msgspec.structs.fields(_Envelope)]
    schema = msgspec.json.schema(msgspec.defstruct("Event", [*fields, ("body", KnownBody)]))
    for kind in schema["$defs"].values():
        kind.pop("additionalProperties", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _event(known: _Known) -> Event:
    if known.extra:
        raise msgspec.ValidationError("fields were set aside that this version may know")
    return Event(known.run, known.seq, known.at, known.mono, known.step, known.body)


def _stored_form(event: Event) -> dict[str, Any]:
    form = {name: getattr(event, name) for name in _Envelope.__struct_fields__}
    body = event.body
    assert isinstance(body, Unknown)
    aside = {"extra": event.extra} if event.extra else {}
    return {**form, "body": {"type": body.type, **body.fields}, **aside}


def _as_mapping(event: Event) -> dict[str, Any]:
    extra = event.extra or {}
    body = event.body
    if isinstance(body, Unknown):
        tagged: dict[str, Any] = {"type": body.type, **body.fields}
    else:
        tagged = _merged(msgspec.to_builtins(body), extra.get("body", {}))
    form = {name: getattr(event, name) for name in _Envelope.__struct_fields__}
    return {**extra.get("", {}), **form, "body": tagged}


def _from_mapping(fields: dict[str, Any], version: int) -> Event:
    for old in range(version, SCHEMA_VERSION):
        fields = _LIFTS[old](fields)
    envelope = msgspec.convert(fields, _Envelope)
    outside, body, extra = _in_place(fields)
    tag = body.get("type")
    if not isinstance(tag, str):
        raise CodecError("no body with a type")
    kind = BODY_TYPES.get(tag)
    if kind is None:
        value: Any = Unknown(tag, {key: item for key, item in body.items() if key != "type"})
    else:
        known, unknown = _sorted_out(body, kind)
        value = msgspec.convert(known, kind)
        if unknown:
            extra["body"] = unknown
    if outside:
        extra[""] = outside
    return Event(envelope.run, envelope.seq, envelope.at, envelope.mono, envelope.step, value, extra or None)


def _in_place(fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Unknown envelope fields, the body, and what else `extra` holds.

    What an older version set aside in `extra` goes back to where it stood, for this version may know it.
    """
    body, extra = fields.get("body"), fields.get("extra") or {}
    if not isinstance(body, dict) or not isinstance(extra, dict):
        raise CodecError("no body with a type")
    aside, aside_body = extra.get("", {}), extra.get("body", {})
    if not isinstance(aside, dict) or not isinstance(aside_body, dict):
        raise CodecError("extra is not a mapping of mappings")
    outside = {key: item for key, item in {**aside, **fields}.items() if key not in _EVENT_FIELDS}
    return outside, _merged(body, aside_body), {key: item for key, item in extra.items() if key not in ("", "body")}


def _sorted_out(fields: dict[str, Any], kind: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields a struct has, and those it has not; both likewise for a struct inside it, below that field's name."""
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    inner = _inner_structs(kind)
    for key, item in fields.items():
        if key in inner and isinstance(item, dict):
            known[key], deeper = _sorted_out(item, inner[key])
            if deeper:
                unknown[key] = deeper
        elif key in kind.__struct_encode_fields__ or key == kind.__struct_config__.tag_field:
            known[key] = item
        else:
            unknown[key] = item
    return known, unknown


@cache
def _inner_structs(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """The fields of a struct that hold another, by name."""
    found: dict[str, type[msgspec.Struct]] = {}
    for field in msgspec.structs.fields(kind):
        info = msgspec.inspect.type_info(field.type)
        choices = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
        found.update((field.name, each.cls) for each in choices if isinstance(each, msgspec.inspect.StructType))
    return found


def _merged(fields: dict[str, Any], aside: dict[str, Any]) -> dict[str, Any]:
    """Both together, at every depth; where both say something, `fields` is right."""
    merged = {**aside, **fields}
    for key in aside.keys() & fields.keys():
        if isinstance(aside[key], dict) and isinstance(fields[key], dict):
            merged[key] = _merged(fields[key], aside[key])
    return merged
