"""Approvals: tool calls that wait for a person, and what people decide about them."""

from __future__ import annotations

from tachograph.queries.answers.approvals import (
    Approvals,
    ApprovalsAsked,
    NewDecision,
    WaitingCall,
    placed,
    ruled,
    waiting_call,
    waiting_runs,
)
from tachograph.record.after.decision import decide
from tachograph.server.endpoint import Ask, Endpoint


def _approvals(ask: Ask) -> Approvals:
    return waiting_runs(ask.store, ask.asked, ask.now)


def _decide(ask: Ask) -> WaitingCall:
    new = ask.read(NewDecision)
    run, approval = placed(ask.store, ask.path["approval"])
    said = ruled(approval, new, by=ask.caller.name, via=ask.caller.name, at=ask.now)
    with ask.service.turns.turn():
        done = decide(ask.service.store, ask.service.admitter, run, said)
    return waiting_call(run, done, ask.now)


ENDPOINTS = (
    Endpoint(
        name="list_approvals", path="/api/approvals", tag="approvals", handler=_approvals, asks=ApprovalsAsked,
        gives=Approvals, about="Paused runs, newest first. Each with the tool calls that wait for a person.",
    ),
    Endpoint(
        name="decide_approval", method="POST", path="/api/approvals/{approval}", tag="approvals", handler=_decide,
        takes=NewDecision, gives=WaitingCall, scope="write", problems=(404, 409),
        about="Allow a waiting tool call, deny it, or allow it with other arguments. The first decision counts.",
    ),
)  # fmt: skip
