"""The gate of the store: whatever comes from a journal, an import or the network passes here, once, in this order.

Redact what is not redacted yet, price what calls used, move content that is large or said often out of the event and
name it by its hash. What leaves is a `Batch` that a store can keep as it is.
"""

from __future__ import annotations

import typing
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tachograph.events.call import CallEnded, CallMetered, CallStarted
from tachograph.events.content import INLINE_BYTES, Content, canonical_hash, digest
from tachograph.events.envelope import Event
from tachograph.events.ids import is_execution_id
from tachograph.events.message import MessageAppended
from tachograph.events.note import Unknown
from tachograph.events.run import Failure
from tachograph.events.tool import ToolEnded
from tachograph.events.usage import Cost
from tachograph.record.sanitize import from_json
from tachograph.record.scrub import Scrubber
from tachograph.settings import MIB
from tachograph.store.ports import Batch, Position, Store

_REMEMBERED = 2_000
"""Most calls, and most hashed messages, to remember."""
_SHORT = 2_048
"""Longest message whose hashes are remembered: with the count above, 4 MiB at most."""


class Asked(NamedTuple):
    """What later events of a call do not repeat: what it asked for, or when it has ended, what served it and when."""

    provider: str
    model: str
    tier: str | None
    ended_at: int | None = None
    """UTC nanoseconds; None while it is open."""


Pricer = Callable[[Asked, CallEnded, int], Cost | None]
"""(what was asked, how it ended, UTC ns) → cost; None leaves it to whoever admits the event after us."""


