"""The guard: asked before every effect, answered with a ticket or a refusal.

The door calls `admit` on entry and `settle` on exit, always in pairs. `now` is an argument and a guard does no I/O but
through the ledger it was given, so the same guard decides live and over recorded runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct, structs

from tachograph.errors import LimitExceeded
from tachograph.events.budget import Reservation
from tachograph.events.limit import LimitHit, Mode
from tachograph.events.usage import Cost, Usage

PERSON = "person"
"""Kind of the action that gives a run to a person: no hand-off between agents, and counted by no limit."""


class Intent(Struct, frozen=True):
    """What is about to happen, as far as it can be known before."""

    run: str
    kind: str
    """llm, tool, iteration, or the kind of a user step; run for a run that begins, person for a hand-off to one."""
    name: str
    """Tool or step name; for a model call its model."""
    provider: str = ""
    tenant: str = "default"
    session: str | None = None
    attempt: int = 1
    input_bytes: int = 0
    """UTF-8 bytes of the request's messages and tools: an upper bound for its tokens."""
    tools: bool = False
    """Whether it defines tools."""
    max_output: int | None = None
    """Most tokens of output that the request allows a reply; None when it does not say."""
    replies: int = 1
    """How many replies it asks for: each may be as long."""
    tier: str | None = None
    arguments: Any = None
    """A tool's arguments: a value, or the JSON text of one."""


class Spent(Struct, frozen=True):
    """What the run has used so far: attempts and tool calls that were started, and its age."""

    llm_calls: int = 0
    tool_calls: int = 0
    elapsed_ns: int = 0


class Notice(Struct, frozen=True):
    """A limit that is near, or was reached, while the action is admitted all the same. The door records it."""

    metric: str
    used: float
    requested: float
    threshold: float
    scope: str = "run"
    mode: Mode = "warn"
    reason: str = ""
    """In words for the model, where the mode says that it is told."""
    evidence: tuple[int, ...] = ()


class Ticket(Struct, frozen=True):
    """Permission for one action. `reserved` is what the guard keeps of it until it is settled."""

    reserved: Any = None
    notices: tuple[Notice, ...] = ()
    reservation: Reservation | None = None
    """Of a model request: what was set aside for it. The door records it."""


class Refused(Struct, frozen=True):
    """No permission, and why."""

    metric: str
    used: float
    requested: float
    threshold: float
    scope: str = "run"
    mode: Mode = "raise"
    reason: str = ""
    evidence: tuple[int, ...] = ()
    above: int = 0
    """How many runs above the one that asks the limit belongs to; 0: its own."""


def hit_of(said: Refused | Notice, kind: str | None = None, name: str | None = None) -> LimitHit:
    """A refusal of a step of this kind and name, or a notice, as it is recorded."""
    facts = structs.asdict(said)
    facts.pop("above", None)  # it stands in the record of the run that it belongs to, when it ends that
    return LimitHit(**facts, refused_kind=kind, refused_name=name)


def error_of(refused: Refused) -> LimitExceeded:
    """A refusal as it is raised."""
    return LimitExceeded(
        refused.metric, refused.used, refused.requested, refused.threshold, scope=refused.scope, mode=refused.mode,
        reason=refused.reason, above=refused.above,
    )  # fmt: skip


class Settled(Struct, frozen=True):
    """How an admitted action ended."""

    status: str = "completed"
    """completed, failed, cancelled, abandoned; of a tool its final state."""
    step: int | None = None
    """Seq of its start event: what evidence names. None when it could not be recorded."""
    usage: Usage | None = None
    cost: Cost | None = None
    """As the program stated it; None leaves it to the price list."""
    sent: bool = True
    """False for a request that certainly never left, or that the provider refused: it cost nothing."""
    served_model: str | None = None
    result: Any = None
    """What a tool returned."""
    error: str = ""
    """Class of the error that ended it."""
    facts: Mapping[str, Any] = {}


class Guard(Protocol):
    """Decides whether an action may happen."""

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
        """Permission for `intent` at monotonic time `now` (ns), or a refusal."""
        ...

    def settle(self, ticket: Ticket, settled: Settled, now: int) -> tuple[Notice, ...]:
        """The action is over: give back what was reserved beyond what was used. What the door shall record of it."""
        ...


_ALWAYS = Ticket()


class AdmitAll:
    """The guard of a program that sets no limits."""

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket:
        """Always a ticket."""
        return _ALWAYS

    def settle(self, ticket: Ticket, settled: Settled, now: int) -> tuple[Notice, ...]:
        """Nothing was reserved."""
        return ()
