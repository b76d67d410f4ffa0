"""Events that others send: checked, given to the tenant of the key, redacted, and stored in one transaction.

What is sent is judged as it would be if it came from a stranger, since it may: what would break a store or show one
tenant what belongs to another is refused, and nothing of a request is stored unless all of it is. Everything else that
a recorder can write is taken, however odd, for a journal whose events are refused can never be emptied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tachograph.errors import SequenceGap
from tachograph.events import ids
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.note import Loss
from tachograph.events.run import AUDIT, RunStarted
from tachograph.events.tool import ToolEnded
from tachograph.queries.checkup import REMOTE
from tachograph.server.bodies import malformed
from tachograph.server.callers.access import Caller
from tachograph.server.problems import Refusal
from tachograph.server.service import Service
from tachograph.store.changes import hash_bytes
from tachograph.store.named import FIELDS, named
from tachograph.store.ports import Batch, Position, Store
from tachograph.store.query import Query, Where
from tachograph.store.rows import JournalRow

RUN_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{4}00000000"
"""Ids of runs and journals: UUIDv7 whose low 32 bits are free for the steps."""

_MOST_SEQ = 1 << 32
_MOST_AT, _MOST_MONO = 1 << 62, 1 << 61
"""Nanoseconds. The difference of any two distances between the clocks still fits into 64 bits."""
_KEPT = frozenset({"full", "redacted", "pending"})
_LEVELS = _KEPT | {"hashed", "none", "message"}
_CHUNK = 500
"""Runs asked for at a time."""
_FETCHED = 16
"""Contents fetched at a time, to see whether they are there: each may be of some MiB."""

_is_run_id = re.compile(RUN_ID).fullmatch


class Received(Struct, frozen=True):
    """What became of events."""

    stored: Annotated[int, Meta(description="Events that are stored now.")]
    repeated: Annotated[int, Meta(description="Events that were stored before, by (run, seq).")]
    dropped: Annotated[int, Meta(description="Events of runs that were erased.")]
    moved: Annotated[
        bool,
        Meta(description="False: the journal stands elsewhere than the request said, and nothing of it was stored."),
    ]
    runs: Annotated[
        dict[str, int],
        Meta(description="Each run of the request, with the seq its next event must have; erased ones are left out."),
    ]
    late: Annotated[
        int, Meta(description="Events of runs that another process has taken over; they are not stored.")
    ] = 0


def take(service: Service, caller: Caller, events: Sequence[Event], position: Position | None, now_ns: int) -> Received:
    """Store events in one transaction. Raises Refusal, SequenceGap, StoreUnavailable: then nothing was stored."""
    for number, event in enumerate(events, 1):
        if (fault := _fault(event)) is not None:
            raise malformed(number, fault)
    _check_audit(events, caller)
    if caller.tenant is not None:
        events = [_of_tenant(event, caller.tenant) for event in events]
    # Before they are admitted, too: the gate remembers what calls asked for, and prices their ends by it.
    _check_runs(service.store, events, caller.tenant)
    batch = service.admitter.admit(events, scrubbed=False, position=position)
    _check_named(service.store, batch, caller.tenant)
    with service.turns.turn():
        _check_runs(service.store, events, caller.tenant)
        if position is not None and position.before == (0, 0):
            service.store.note(JournalRow(id=position.journal, state=REMOTE, seen_at=now_ns))
        answer = service.store.append(batch)
        runs = {row["id"]: row["next_seq"] for row in _runs(service.store, {event.run for event in events})}
    if answer.stored:
        service.live.wake()
    return Received(answer.stored, answer.repeated, answer.dropped, answer.moved, runs, answer.late)


def journal_of(caller: Caller, journal: str) -> str:
    """A journal's name in the store. Each tenant has names of its own: none can move the journal of another."""
    return journal if caller.tenant is None else f"{caller.tenant}/{journal}"


# ---- what is wrong with an event -------------------------------------------------------------------------------------


