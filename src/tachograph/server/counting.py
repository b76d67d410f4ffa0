"""What a store holds, counted: a tenth of a second's reading of a large one, so it is kept while nothing comes or goes.

What changes without anything being recorded or erased, as the room that is free, may be as old as is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tachograph.server.service import Service
from tachograph.store.query import Measure, Query

_LAST = Measure("max", "id")


class Counted(Struct, frozen=True):
    """The facts of a store at one moment."""

    at: int
    """UTC ns."""
    facts: Mapping[str, Any]


def counted(service: Service, now: int) -> Counted:
    """What the service's store holds at `now` (UTC ns), or held when it was last counted."""
    store = service.store
    gone = store.find(Query("erased", measures=(_LAST,))).rows
    state = (store.head(), *(row[_LAST.name] for row in gone))
    return service.counts.get(state, now, lambda: Counted(now, store.facts()))
