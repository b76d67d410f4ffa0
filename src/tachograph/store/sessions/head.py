"""A head: where one session stands. Values alone; what may become of them is in `heads`.

The conversation is not in it. A head names a point of the log, and what was said is read from there. The lease says who
writes the next turn, and until when if nothing more is heard of him.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

Status = Literal["active", "handed_off", "closed"]
Fate = Literal["held", "superseded", "lost"]
"""What became of a lease: a newer message wants its turn to end; somebody else has it, or nobody."""
Key = tuple[str, str]
"""Tenant and session."""


class Point(Struct, frozen=True):
    """A conversation as it stood: up to the message that is event `seq` of `run`."""

    run: str
    seq: int


class Lease(Struct, frozen=True):
    """The right to write the next turn."""

    epoch: int
    """Names it: no two leases of a session have the same."""
    owner: str
    """The process, by its journal; empty where nobody can see whether it lives: then its time alone counts."""
    holder: str
    """The same for people."""
    since: int
    """UTC ns, as all times here."""
    until: int
    superseded: bool = False
    """A newer message came: the turn is asked to end."""


class Waiting(Struct, frozen=True):
    """Somebody who wants the next turn."""

    ticket: int
    """The lower goes first."""
    owner: str
    seen: int


class About(Struct, frozen=True):
    """What a program says of a session. None leaves it as it was."""

    user: str | None = None
    platform: str | None = None
    refs: Mapping[str, str] | None = None
    """Ids in other systems."""


class Head(Struct, frozen=True, kw_only=True):
    """Where a session stands."""

    tenant: str
    id: str
    status: Status = "active"
    agent: str | None = None
    """Who speaks next."""
    history: Point | None = None
    """None: nothing was said."""
    state: dict[str, Any] = {}
    """The application's own."""
    state_version: int = 0
    """Version of the application's schema in which `state` was written; 0 before it was."""
    user: str | None = None
    platform: str | None = None
    refs: Mapping[str, str] = {}
    created_at: int
    updated_at: int
    version: int = 0
    """Raised whenever the conversation or the state changes."""
    lease: Lease | None = None
    unfinished: tuple[str, ...] = ()
    """Runs that were begun since the last commit, by writers who are gone or at work."""
    epoch: int = 0
    """Of the newest lease."""
    tickets: int = 0
    """The last ticket that was given."""
    waiting: tuple[Waiting, ...] = ()

    @property
    def key(self) -> Key:
        """Its name."""
        return self.tenant, self.id

    @property
    def run(self) -> str | None:
        """The run under way."""
        return self.unfinished[-1] if self.lease is not None and self.unfinished else None


class Changes(Struct, frozen=True):
    """What a turn makes of a head. UNSET leaves it as it was."""

    history: Point | UnsetType | None = UNSET
    agent: str | UnsetType | None = UNSET
    state: dict[str, Any] | UnsetType = UNSET
    state_version: int | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    """Of a session that was closed meanwhile it stays."""
    unfinished: tuple[str, ...] = ()
    """Runs of others that nobody has committed yet."""


class Taken(Struct, frozen=True):
    """The lease is ours."""

    head: Head
    before: Lease | None = None
    """Whose it was, when he did not give it back."""


class Held(Struct, frozen=True):
    """It is somebody else's."""

    ticket: int
    """Ours: to be shown when asking again."""
    lease: Lease | None
    """None: it is free, but others came first."""
