"""`/runs/{run}/transcript`: what the model saw and said."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.errors import InvalidParameter, NotFound
from tachograph.events.message import MessageAppended
from tachograph.queries.events import events
from tachograph.queries.heading import Heading
from tachograph.queries.views.conversation import BEFORE, begin_before, calls_near, conversation, said
from tachograph.queries.views.request import request
from tachograph.server.endpoint import Ask
from tachograph.server.pages.run import framed, headed
from tachograph.server.pages.site import page, shown
from tachograph.web import links
from tachograph.web.message import pretty
from tachograph.web.run.transcript import alone, asked_for, call, repeated, told

Seq = Annotated[int, Meta(ge=-1, le=2**62)]


class TranscriptAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of the conversation."""

    call: Annotated[Seq | None, Meta(description="Step of a model call: what it saw.")] = None
    seq: Annotated[Seq | None, Meta(description="A message, or another event: the part around it, with it marked.")] = (
        None
    )
    after: Annotated[Seq | None, Meta(description="The part behind this event.")] = None
    before: Annotated[Seq | None, Meta(description="The part before this event.")] = None


class Alone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to show one thing."""

    alone: Annotated[bool, Meta(description="Without the page around it.")] = False


def _transcript(ask: Ask) -> Response:
    found = headed(ask)
    asked: TranscriptAsked = ask.asked
    values = _whole(ask, found, asked) if asked.call is None else _of_call(ask, found, asked.call)
    return shown(ask, "run/transcript.html", **framed(found, "transcript"), **values)


def _whole(ask: Ask, found: Heading, asked: TranscriptAsked) -> dict[str, Any]:
    run = found.run.id
    after = -1 if asked.after is None else asked.after
    if asked.before is not None:
        after = begin_before(ask.store, run, asked.before)
    elif asked.seq is not None:
        after = begin_before(ask.store, run, asked.seq, BEFORE)
    part = conversation(ask.store, run, found.pk, after)
    return {
        "turns": told(part),
        "calls": [call(run, row) for row in part.calls.values()],
        "chosen": None,
        "mark": asked.seq,
        "first": part.first,
        "last": part.last,
        "stored": part.stored,
        "earlier": part.first if part.first > 0 else None,
        "later": part.last if part.last < part.stored - 1 else None,
    }


def _of_call(ask: Ask, found: Heading, step: int) -> dict[str, Any]:
    run = found.run.id
    saw = request(ask.store, run, found.pk, step)
    return {
        "one": asked_for(saw, run),
        "before": repeated(saw, run),
        "repeated_count": saw.repeated,
        "compared": saw.compared,
        "gone": saw.gone,
        "calls": [call(run, row) for row in calls_near(ask.store, found.pk, step)],
        "chosen": step,
        "previous": saw.previous,
        "next": saw.next,
    }


def _message(ask: Ask) -> Response:
    found, seq = headed(ask), number(ask.path["seq"])
    event = next(iter(events(ask.store, found.run.id, seq - 1, 1)), None)
    if event is None or event.seq != seq or not isinstance(event.body, MessageAppended):
        raise NotFound("message", f"{found.run.id}/{seq}")
    each = alone(said(event), found.run.id)
    if ask.asked.alone:
        return shown(ask, "run/message_alone.html", each=each)
    recorded = pretty(event.body.message.text or "")
    return shown(ask, "run/message.html", **framed(found, "transcript"), each=each, recorded=recorded)


def number(text: str) -> int:
    """A number in a path. Raises InvalidParameter."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidParameter("seq", text, "give the number of an event")
    return int(text)


ENDPOINTS = (
    page(
        f"{links.RUNS}/{{run}}/transcript", "What the model saw and said.", _transcript, asks=TranscriptAsked
    ),
    page(f"{links.RUNS}/{{run}}/transcript/{{seq}}", "One message, whole.", _message, asks=Alone),
)  # fmt: skip
