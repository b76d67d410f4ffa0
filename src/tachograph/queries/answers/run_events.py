"""A run's events from a number on, as the JSON that exports have, with the recorded text in place."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from tachograph.events import codec
from tachograph.queries.events import events
from tachograph.queries.find import find
from tachograph.store.ports import Reading

MOST_BYTES = 8_388_608
"""An answer ends with the event that goes beyond so many bytes."""


class RunEventsAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events."""

    after: Annotated[int, Meta(ge=-1, le=2**62, description="Events with a greater seq; -1 for all.")] = -1
    limit: Annotated[int, Meta(ge=1, le=5_000, description="Most events to give.")] = 500


class RunEvents(Struct, frozen=True, kw_only=True):
    """Events of one run in order, without gaps."""

    run_id: str
    events: Annotated[
        tuple[Raw, ...],
        Meta(description="Each as event.schema.json says: run, seq, at and mono (nanoseconds), step, body."),
    ]
    last_seq: Annotated[int, Meta(description="Give it as `after` for the next ones; `after` itself when none came.")]
    has_more: Annotated[bool, Meta(description="Whether more are stored by now.")]
    is_open: Annotated[bool, Meta(description="Whether more can be expected: the run goes on or waits for a person.")]


def run_events(store: Reading, name: str, asked: RunEventsAsked) -> RunEvents:
    """Events of the run that `name` means. Raises NotFound, Ambiguous."""
    run = find(store, name)
    found: list[Raw] = []
    last, size = asked.after, 0
    for event in events(store, run.id, asked.after, asked.limit):
        form = codec.to_json(event)
        found.append(Raw(form))
        last, size = event.seq, size + len(form)
        if size > MOST_BYTES:
            break
    stored = store.next_seq(run.id)
    return RunEvents(run_id=run.id, events=tuple(found), last_seq=last, has_more=last < stored - 1, is_open=run.is_open)