def _fault(event: Event) -> str | None:
    """Why an event cannot be stored; None when it can."""
    if _is_run_id(event.run) is None:
        return f"run={event.run!r} is no run id: a UUIDv7 in lower case whose last 8 digits are 0"
    if not 0 <= event.seq < _MOST_SEQ:
        return f"seq={event.seq} is not between 0 and {_MOST_SEQ - 1}"
    if not 0 <= event.step <= event.seq:
        return f"step={event.step} is not between 0 and the event's seq, {event.seq}"
    if not 0 <= event.at < _MOST_AT:
        return f"at={event.at} is no time in UTC nanoseconds"
    if not -_MOST_MONO < event.mono < _MOST_MONO:
        return f"mono={event.mono} is no reading of a clock in nanoseconds"
    if isinstance(event.body, RunStarted) and event.seq > 0:
        return f"run_started is event 0 of its run, not event {event.seq}"
    if event.seq == 0 and not isinstance(event.body, RunStarted | Loss):
        return "event 0 of a run is run_started (or loss, where that was lost)"
    return next(filter(None, (_content_fault(content, place) for content, place in _contents(event.body))), None)


def _contents(body: Any) -> Iterator[tuple[Content, tuple[type, str]]]:
    """The contents of an event, each with its place."""
    for name in FIELDS.get(type(body), ()):
        content = getattr(body, name)
        if content is not None:
            yield content, (type(body), name)


def _content_fault(content: Content, place: tuple[type, str]) -> str | None:
    if content.level not in _LEVELS:
        return f"content of level {content.level!r}; there are {', '.join(sorted(_LEVELS))}"
    if content.level == "message" and place != (ToolEnded, "result"):
        return f"{place[1]} of level 'message', which is for a tool's result whose text is that of a message"
    if content.level == "none" and content.hash is not None:
        return f"content of level 'none' with hash={content.hash!r}; what was not kept has none"
    if content.text is None and content.hash is not None and hash_bytes(content.hash) is None:
        return f"hash={content.hash!r} is no BLAKE2b-256 in hex"
    return None if 0 <= content.size < 1 << 62 else f"size={content.size} is no number of bytes"


def _check_audit(events: Iterable[Event], caller: Caller) -> None:
    """Records of what was done to the records are not everybody's to write."""
    forged = any(isinstance(event.body, RunStarted) and event.body.source == AUDIT for event in events)
    if forged and caller.scope != "admin":
        detail = f"runs of source {AUDIT!r} tell what was done to the records; to send them takes a key of scope admin"
        raise Refusal(403, "scope-needed", detail, facts={"has": caller.scope, "needs": "admin"})


# ---- whose it is -----------------------------------------------------------------------------------------------------


def _of_tenant(event: Event, tenant: str) -> Event:
    """The event as one of this tenant. A run whose start was lost gets one, so that it has an owner."""
    body = event.body
    if isinstance(body, RunStarted):
        body = msgspec.structs.replace(body, tenant=tenant)
    elif event.seq == 0:
        lost = Content(level="none", marks=("start_lost",))
        execution = ids.execution_id(event.at, event.run)
        body = RunStarted(name="", execution_id=execution, tenant=tenant, metadata=lost)
    else:
        return event
    return msgspec.structs.replace(event, body=body)


def _check_runs(store: Store, events: Iterable[Event], tenant: str | None) -> None:
    """Refuse to write into the run of another tenant, as if there were no such run, as far as that can be."""
    if tenant is None:
        return
    first: dict[str, int] = {}
    for event in events:
        first.setdefault(event.run, event.seq)
    for row in _runs(store, first):
        if row["tenant"] == tenant:
            continue
        run = row["id"]
        if first[run] > 0:
            raise SequenceGap(run, 0, first[run])
        detail = f"run {run} cannot be written with this key; nothing of this request was stored"
        raise Refusal(403, "run-refused", detail, facts={"run": run})


def _check_named(store: Store, batch: Batch, tenant: str | None) -> None:
    """Refuse contents that are named by a hash whose bytes are not there, or not there for this tenant."""
    wanted: dict[bytes, int] = {}
    for number, event in enumerate(batch.events, 1):
        for content in named(event.body):
            hash = hash_bytes(content.hash)
            if hash is not None and content.level in _KEPT and hash not in batch.payloads:
                wanted.setdefault(hash, number)
    hashes = list(wanted)
    for start in range(0, len(hashes), _FETCHED):
        chunk = hashes[start : start + _FETCHED]
        found = store.fetch(chunk, tenant)
        for hash in chunk:
            if hash not in found:
                raise malformed(wanted[hash], f"no content has the hash {hash.hex()}; send its text")


def _runs(store: Store, runs: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Rows of these runs, as far as there are any."""
    names = sorted(runs)
    for start in range(0, len(names), _CHUNK):
        chunk = tuple(names[start : start + _CHUNK])
        where = (Where("id", "in", chunk),)
        yield from store.find(Query("runs", where, ("id", "tenant", "next_seq"), limit=None)).rows
