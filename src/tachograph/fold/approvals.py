"""Tool calls that wait for a person, and what was decided about them, as the notes of a run say it.

A request stands until its call begins; the first decision about it counts. Each is bound to the call's id, its tool and
a hash of its arguments: a decision about anything else is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from tachograph.events.envelope import Event
from tachograph.events.note import Note
from tachograph.events.tool import ToolStarted
from tachograph.fold.handoffs import value_of
from tachograph.fold.transcript import Fetch

REQUESTED, DECIDED = "approval_requested", "approval_decided"
"""The notes."""
Word = Literal["allow", "deny", "edit"]
Standing = Literal["waiting", "expired", "allow", "deny", "edit"]


class Decided(Struct, frozen=True, kw_only=True):
    """What somebody decided about a call, and the call it is about."""

    slot: str
    call_id: str
    tool: str
    arguments_hash: str
    decision: Word
    by: str = ""
    """Who decided."""
    via: str = ""
    """By which way it came: the name of a key of the server, the command line; empty for the program itself."""
    at: int = 0
    """When: UTC ns."""
    reason: str = ""
    arguments: Mapping[str, Any] | None = None
    """In place of the call's own, where they were edited."""


class Approval(Struct, frozen=True, kw_only=True):
    """A call that needs somebody's approval."""

    slot: str
    """`<iteration>.<place in the reply>`: with the run's id it names the call, whatever ids the provider gives."""
    call_id: str
    tool: str
    arguments_hash: str
    """Of the tool's name and the arguments in one spelling (`limits.canonical`)."""
    arguments: Any = None
    """As they were checked; those that are not recorded are masked."""
    hidden: tuple[str, ...] = ()
    """Arguments that are not recorded."""
    agent: str = ""
    iteration: int = 0
    at: int = 0
    """When it was asked for: UTC ns."""
    expires_at: int | None = None
    """UTC ns from which nobody can decide any more, and it counts as denied; None: never."""
    decided: Decided | None = None
    run: str = ""
    """The run below that waits for it, where it is not the very run that asks."""

    def expired(self, now: int) -> bool:
        """Whether nobody decided in time."""
        return self.decided is None and self.expires_at is not None and now >= self.expires_at

    def standing(self, now: int) -> Standing:
        """How it stands at `now` (UTC ns)."""
        if self.decided is not None:
            return self.decided.decision
        return "expired" if self.expired(now) else "waiting"

    def facts(self) -> dict[str, Any]:
        """What its note says."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("decided", "run")}

    def is_about(self, other: Approval | Decided) -> bool:
        """Whether the other is about this very call."""
        mine = self.slot, self.call_id, self.tool, self.arguments_hash
        return mine == (other.slot, other.call_id, other.tool, other.arguments_hash)


Said = TypeVar("Said", Approval, Decided)
Approvals = Mapping[str, Approval]
"""By slot."""


def requested(known: Approvals, approval: Approval) -> Approvals:
    """With one more request; one that is known stays as it is."""
    return known if approval.slot in known else {**known, approval.slot: approval}


def decided(known: Approvals, said: Decided) -> Approvals:
    """With a decision. One about something else is none, a second one neither; one that nobody waited for is kept."""
    found = known.get(said.slot)
    if found is None:
        found = Approval(
            slot=said.slot, call_id=said.call_id, tool=said.tool, arguments_hash=said.arguments_hash, at=said.at
        )
    if found.decided is not None or not found.is_about(said):
        return known
    return {**known, said.slot: msgspec.structs.replace(found, decided=said)}


def approval_of(data: Any) -> Approval | None:
    """The request that a note says; None for what is none."""
    return _read(data, Approval)


def decided_of(data: Any) -> Decided | None:
    """The decision that a note says; None for what is none."""
    return _read(data, Decided)


def approvals(events: Iterable[Event], fetch: Fetch | None = None) -> Approvals:
    """The requests that stand after these events of one run, in the order in which they came."""
    known: Approvals = {}
    for event in events:
        match event.body:
            case Note(name="approval_requested", data=data):
                asked = approval_of(value_of(data, fetch))
                known = known if asked is None else requested(known, asked)
            case Note(name="approval_decided", data=data):
                said = decided_of(value_of(data, fetch))
                known = known if said is None else decided(known, said)
            case ToolStarted(iteration=iteration, index=index) if known:
                known = {slot: one for slot, one in known.items() if slot != slot_of(iteration or 0, index)}
    return known


def slot_of(iteration: int, index: int) -> str:
    """What names a call inside its run."""
    return f"{iteration}.{index}"


def _read(data: Any, kind: type[Said]) -> Said | None:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError:
        return None
