"""`/runs/{run}/events`: the log of a run, event by event."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.errors import NotFound
from tachograph.queries.events import events
from tachograph.queries.views.stretch import stretch
from tachograph.server.endpoint import Ask
from tachograph.server.pages.run import framed, headed
from tachograph.server.pages.site import page, shown
from tachograph.server.pages.views.transcript import Alone, Seq, number
from tachograph.web import links
from tachograph.web.run.events import KINDS, line, types_of, whole

ROWS = 100


class EventsAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events."""

    kind: Annotated[str, Meta(max_length=40, description="A kind of events, or one type; empty for all.")] = ""
    after: Annotated[Seq | None, Meta(description="Those behind this event.")] = None
    before: Annotated[Seq | None, Meta(description="Those before this event.")] = None


def _events(ask: Ask) -> Response:
    found, asked = headed(ask), ask.asked
    run, after = found.run.id, -1 if asked.after is None else asked.after
    part = stretch(ask.store, run, after=after, before=asked.before, types=types_of(asked.kind), limit=ROWS)
    lines = [line(event, run) for event in part.events]
    values = framed(found, "events") | {"part": part, "lines": lines, "kind": asked.kind, "kinds": tuple(KINDS)}
    return shown(ask, "run/events.html", **values)


def _event(ask: Ask) -> Response:
    found, seq = headed(ask), number(ask.path["seq"])
    event = next(iter(events(ask.store, found.run.id, seq - 1, 1)), None)
    if event is None or event.seq != seq:
        raise NotFound("event", f"{found.run.id}/{seq}")
    if ask.asked.alone:
        return shown(ask, "run/event_alone.html", text=whole(event))
    values = framed(found, "events") | {"line": line(event, found.run.id), "text": whole(event)}
    return shown(ask, "run/event.html", **values, stored=ask.store.next_seq(found.run.id))


ENDPOINTS = (
    page(f"{links.RUNS}/{{run}}/events", "The log of a run.", _events, asks=EventsAsked),
    page(f"{links.RUNS}/{{run}}/events/{{seq}}", "One event, whole.", _event, asks=Alone),
)
