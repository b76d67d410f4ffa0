"""A run that is given to a person: requested, then applied or failed, as its notes say it.

Each note carries all facts, so the last one is the whole state. What was told to the customer stands in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.note import Note
from tachograph.fold.transcript import Fetch, text_of

Cause = Literal["limit", "policy", "model", "error"]
HandingState = Literal["requested", "applied", "failed"]
PERSON = "person"
"""`kind` of these notes: other hand-offs are between agents."""
STATES: Mapping[str, HandingState] = {
    "handoff_requested": "requested", "handoff_applied": "applied", "handoff_failed": "failed",
}  # fmt: skip
"""Note → the state it begins."""


class Handing(Struct, frozen=True, kw_only=True):
    """A run on its way to a person, or there, or not."""

    effect_id: str
    """The same for every attempt, also those of a run that was resumed."""
    cause: Cause
    metric: str = ""
    """Stop reason that led to it; empty where the model asked for it."""
    reason: str = ""
    state: HandingState = "requested"
    attempts: int = 0
    """Of the effect."""
    problem: str = ""
    """Why it failed."""
    text: str | None = None
    """What the customer is told; None while it is requested, or where there is no text."""

    def facts(self) -> dict[str, Any]:
        """What its note says."""
        said = {name: getattr(self, name) for name in self.__struct_fields__ if name != "state"}
        return {"kind": PERSON, **said}


def note_of(handing: Handing) -> str:
    """The name of the note that says it."""
    return f"handoff_{handing.state}"


def handing_of(name: str, data: Any) -> Handing | None:
    """What a note says of a person; None for one that says nothing of one."""
    state = STATES.get(name)
    if state is None or not isinstance(data, dict) or data.get("kind") != PERSON:
        return None
    try:
        return msgspec.convert({**data, "state": state}, Handing)
    except msgspec.ValidationError:
        return None


def handing(events: Iterable[Event], fetch: Fetch | None = None) -> Handing | None:
    """Where the events of a run leave its way to a person; None when nobody asked for one."""
    found: Handing | None = None
    for event in events:
        if isinstance(event.body, Note) and event.body.name in STATES:
            found = handing_of(event.body.name, value_of(event.body.data, fetch)) or found
    return found


def value_of(content: Content | None, fetch: Fetch | None) -> Any:
    """The value of a note; None when it was not kept or is no JSON."""
    text = None if content is None else text_of(content, fetch)
    try:
        return None if text is None else msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
