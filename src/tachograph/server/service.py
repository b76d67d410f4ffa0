"""What every request is answered with: the store, the gate in front of it, the clock, and who may ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tachograph.compose import heads_of
from tachograph.queries.kept import Kept
from tachograph.record.admit import Admitter
from tachograph.record.clock import Clock
from tachograph.server.flights import Flights
from tachograph.server.housekeeping import Rounds
from tachograph.server.live import Live
from tachograph.server.turnstile import Turnstile
from tachograph.settings import Settings
from tachograph.store.ports import Store
from tachograph.store.sessions.heads import Heads
from tachograph.upkeep.keeper import Health
from tachograph.web.first import Left

NAMES = frozenset({"localhost"})
"""Names that every server goes by, beside the addresses of its machine."""


@dataclass(frozen=True)
class Service:
    """One server's surroundings. Safe for threads."""

    settings: Settings
    store: Store
    admitter: Admitter
    clock: Clock
    token: str = field(repr=False)
    """Same-origin token: proves that a state-changing request comes from a page or a program of this machine."""
    needs_key: bool = False
    """Whether every request needs a key: always beyond loopback."""
    hosts: frozenset[str] = NAMES
    """Names that a request may have meant this server by (header Host, without port)."""
    rounds: Rounds = field(default_factory=Rounds)
    """What the housekeeping has done."""
    tidy: Callable[[], object] = lambda: None
    """Called after a deletion: what was erased is to leave the store's files."""
    left_here: Callable[[], Sequence[Left]] = tuple
    """Finds the session logs that coding agents have left on this machine."""
    upkeep: Health = field(default_factory=Health)
    """What pruning and watching have done."""
    desks: Turnstile = field(default_factory=lambda: Turnstile(places=4))
    """Where what is sent is unpacked, checked and redacted: a few at a time, since each may be large."""
    turns: Turnstile = field(default_factory=Turnstile)
    """The queue of those who want to write."""
    outlines: Kept = field(default_factory=Kept)
    """The runs whose steps were put in order last."""
    counts: Kept = field(default_factory=lambda: Kept(most=1))
    """What the store held when it was counted last."""
    flights: Flights = field(default_factory=Flights)
    """Answers that several wait for."""
    live: Live = field(init=False)
    """Who follows events as they come in."""

    heads: Heads = field(init=False)
    """Where sessions stand."""

    def __post_init__(self) -> None:
        """Let live views look at this store, and find the heads beside it."""
        object.__setattr__(self, "heads", heads_of(self.settings))
        object.__setattr__(self, "live", Live(self.store))
