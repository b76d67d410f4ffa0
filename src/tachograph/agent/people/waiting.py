"""Calls that wait for a person, as values: what is asked, and what a decision in the log means for a call.

Doubt is a no: a decision about other arguments than the call now has, about another call or another tool, one that came
too late, or about arguments that were not kept, denies the call. The model is told why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from tachograph.agent.tools.approval import Allow, Decision, Deny, Edit, Pause
from tachograph.agent.tools.arguments import Prepared
from tachograph.events.chat import HIDDEN, ToolUse
from tachograph.events.envelope import Event
from tachograph.fold.approvals import Approval, Approvals, Decided, Word, approvals, slot_of
from tachograph.fold.transcript import Fetch
from tachograph.limits.canonical import key_of, spelled

SECOND = 1_000_000_000
ANOTHER = "It is not the call that somebody decided about."
EXPIRY = "expiry"
"""Who decides when nobody did in time."""
_WORDS: Mapping[type, Word] = {Allow: "allow", Deny: "deny", Edit: "edit"}


def fingerprint(prepared: Prepared) -> str:
    """A hash of a call's tool and its arguments in one spelling. Those that are not recorded count as one value."""
    hidden = dict.fromkeys(hidden_in(prepared), HIDDEN)
    return key_of(prepared.tool.name, spelled({**prepared.given, **hidden})).hex()


def recorded_as(tool: str, arguments: str | bytes | None) -> str:
    """A hash of a call by its recorded arguments, as JSON text; None where they were not kept: then of any such call.

    It is that of `fingerprint` where nothing was masked on the way into the record.
    """
    value: Any = arguments
    with suppress(msgspec.DecodeError, UnicodeError):
        value = None if arguments is None else msgspec.json.decode(arguments)
    if isinstance(value, dict):
        value = {name: HIDDEN if str(one).startswith(HIDDEN) else one for name, one in value.items()}
    return key_of(tool, spelled(value)).hex()


def hidden_in(prepared: Prepared) -> tuple[str, ...]:
    """Names of the arguments that are not recorded."""
    return tuple(name for name in prepared.tool.redact if name in prepared.given)


def asked(
    pause: Pause, call: ToolUse, prepared: Prepared, shown: Any, *, iteration: int, index: int, agent: str, now: int
) -> Approval:
    """The request for a call. `shown` are its arguments as they may be recorded, `now` is UTC ns."""
    return Approval(
        slot=slot_of(iteration, index), call_id=call.id, tool=prepared.tool.name, agent=agent, iteration=iteration,
        arguments_hash=fingerprint(prepared), arguments=shown, hidden=hidden_in(prepared), at=now,
        expires_at=None if pause.expires is None else now + int(pause.expires * SECOND),
    )  # fmt: skip


def ruling(approval: Approval, decision: Decision, *, by: str, at: int, arguments: Any = None) -> Decided:
    """A decision about a request. `arguments` is how those of an `Edit` may be recorded."""
    return Decided(
        slot=approval.slot, call_id=approval.call_id, tool=approval.tool, arguments_hash=approval.arguments_hash,
        decision=_WORDS[type(decision)], by=decision.by or by, at=at,
        reason=decision.reason if isinstance(decision, Deny) else "",
        arguments=arguments if isinstance(decision, Edit) else None,
    )  # fmt: skip


def meant(approval: Approval, call: ToolUse, prepared: Prepared) -> Decision:
    """What a decision means for this call as it is now. The approval has one."""
    said = approval.decided
    assert said is not None
    now = call.id, prepared.tool.name, fingerprint(prepared)
    if now != (approval.call_id, approval.tool, approval.arguments_hash) or not approval.is_about(said):
        return Deny(ANOTHER, by=said.by)
    if said.decision == "deny":
        return Deny(said.reason, by=said.by)
    arguments = prepared.given if said.arguments is None else said.arguments
    if any(str(arguments.get(name)).startswith(HIDDEN) for name in prepared.tool.redact):
        return Deny("Some of its arguments were not kept while it waited.", by=said.by)
    return Edit(arguments, by=said.by) if said.decision == "edit" else Allow(by=said.by)


def late(approval: Approval) -> Deny:
    """Nobody decided in time."""
    return Deny(f"Nobody decided in time whether {approval.tool} may run.", by=EXPIRY)


def decided(
    told: Iterable[Event] | Approvals, now: int, fetch: Fetch | None = None
) -> Mapping[str, Decision | Approval]:
    """Call id → what is decided about the open calls of a run, by its events or its approvals, at `now` (UTC ns).

    A call that still waits has its `Approval` there. The hash is not looked at here: who runs a call does that.
    """
    known = told if isinstance(told, Mapping) else approvals(told, fetch)
    return {one.call_id: _standing(one, now) for one in known.values()}


def _standing(approval: Approval, now: int) -> Decision | Approval:
    match approval.standing(now), approval.decided:
        case "expired", _:
            return late(approval)
        case "allow", Decided(by=by):
            return Allow(by=by)
        case "deny", Decided(reason=reason, by=by):
            return Deny(reason, by=by)
        case "edit", Decided(arguments=arguments, by=by):
            return Edit(arguments or {}, by=by)
    return approval
