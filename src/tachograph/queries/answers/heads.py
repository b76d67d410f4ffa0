"""Where a session stands, as its head says it; and what its limits have counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Meta, Struct

from tachograph.events.account import COUNTED, Account, Counted, Standing
from tachograph.queries.units import Time, maybe_time, time, usd
from tachograph.store.sessions.head import Head, Key, Status
from tachograph.store.sessions.heads import Heads

DAY = 86_400_000_000_000
NOTHING = Standing(0, 0, 0)


class HistoryPoint(Struct, frozen=True, kw_only=True):
    """The conversation as it stood after this message."""

    run_id: str
    seq: Annotated[int, Meta(description="Of the message's event; -1 where it could not be recorded.")]


class SessionHead(Struct, frozen=True, kw_only=True):
    """Where a session stands, for the next turn."""

    session_id: str
    tenant: str
    status: Status
    agent: Annotated[str | None, Meta(description="Who speaks next.")]
    version: Annotated[int, Meta(description="Raised whenever the conversation or the state changes.")]
    history: Annotated[HistoryPoint | None, Meta(description="Null when nothing was said.")]
    state_version: Annotated[int, Meta(description="Version of the application's schema; 0 before there was a state.")]
    user: str | None
    platform: str | None
    refs: Mapping[str, str]
    start_time: Time
    updated_at: Time
    run_id: Annotated[str | None, Meta(description="The run under way.")]
    holder: Annotated[str | None, Meta(description="Who writes the next turn; null when nobody does.")]
    held_until: Annotated[Time | None, Meta(description="The end of its lease, if nothing more is heard of it.")]


class SessionCount(Struct, frozen=True, kw_only=True):
    """What limits have counted of one thing, in USD or as a whole number."""

    of: Literal["runs", "llm_calls", "tool_calls", "tokens", "usd"]
    used: Annotated[float, Meta(description="Within the last day.")]
    reserved: Annotated[float, Meta(description="Set aside for what is on its way.")]
    total: float
    reset_at: Time | None


class Counting(Protocol):
    """What a ledger can be asked."""

    def standing(self, account: Account, window_ns: int | None, now: int) -> Standing:
        """How an account stands."""
        ...


class Stands(NamedTuple):
    """What is kept of one session beside the store."""

    head: SessionHead | None = None
    state: msgspec.Raw | None = None
    counts: tuple[SessionCount, ...] = ()


class Beside(Struct, frozen=True):
    """What is kept of sessions beside the store."""

    heads: Heads
    now: int
    """UTC ns."""
    ledger: Counting | None = None
    """None: nothing was counted, or nobody asks."""
    inside: bool = True
    """Whether the reader is on this machine: others are not told which of its processes holds a session."""

    def of(self, key: Key) -> Stands:
        """What is kept of one."""
        counts = () if self.ledger is None else counts_of(self.ledger, *key, self.now)
        head = self.heads.get(key)
        if head is None:
            return Stands(counts=counts)
        return Stands(self.told(head), msgspec.Raw(msgspec.json.encode(head.state)), counts)

    def several(self, keys: Iterable[Key]) -> Mapping[Key, SessionHead]:
        """The heads of these sessions, of those that have one."""
        return {key: self.told(head) for key, head in self.heads.several(keys).items()}

    def told(self, head: Head) -> SessionHead:
        """A head, for a reader."""
        lease, point = self.heads.holds(head, self.now), head.history
        same: dict[str, Any] = {name: getattr(head, name) for name in _SAME}
        holder = (lease.holder if lease is not None and self.inside else "") or "a process"
        return SessionHead(
            **same,
            session_id=head.id,
            history=None if point is None else HistoryPoint(run_id=point.run, seq=point.seq),
            start_time=time(head.created_at),
            updated_at=time(head.updated_at),
            run_id=None if lease is None else head.run,
            holder=None if lease is None else holder,
            held_until=maybe_time(None if lease is None else lease.until),
        )


def counts_of(ledger: Counting, tenant: str, session: str, now: int) -> tuple[SessionCount, ...]:
    """What was counted of a session; nothing of what nobody has counted."""
    stood = {of: ledger.standing(Account.of_session(tenant, session, of), DAY, now) for of in COUNTED}
    return tuple(_count(of, standing) for of, standing in stood.items() if standing != NOTHING)


_SAME = ("tenant", "status", "agent", "version", "state_version", "user", "platform", "refs")


def _count(of: Counted, standing: Standing) -> SessionCount:
    def figure(amount: int) -> float:
        return usd(amount) if of == "nano_usd" else amount

    return SessionCount(
        of="usd" if of == "nano_usd" else of,
        used=figure(standing.used),
        reserved=figure(standing.reserved),
        total=figure(standing.total),
        reset_at=maybe_time(standing.reset_at),
    )
