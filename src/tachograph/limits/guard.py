"""The guard: asked before every effect, answered with a ticket or a refusal.

The door calls `admit` on entry and `settle` on exit, always in pairs. `now` is an argument and the guard does no I/O of
its own, so the same guard decides live and over recorded runs.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tachograph.events.limit import Mode
from tachograph.events.usage import Usage


class Intent(Struct, frozen=True):
    """What is about to happen, as far as it can be known before."""

    run: str
    kind: str
    """llm, tool, or the kind of a user step."""
    name: str
    """Tool or step name; for a model call its model."""
    provider: str = ""
    tenant: str = "default"
    session: str | None = None
    attempt: int = 1
    input_bytes: int = 0
    """UTF-8 bytes of the request's messages: an upper bound for its tokens."""
    arguments: str | None = None
    """JSON of a tool's arguments."""


class Spent(Struct, frozen=True):
    """What the run has used so far: attempts and tool calls that were started, and its age."""

    llm_calls: int = 0
    tool_calls: int = 0
    elapsed_ns: int = 0


class Ticket(Struct, frozen=True):
    """Permission for one action. `reserved` is what the guard set aside for it."""

    reserved: object = None


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


class Guard(Protocol):
    """Decides whether an action may happen."""

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
        """Permission for `intent` at monotonic time `now` (ns), or a refusal."""
        ...

    def settle(self, ticket: Ticket, usage: Usage | None, now: int) -> None:
        """The action is over: give back what was reserved beyond what was used."""
        ...


_ALWAYS = Ticket()


class AdmitAll:
    """The guard of a program that sets no limits."""

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket:
        """Always a ticket."""
        return _ALWAYS

    def settle(self, ticket: Ticket, usage: Usage | None, now: int) -> None:
        """Nothing was reserved."""
