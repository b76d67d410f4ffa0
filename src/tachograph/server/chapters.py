"""What live views send: events as messages of `text/event-stream`, read from the store a chapter at a time.

A chapter has a bounded size. Every message has the place behind it as its id, so whoever comes back with the last id
gets what follows, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.note import Unknown
from tachograph.queries.events import filled
from tachograph.store.ports import Store, Stretch
from tachograph.store.query import Query, Where
from tachograph.store.rows import OPEN

SMALL_BYTES = 4_096
"""Contents up to this size are told with their text, larger ones by hash and size."""
CHAPTER_EVENTS, CHAPTER_BYTES = 500, 256 * 1024
"""A chapter ends with the event that reaches one of these."""
_STRETCHES = 100
_CONTROL = frozenset({"reset", "gone", "message", "error", "open"})
"""Names of messages that are no events, here or for browsers."""
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_PLACE = re.compile(r"(-1|\d{1,18})(?:\.(\d{1,10}))?", re.ASCII)


class Place(NamedTuple):
    """Up to where somebody has been told: in the feed of the store, or in one run."""

    at: int
    """The last stretch of the feed; in a run, the seq of the last event (-1: none yet)."""
    within: int | None = None
    """In the middle of that stretch: the seq of the last event. None when it was told whole."""

    @property
    def text(self) -> str:
        """As the id of a message."""
        return str(self.at) if self.within is None else f"{self.at}.{self.within}"


class Facts(Struct, frozen=True):
    """What a run is filtered by."""

    tenant: str
    session: str | None
    agent: str | None
    tags: frozenset[str]


class Entry(NamedTuple):
    """An event, ready to be sent."""

    facts: Facts | None
    """Of its run; None where the run was asked for."""
    message: bytes


class Chapter(Struct, frozen=True):
    """Some events, and the place behind them."""

    entries: tuple[Entry, ...]
    next: Place
    state: Literal["more", "now", "over", "gone", "reset"] = "now"
    """`more` may follow at once; that is all up to `now`; and the run is `over`; it is not there any more (`gone`); the
    feed does not hold what follows the place, and `next` is its newest (`reset`)."""


def place_of(text: str) -> Place | None:
    """The place that an id names; None for text that is no id."""
    found = _PLACE.fullmatch(text)
    return None if found is None else Place(int(found[1]), None if found[2] is None else int(found[2]))


def newest(store: Store) -> Place:
    """The end of the feed."""
    return Place(store.head())


# ---- chapters --------------------------------------------------------------------------------------------------------


def feed_chapter(store: Store, place: Place) -> Chapter:
    """What came in after a place of the feed. Raises StoreError."""
    head = store.head()
    start = place.at if place.within is None else place.at - 1
    stretches = store.appended(start, _STRETCHES)
    if place.at > head or _is_cut(store, start, stretches):
        return Chapter((), Place(head), "reset")
    facts = _facts(store, stretches)
    told: list[Entry] = []
    size = 0
    for stretch in stretches:
        if stretch.run not in facts:
            continue  # erased since
        for event in _events(store, stretch, place):
            place = Place(stretch.id, None if _is_last(stretch, event) else event.seq)
            told.append(Entry(facts[stretch.run], message(event, place)))
            size += len(told[-1].message)
            if len(told) >= CHAPTER_EVENTS or size >= CHAPTER_BYTES:
                return Chapter(tuple(told), place, "more")
    if len(stretches) == _STRETCHES:
        return Chapter(tuple(told), Place(stretches[-1].id), "more")
    return Chapter(tuple(told), Place(max(head, *(stretch.id for stretch in stretches), 0)))


def run_chapter(store: Store, run: str, place: Place) -> Chapter:
    """The events of a run after a place in it. Raises StoreError."""
    rows = store.find(Query("runs", (Where("id", "eq", run),), ("status", "next_seq"), limit=1)).rows
    if not rows:
        return Chapter((), place, "gone")
    told: list[Entry] = []
    size = 0
    for event in filled(store.read(run, place.at, CHAPTER_EVENTS), store.fetch, SMALL_BYTES):
        place = Place(event.seq)
        told.append(Entry(None, message(event, place)))
        size += len(told[-1].message)
        if size >= CHAPTER_BYTES:
            break
    if place.at + 1 < rows[0]["next_seq"]:
        return Chapter(tuple(told), place, "more" if told else "now")
    return Chapter(tuple(told), place, "now" if rows[0]["status"] in OPEN else "over")


def _is_cut(store: Store, start: int, stretches: Sequence[Stretch]) -> bool:
    """Whether the feed has forgotten what came right after a place."""
    if stretches and stretches[0].id == start + 1:
        return False
    oldest = store.find(Query("feed", columns=("id",), order=("id",), limit=1)).rows
    return bool(oldest) and oldest[0]["id"] > start + 1


def _events(store: Store, stretch: Stretch, place: Place) -> Iterator[Event]:
    """Events of a stretch that were not told yet."""
    last = stretch.first + stretch.count - 1
    after = stretch.first - 1
    if place.at == stretch.id and place.within is not None:
        after = max(after, place.within)
    return filled(store.read(stretch.run, after, max(0, last - after)), store.fetch, SMALL_BYTES)


def _is_last(stretch: Stretch, event: Event) -> bool:
    return event.seq == stretch.first + stretch.count - 1


def _facts(store: Store, stretches: Iterable[Stretch]) -> Mapping[str, Facts]:
    names = tuple({stretch.run for stretch in stretches})
    if not names:
        return {}
    columns = ("id", "tenant", "session", "agent_type", "tags")
    rows = store.find(Query("runs", (Where("id", "in", names),), columns, limit=None)).rows
    return {
        row["id"]: Facts(row["tenant"], row["session"], row["agent_type"], _tags(row["tags"]))
        for row in rows
    }  # fmt: skip


def _tags(text: str | None) -> frozenset[str]:
    return frozenset(msgspec.json.decode(text, type=tuple[str, ...])) if text else frozenset()


# ---- messages --------------------------------------------------------------------------------------------------------


def message(event: Event, place: Place) -> bytes:
    """An event as a message: its type is the message's, its JSON the data, the place behind it the id."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (place.text.encode(), _name(event.body).encode(), codec.to_json(event))


def control(name: str, place: Place, **facts: Any) -> bytes:
    """A message that is no event."""
    data = msgspec.json.encode({"cursor": place.text, **facts})
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (place.text.encode(), name.encode(), data)


def mark(place: Place, comment: str) -> bytes:
    """A sign of life: a comment, and an id without data, which readers only remember."""
    return f": {comment}\nid: {place.text}\n\n".encode()


def _name(body: Any) -> str:
    """A type as the name of a message: one of a version to come may be anything."""
    if not isinstance(body, Unknown):
        return str(type(body).__struct_config__.tag)
    return body.type if _NAME.fullmatch(body.type) and body.type not in _CONTROL else "unknown"