class Admitter:
    """Turns events into batches. Keeps the calls that are open or ended lately, and which messages it has hashed."""

    def __init__(
        self,
        scrubber: Scrubber,
        pricer: Pricer,
        find_call: Callable[[str, int], Asked | None] | None = None,
        *,
        content_bytes: int = 8 * MIB,
    ) -> None:
        self._scrubber, self._pricer = scrubber, pricer
        self._limits = scrubber.limits(content_bytes)
        self._find_call = find_call or (lambda run, step: None)
        self._asked: OrderedDict[tuple[str, int], Asked] = OrderedDict()
        self._served: OrderedDict[tuple[str, int], Asked] = OrderedDict()
        self._hashed: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()

    def admit(
        self,
        events: Iterable[Event],
        *,
        scrubbed: bool,
        position: Position | None = None,
        replace: frozenset[str] = frozenset(),
    ) -> Batch:
        """A batch of these events. `scrubbed` says that they come from our own recorder, which redacts as it goes."""
        payloads: dict[bytes, bytes] = {}
        canonical: dict[bytes, bytes] = {}
        known = events if scrubbed else map(self._stranger, events)
        admitted = [self._one(event, payloads, canonical, scrubbed) for event in known]
        return Batch(admitted, payloads, canonical, position, replace)

    def plain(self, text: str) -> str:
        """A short text that stands in no event, with its secrets masked."""
        return self._scrubber.plain(text)

    def _one(self, event: Event, payloads: dict[bytes, bytes], canonical: dict[bytes, bytes], scrubbed: bool) -> Event:
        body = event.body
        if isinstance(body, Unknown):
            return event
        if isinstance(body, MessageAppended):
            moved = self._message(body.message, payloads, canonical, scrubbed)
            said = MessageAppended(role=body.role, parent=body.parent, message=moved, ephemeral=body.ephemeral)
            return _with_body(event, said)
        changes: dict[str, Any] = {}
        for name in _fields_of(type(body), Content):
            content = getattr(body, name)
            if content is not None:
                place = "message" if name == "result" and _in_transcript(body) else "payload"
                moved = self._place(self._redacted(content, scrubbed), payloads, place)
                if moved is not content:
                    changes[name] = moved
        if not scrubbed:
            changes.update(self._masked(body))
        if isinstance(body, CallStarted):
            self._remember_call(event, body)
        elif isinstance(body, CallEnded | CallMetered):
            cost = self._ended(event, body) if isinstance(body, CallEnded) else self._metered(event, body)
            if cost is not body.cost:
                changes["cost"] = cost
        return _with_body(event, msgspec.structs.replace(body, **changes)) if changes else event

    # ---- content --------------------------------------------------------------------------------------------------

    def _redacted(self, content: Content, scrubbed: bool) -> Content:
        if content.text is None or (scrubbed and content.level != "pending"):
            return content
        if scrubbed:
            return self._scrubber.capture(content.text, full_size=content.full_size, marks=content.marks)
        clean = from_json(content.text, self._limits)
        kept = self._scrubber.capture(
            clean.text, full_size=clean.full_size or content.full_size, marks=(*content.marks, *clean.marks)
        )
        return _redacted_twice(content, kept) if content.redacted or content.level == "redacted" else kept

    def _message(
        self, content: Content, payloads: dict[bytes, bytes], canonical: dict[bytes, bytes], scrubbed: bool
    ) -> Content:
        content = self._redacted(content, scrubbed)
        text = content.text
        if text is None:
            return content
        known = self._hashed.get(text) if len(text) < _SHORT else None
        data = text.encode()
        if known is None:
            known = digest(data), canonical_hash(text)
            if len(text) < _SHORT:
                _bounded(self._hashed, text, known)
        identity, same = known
        payloads[identity] = data
        canonical[identity] = same
        return _by_hash(content, identity, len(data))

    def _place(self, content: Content, payloads: dict[bytes, bytes], place: str) -> Content:
        text = content.text
        if text is None or len(text) <= INLINE_BYTES // 4:
            return content
        data = text.encode()
        if len(data) <= INLINE_BYTES:
            return content
        identity = digest(data)
        if place == "message":
            return msgspec.structs.replace(_by_hash(content, identity, len(data)), level="message")
        payloads[identity] = data
        return _by_hash(content, identity, len(data))

    def _masked(self, body: Any) -> Mapping[str, Any]:
        plain = self._scrubber.plain
        changes: dict[str, Any] = {}
        for name in _fields_of(type(body), str):
            value = getattr(body, name)
            if name == "execution_id" and is_execution_id(value):
                continue
            if isinstance(value, str) and len(value) > 7 and (clean := plain(value)) != value:
                changes[name] = clean
            elif isinstance(value, tuple) and (masked := tuple(plain(item) for item in value)) != value:
                changes[name] = masked
            elif isinstance(value, dict) and (masked_ := {key: plain(item) for key, item in value.items()}) != value:
                changes[name] = masked_
        error = getattr(body, "error", None)
        if isinstance(error, Failure):
            trace = None if error.traceback is None else plain(error.traceback)
            changes["error"] = msgspec.structs.replace(error, message=plain(error.message), traceback=trace)
        return changes

    def _stranger(self, event: Event) -> Event:
        """An event whose fields that this version does not know are redacted."""
        body = event.body
        if isinstance(body, Unknown):
            event = _with_body(event, Unknown(body.type, self._cleaned(body.fields)))
        return msgspec.structs.replace(event, extra=self._cleaned(event.extra)) if event.extra else event

    def _cleaned(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that this version does not know: nobody can tell what in them is content."""
        clean = self._scrubber.capture(msgspec.json.encode(fields).decode()).text
        return msgspec.json.decode(clean, type=dict[str, Any]) if clean is not None else {}

    # ---- money ----------------------------------------------------------------------------------------------------

    def _remember_call(self, event: Event, body: CallStarted) -> None:
        _bounded(self._asked, (event.run, event.step), Asked(body.provider, body.model, body.tier))

    def _ended(self, event: Event, body: CallEnded) -> Cost | None:
        key = (event.run, event.step)
        asked = self._asked.pop(key, None) or (self._find_call(*key) if body.cost is None else None)
        if asked is None:
            asked = Asked("", body.served_model or "", None)
        else:
            model, tier = body.served_model or asked.model, body.served_tier or asked.tier
            _bounded(self._served, key, Asked(asked.provider, model, tier, event.at))
        return body.cost or self._pricer(asked, body, event.at)

    def _metered(self, event: Event, body: CallMetered) -> Cost | None:
        """Late usage costs what it would have cost at the end of the call."""
        if body.cost is not None:
            return body.cost
        key = (event.run, body.call)
        asked = self._served.get(key) or self._find_call(*key) or Asked("", "", None)
        at = event.at if asked.ended_at is None else asked.ended_at
        return self._pricer(asked, CallEnded(status="completed", usage=body.usage), at)


class Reach(NamedTuple):
    """A store with its gate and the journals that are on their way to it. Whoever asked for it closes the store."""

    store: Store
    gate: Admitter
    journals: Path
    """Their folder."""
    flush: Callable[[float], bool]
    """Waits (seconds) until everything that this process has recorded is in the store; whether it is."""


def _with_body(event: Event, body: Any) -> Event:
    return Event(event.run, event.seq, event.at, event.mono, event.step, body, event.extra)


def _redacted_twice(before: Content, after: Content) -> Content:
    """A content that was redacted where it was recorded, too: both count."""
    counts = Counter(before.redacted or {}) + Counter(after.redacted or {})
    level = before.level if after.level == "full" and before.level == "redacted" else after.level
    return msgspec.structs.replace(after, redacted=dict(counts) or None, level=level)


def _by_hash(content: Content, identity: bytes, size: int) -> Content:
    return Content(
        hash=identity.hex(), size=size, full_size=content.full_size, redacted=content.redacted, marks=content.marks,
        level=content.level,
    )  # fmt: skip


def _in_transcript(body: Any) -> bool:
    return isinstance(body, ToolEnded) and body.message is not None


def _bounded(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    if len(cache) > _REMEMBERED:
        cache.popitem(last=False)


_FIELDS: dict[tuple[type[Any], type[Any]], tuple[str, ...]] = {}


def _fields_of(kind: type[Any], wanted: type[Any]) -> tuple[str, ...]:
    """Names of a struct's fields whose type mentions `wanted` (a Literal mentions no str)."""
    known = _FIELDS.get((kind, wanted))
    if known is None:
        hints = typing.get_type_hints(kind)
        known = tuple(name for name, hint in hints.items() if _mentions(hint, wanted))
        _FIELDS[kind, wanted] = known
    return known


def _mentions(hint: Any, wanted: type) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return False
    return hint is wanted or any(_mentions(part, wanted) for part in typing.get_args(hint))
