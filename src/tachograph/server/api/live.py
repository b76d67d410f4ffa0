"""Events as they happen, as `text/event-stream`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.queries.find import find
from tachograph.server.callers.access import LOCAL, admit
from tachograph.server.chapters import Place, place_of
from tachograph.server.endpoint import Ask, Endpoint
from tachograph.server.live import MOST_OF_ONE, MOST_READERS, Follower
from tachograph.server.problems import Refusal, invalid
from tachograph.server.stream import MEDIA_TYPE, Stream, Wanted

LAST = "Last-Event-ID"
_Place = Annotated[str, Meta(pattern=r"^(-1|\d{1,18}(\.\d{1,10})?)$")]


class Following(Struct, frozen=True, forbid_unknown_fields=True):
    """What is followed, and from where."""

    run: Annotated[str | None, Meta(description="One run from its beginning: its id, or digits it begins with.")] = None
    after: Annotated[_Place | None, Meta(description="Only what follows the message with this id.")] = None
    follow: Annotated[bool, Meta(description="Go on after the run has ended.")] = False
    session: Annotated[str | None, Meta(description="Only runs of this session.")] = None
    agent: Annotated[str | None, Meta(description="Only runs of this agent type.")] = None
    tag: Annotated[str | None, Meta(description="Only runs with this tag.")] = None


def _live(ask: Ask) -> Response:
    asked: Following = ask.asked
    place = _place(ask)
    if asked.run is None:
        wanted = Wanted(ask.caller.tenant, asked.session, asked.agent, asked.tag)
        return Stream(ask.service.live, wanted, _follower(ask), run=None, place=place)
    for name in ("session", "agent", "tag"):
        if getattr(asked, name) is not None:
            raise invalid(name, f"{name} chooses among runs, and one run is named already")
    run = find(ask.store, asked.run)
    place = place or Place(-1)
    if place.within is not None:
        raise invalid("after", f"after={place.text!r} is no place in a run: give the seq of an event")
    if not (run.is_open or asked.follow) and place.at + 1 >= run.events:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return Stream(ask.service.live, Wanted(), _follower(ask), run=run.id, place=place, follow=asked.follow)


def _follower(ask: Ask) -> Follower:
    """The caller, as long as it is let in: a key can be revoked, or expire, while its stream is open."""
    service, headers, caller = ask.service, ask.headers, ask.caller

    def may_read() -> bool:
        try:
            return admit(service, headers, "read", service.clock.now()) == caller
        except Refusal:
            return False

    if caller is LOCAL:
        return Follower("local", may_read, MOST_READERS)
    # A name is only one's own within a tenant: nobody else's key of the same name takes from these streams.
    return Follower(f"key {caller.name!r} of {caller.tenant!r}", may_read, MOST_OF_ONE)


def _place(ask: Ask) -> Place | None:
    """From where: what a browser says when it comes back is newer than what its page asked for."""
    last = ask.headers.get(LAST.lower())
    text = last or ask.asked.after
    place = None if text is None else place_of(text)
    if text is not None and place is None:
        raise invalid(LAST if last else "after", f"{text!r} is no id of a message of this stream")
    return place


ENDPOINTS = (
    Endpoint(
        name="live", path="/api/live", tag="events", handler=_live, asks=Following, gives=str, media=MEDIA_TYPE,
        problems=(404, 409), without_body=(204,),
        about="Events as they happen. With `run`, that run from its beginning or from behind `after`, to its end; "
        "without, everything that comes into the store from now on or from behind `after`. Each message has as its id "
        "the place behind it: who comes back with it (`Last-Event-ID`) gets what follows, once. 204 says that a run is "
        "over and was told whole. A caller may have 20 streams open at a time; beyond, the answer is 503.",
    ),
)  # fmt: skip
