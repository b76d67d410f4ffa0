"""Who said that: messages that contain a text, with the words around it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.queries.search import Hit, search
from tachograph.queries.units import Time, time
from tachograph.store.ports import Reading


class SearchAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for."""

    text: Annotated[str, Meta(min_length=1, max_length=500, description="Text of a message, in any case.")]
    limit: Annotated[int, Meta(ge=1, le=200, description="Most messages to give.")] = 20


class FoundMessage(Struct, frozen=True, kw_only=True):
    """A message that contains the text."""

    run_id: str
    execution_id: str
    run_name: str
    session_id: str | None
    seq: Annotated[int, Meta(description="Of its event.")]
    time: Annotated[Time, Meta(description="When it joined the conversation.")]
    role: str
    text: Annotated[str, Meta(description="The words around the match.")]
    start: Annotated[int, Meta(description="Where in `text` the match begins, in characters.")]
    stop: Annotated[int, Meta(description="Where it ends.")]


class SearchHits(Struct, frozen=True, kw_only=True):
    """Messages that contain the text, those of the newest runs first."""

    hits: tuple[FoundMessage, ...]


def search_hits(store: Reading, asked: SearchAsked) -> SearchHits:
    """The messages that contain the text. Its time grows with the text in the store."""
    return SearchHits(hits=tuple(map(_found, search(store, asked.text, asked.limit))))


def _found(hit: Hit) -> FoundMessage:
    return FoundMessage(
        run_id=hit.run.id,
        execution_id=hit.run.execution_id,
        run_name=hit.run.name,
        session_id=hit.run.session,
        seq=hit.seq,
        time=time(hit.at),
        role=hit.role,
        text=hit.snippet.text,
        start=hit.snippet.start,
        stop=hit.snippet.stop,
    )
