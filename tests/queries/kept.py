"""Event streams as a store gets them: messages and large content by hash, their bytes beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tachograph.events.content import INLINE_BYTES, Content, canonical_hash, digest
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.store.ports import Batch


def batch(*streams: Iterable[Event], replace: Iterable[str] = ()) -> Batch:
    """A batch of whole event streams, one after the other."""
    payloads: dict[bytes, bytes] = {}
    events = [_without_text(event, payloads) for stream in streams for event in stream]
    canonical = {name: canonical_hash(text) for name, text in payloads.items()}
    return Batch(events, payloads, canonical, replace=frozenset(replace))


def _without_text(event: Event, payloads: dict[bytes, bytes]) -> Event:
    put: dict[str, Any] = {}
    for name in event.body.__struct_fields__:
        content = getattr(event.body, name)
        if not isinstance(content, Content) or content.text is None:
            continue
        text = content.text.encode()
        if isinstance(event.body, MessageAppended) or len(text) > INLINE_BYTES:
            payloads[digest(text)] = text
            put[name] = msgspec.structs.replace(content, text=None, hash=digest(text).hex())
    return msgspec.structs.replace(event, body=msgspec.structs.replace(event.body, **put)) if put else event
