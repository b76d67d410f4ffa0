"""Tool calls that wait for a person: the paused runs, each with what it waits for."""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta, Struct

from tachograph.errors import InvalidParameter, NotFound
from tachograph.fold.approvals import Approval, Decided, Standing, Word, approvals
from tachograph.queries.pages import Ordinal, PageAsked, PageGiven, Text, meeting, page, total
from tachograph.queries.runs import COLUMNS, NO_AUDIT, Run, run_of
from tachograph.queries.units import Time, time
from tachograph.store.ports import Index, Reading
from tachograph.store.query import Query, Where

_ID = re.compile(r"(.+?)\.(\d{1,9}\.\d{1,9}|effect\..+\.\d{1,9})")
"""A run and a slot in it: of a call, or of an effect that was cut off."""
_NEVER = 2**63 - 1


class WaitingCall(Struct, frozen=True, kw_only=True):
    """A tool call that needs somebody's approval."""

    id: Annotated[str, Meta(description="What to decide about: the run and the place of the call in it.")]
    call_id: Annotated[str, Meta(description="As the model, or its provider, named the call.")]
    tool: str
    arguments: Annotated[Any, Meta(description="As the tool would get them; what is not recorded is masked.")]
    arguments_hash: Annotated[str, Meta(description="Of tool and arguments: give it with the decision.")]
    hidden: Annotated[
        tuple[str, ...], Meta(description="Arguments that are not recorded: a call with some cannot be allowed.")
    ]
    agent: str
    iteration: int
    requested_at: Time
    expires_at: Annotated[Time | None, Meta(description="From then on it counts as denied; null: never.")]
    status: Annotated[Standing, Meta(description="waiting, expired, or what was decided.")]
    decided_by: str | None
    decided_at: Time | None
    reason: Annotated[str, Meta(description="Why it was denied.")]
    edited_arguments: Annotated[Any, Meta(description="In place of its own, where they were edited; null else.")]


class PausedRun(Struct, frozen=True, kw_only=True):
    """A run that waits for a person, and the calls that it waits for."""

    run_id: str
    execution_id: str
    name: str
    tenant: str
    session_id: str | None
    user: str | None
    started_at: Time
    approvals: tuple[WaitingCall, ...]


class ApprovalsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which paused runs. Conditions that are given must all hold."""

    session_id: Annotated[Text | None, Meta(description="The session it belongs to.")] = None
    user: Annotated[Text | None, Meta(description="Whose run it is.")] = None
    run_id: Annotated[Text | None, Meta(description="This run alone.")] = None


class Approvals(PageGiven, frozen=True, kw_only=True):
    """A page of paused runs, the newest first. The counts are of runs."""

    runs: tuple[PausedRun, ...]


class NewDecision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody decides about a call."""

    decision: Annotated[Word, Meta(description="allow; deny; edit: allow it with other arguments.")]
    arguments_hash: Annotated[Text, Meta(description="Of the call that was looked at: another one is refused.")]
    reason: Annotated[
        Annotated[str, Meta(max_length=10_000)], Meta(description="Why it is denied, in words for the model.")
    ] = ""
    arguments: Annotated[
        dict[str, Any] | None, Meta(description="For edit: all arguments. The tool's schema is asked when it runs.")
    ] = None
    by: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        Meta(description="Who decides; the name of the key without it."),
    ] = None


def waiting_runs(store: Reading, asked: ApprovalsAsked, now: int) -> Approvals:
    """The paused runs that meet every condition, at `now` (UTC ns). Raises InvalidParameter for a cursor."""
    where = meeting(asked, {"session_id": "session", "user": "user", "run_id": "id"})
    query = Query("runs", (Where("status", "eq", "paused"), NO_AUDIT, *where), COLUMNS, order=("-started_at",))
    found = page(store, query, asked, tuple[Ordinal, Ordinal])
    runs = tuple(paused_run(store, run_of(row), now) for row in found.rows)
    return Approvals(runs=runs, **found.given(asked, total(store, query)))


def paused_run(store: Reading, run: Run, now: int) -> PausedRun:
    """One run with its open approvals, as its log has them."""
    known = approvals(store.read(run.id), store.fetch)
    return PausedRun(
        run_id=run.id, execution_id=run.execution_id, name=run.name, tenant=run.tenant, session_id=run.session,
        user=run.user, started_at=time(run.started_at),
        approvals=tuple(waiting_call(run.id, one, now) for one in known.values()),
    )  # fmt: skip


def waiting_call(run: str, approval: Approval, now: int) -> WaitingCall:
    """A request as answers have it."""
    said = approval.decided
    return WaitingCall(
        id=f"{run}.{approval.slot}", call_id=approval.call_id, tool=approval.tool, arguments=approval.arguments,
        arguments_hash=approval.arguments_hash, hidden=approval.hidden, agent=approval.agent,
        iteration=approval.iteration, requested_at=time(approval.at),
        expires_at=None if approval.expires_at is None else time(min(approval.expires_at, _NEVER)),
        status=approval.standing(now), decided_by=None if said is None else said.by,
        decided_at=None if said is None else time(said.at), reason="" if said is None else said.reason,
        edited_arguments=None if said is None else said.arguments,
    )  # fmt: skip


def placed(store: Reading, name: str) -> tuple[str, Approval]:
    """The run and the request that the id of a waiting call means. Raises NotFound."""
    found = split(name)
    if found is None or not _is_there(store, found[0]):
        raise NotFound("approval", name)
    approval = approvals(store.read(found[0]), store.fetch).get(found[1])
    if approval is None:
        raise NotFound("approval", name)
    return found[0], approval


def split(name: str) -> tuple[str, str] | None:
    """The run and the place in it that the id of a waiting call names; None for what is no such id."""
    found = _ID.fullmatch(name)
    return None if found is None else (found[1], found[2])


def ruled(approval: Approval, new: NewDecision, *, by: str, via: str, at: int) -> Decided:
    """A decision as it is recorded. Raises InvalidParameter for one that says too much or too little."""
    if (new.decision == "edit") != (new.arguments is not None):
        raise InvalidParameter("arguments", new.arguments, "they go with `edit`, and with nothing else")
    if new.reason and new.decision != "deny":
        raise InvalidParameter("reason", new.reason, "it goes with `deny`, and with nothing else")
    return Decided(
        slot=approval.slot, call_id=approval.call_id, tool=approval.tool, arguments_hash=new.arguments_hash,
        decision=new.decision, by=new.by or by, via=via, at=at, reason=new.reason, arguments=new.arguments,
    )  # fmt: skip


def _is_there(index: Index, run: str) -> bool:
    return bool(index.find(Query("runs", (Where("id", "eq", run),), ("id",), limit=1)).rows)
