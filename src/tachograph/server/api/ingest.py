"""Sending events, and what a recorder on another machine has to know to send each of them once."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tachograph.events import codec
from tachograph.server.bodies import ENCODINGS, LINES, MOST_BYTES, MOST_EVENTS, PACKED, events_of
from tachograph.server.endpoint import Ask, Endpoint
from tachograph.server.ingest import RUN_ID, Received, journal_of, take
from tachograph.server.problems import invalid
from tachograph.settings import MIB
from tachograph.store.ports import OpenStep, Position
from tachograph.store.query import Query, Where
from tachograph.store.rows import LossRow

_is_id = re.compile(RUN_ID).fullmatch
_Count = Annotated[int, Meta(ge=0, le=2**62)]
_Id = Annotated[str, Meta(pattern=f"^{RUN_ID}$")]


class Sending(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the events come from."""

    journal: Annotated[_Id | None, Meta(description="The journal that the events come from.")] = None
    segment: Annotated[_Count | None, Meta(description="Up to where the journal is sent with this request.")] = None
    offset: Annotated[_Count | None, Meta(description="Bytes into that segment.")] = None
    before_segment: Annotated[_Count, Meta(description="From where it is sent.")] = 0
    before_offset: Annotated[_Count, Meta(description="Bytes into that segment.")] = 0

    def position(self, name: str | None) -> Position | None:
        """The position, under the journal's name in the store; None when none was given. Raises Refusal."""
        given = (self.journal, self.segment, self.offset)
        if given == (None, None, None):
            return None
        if name is None or self.segment is None or self.offset is None:
            missing = ("journal", "segment", "offset")[given.index(None)]
            raise invalid(missing, f"{missing} is missing: a position is journal, segment and offset together")
        _checked(self.journal or "", "journal")
        before = (self.before_segment, self.before_offset)
        if (self.segment, self.offset) < before:
            raise invalid("before_segment", f"a journal only moves on, not from {before} to {given[1:]}")
        return Position(name, self.segment, self.offset, before)


Events = Annotated[
    str,
    Meta(
        description=f"Events, in order within each run: one a line as JSON, as `tachograph export` writes them "
        f"(`{LINES}`), or the compact form of the codec (`{PACKED}`). At most {MOST_EVENTS:,} events and "
        f"{MOST_BYTES // MIB} MiB, unpacked; Content-Encoding {' or '.join(ENCODINGS)}."
    ),
]


class JournalPosition(Struct, frozen=True):
    """How far a journal is stored; (0, 0) when nothing of it is."""

    journal: str
    segment: int
    offset: int


class OpenSteps(Struct, frozen=True):
    """Steps that have started and not ended: of each run the innermost first, the run itself (step 0) last."""

    steps: tuple[OpenStep, ...]


class Continuation(Struct, frozen=True):
    """Where a run goes on."""

    run: str
    next_seq: Annotated[int, Meta(description="Seq that its next event must have; 0 when there is no such run.")]
    last: Annotated[Any, Meta(description="Its last event; null when there is none.")] = None


class Lost(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that could not be recorded, outside any run. The last word on the same reason and detail counts."""

    at: Annotated[int, Meta(ge=0, lt=2**62, description="UTC nanoseconds.")]
    reason: Annotated[str, Meta(min_length=1, max_length=200)]
    events: _Count = 0
    bytes: _Count = 0
    detail: Annotated[str, Meta(max_length=2_000)] = ""


class Noted(Struct, frozen=True):
    """It is written down."""

    journal: str
    reason: str


def _send(ask: Ask) -> Received:
    asked: Sending = ask.asked
    name = None if asked.journal is None else journal_of(ask.caller, asked.journal)
    position = asked.position(name)
    with ask.service.desks.turn():
        return take(ask.service, ask.caller, events_of(ask.body, ask.headers), position, ask.now)


def _journal(ask: Ask) -> JournalPosition:
    journal = _id(ask, "journal")
    segment, offset = ask.service.store.position(journal_of(ask.caller, journal))
    return JournalPosition(journal, segment, offset)


def _open(ask: Ask) -> OpenSteps:
    steps = ask.service.store.open_steps(_id(ask, "journal"))
    where = (Where("id", "in", tuple({step.run for step in steps})),)
    visible = {row["id"] for row in ask.store.find(Query("runs", where, ("id",), limit=None)).rows} if steps else set()
    return OpenSteps(tuple(step for step in steps if step.run in visible))


def _next(ask: Ask) -> Continuation:
    run = _id(ask, "run")
    next_seq = ask.store.next_seq(run)
    last = next(iter(ask.store.read(run, next_seq - 2, 1)), None) if next_seq else None
    return Continuation(run, next_seq, None if last is None else msgspec.Raw(codec.to_json(last)))


def _lose(ask: Ask) -> Noted:
    journal, lost = _id(ask, "journal"), ask.read(Lost)
    plain = ask.service.admitter.plain
    row = LossRow(
        at=lost.at, journal=journal_of(ask.caller, journal), reason=plain(lost.reason), events=lost.events,
        bytes=lost.bytes, detail=plain(lost.detail),
    )  # fmt: skip
    with ask.service.turns.turn():
        ask.service.store.note(row)
    return Noted(journal, lost.reason)


def _id(ask: Ask, name: str) -> str:
    return _checked(ask.path[name], name)


def _checked(text: str, name: str) -> str:
    if _is_id(text) is None:
        raise invalid(name, f"{name}={text!r} is no id of ours: a UUIDv7 in lower case whose last 8 digits are 0")
    return text


ENDPOINTS = (
    Endpoint(
        name="send_events", method="POST", path="/api/events", scope="write", tag="events",
        handler=_send, asks=Sending, takes=Events, takes_media=(LINES, PACKED), gives=Received, problems=(409,),
        about="Store events that were recorded elsewhere. All of them are stored in one transaction, or none; the "
        "answer comes after the commit, and what was stored before is not stored twice. With a journal's position, "
        "the events are stored only if the journal stands where the request says, and the position moves with them.",
    ),
    Endpoint(
        name="get_journal", path="/api/journals/{journal}", scope="write", tag="events",
        handler=_journal, gives=JournalPosition,
        about="How far a journal is stored. A recorder sends what comes after that.",
    ),
    Endpoint(
        name="list_open_steps", path="/api/journals/{journal}/open", scope="write", tag="events",
        handler=_open, gives=OpenSteps,
        about="Steps of a journal's runs that have not ended. Who finds the journal of a dead process ends them.",
    ),
    Endpoint(
        name="note_loss", method="POST", path="/api/journals/{journal}/losses", scope="write", tag="events",
        handler=_lose, takes=Lost, gives=Noted,
        about="Write down what a recorder lost outside any run. `tachograph doctor` tells of it.",
    ),
    Endpoint(
        name="get_continuation", path="/api/runs/{run}/next", scope="write", tag="events",
        handler=_next, gives=Continuation,
        about="Where a run goes on. The seq of its next event, and its last event.",
    ),
)  # fmt: skip
