"""What happened in a run, event by event, with the recorded text in place.

This is the form of exports: content that the store keeps apart is put back where it stood, byte for byte, so that the
events are those that were recorded. Content whose text was never kept stays named by its hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Any

import msgspec

from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.fold.transcript import Fetch
from tachograph.store.ports import Reading

_BATCH = 500
_BATCH_BYTES = 1_048_576
"""Contents are read ahead until they have so many bytes, or one has more."""
_ELSEWHERE = ("hashed", "message")
"""Levels at which the store keeps no bytes of that hash: what it may have under it is somebody else's."""


def events(store: Reading, run: str, after: int = -1, limit: int | None = None) -> Iterator[Event]:
    """Events of a run with seq > `after`, in order, with their content. Nothing for a run that is not there."""
    return filled(store.read(run, after, limit), store.fetch)


def filled(stream: Iterable[Event], fetch: Fetch, most: float = inf) -> Iterator[Event]:
    """The same events, with content named by hash replaced by its text where that was kept.

    Reads ahead by batches of some hundred events, of fewer where their contents are large. Contents of more than `most`
    bytes stay named by their hash.
    """
    waiting = iter(stream)
    while batch := list(_batch(waiting, most)):
        wanted = {bytes.fromhex(content.hash or "") for _, contents in batch for content in contents.values()}
        texts = fetch(tuple(wanted)) if wanted else {}
        for event, contents in batch:
            yield _with_text(event, contents, texts) if contents else event


def _batch(waiting: Iterator[Event], most: float) -> Iterator[tuple[Event, dict[str, Content]]]:
    """The next events, each with its contents whose text is elsewhere."""
    size = 0
    for event in islice(waiting, _BATCH):
        contents = _named(event, most)
        yield event, contents
        size += sum(content.size for content in contents.values())
        if size >= _BATCH_BYTES:
            return


def text_of(content: Content, texts: Mapping[bytes, bytes]) -> str | None:
    """The text of a content, inline or among the fetched; None when it was not kept."""
    if content.text is not None or content.hash is None:
        return content.text
    found = texts.get(bytes.fromhex(content.hash))
    return None if found is None else found.decode()


def fetch_texts(contents: Iterable[Content | None], fetch: Fetch) -> Mapping[bytes, bytes]:
    """The bytes of all contents that are not inline, where they were kept, by hash."""
    wanted: Sequence[bytes] = tuple(
        {bytes.fromhex(content.hash) for content in contents if content is not None and content.hash is not None}
    )
    return fetch(wanted) if wanted else {}


def kept_texts(contents: Iterable[Content], fetch: Fetch, each: float, together: float) -> dict[str, str]:
    """Texts of contents that stand elsewhere, by hash: of those up to `each` bytes, small first, as many as fit."""
    sizes = {
        content.hash: content.size
        for content in contents
        if content.text is None and content.hash is not None and content.level not in _ELSEWHERE
        if content.size <= each
    }
    wanted = []
    for name in sorted(sizes, key=sizes.__getitem__):
        together -= sizes[name]
        if together < 0:
            break
        wanted.append(name)
    found = fetch([bytes.fromhex(name) for name in wanted]) if wanted else {}
    return {name.hex(): text.decode("utf-8", "replace") for name, text in found.items()}


def _named(event: Event, most: float) -> dict[str, Content]:
    """Fields of the event's body that hold content whose text is elsewhere."""
    body = event.body
    found = ((name, getattr(body, name)) for name in body.__struct_fields__)
    return {
        name: value
        for name, value in found
        if isinstance(value, Content) and value.text is None and value.hash is not None
        if value.size <= most and value.level not in _ELSEWHERE
    }


def _with_text(event: Event, contents: Mapping[str, Content], texts: Mapping[bytes, bytes]) -> Event:
    put: dict[str, Any] = {}
    for name, content in contents.items():
        text = text_of(content, texts)
        if text is not None:
            put[name] = msgspec.structs.replace(content, text=text, hash=None)
    return msgspec.structs.replace(event, body=msgspec.structs.replace(event.body, **put)) if put else event
