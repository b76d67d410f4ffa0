"""What was done to the records, and doing it: the audit, and deleting an execution."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.queries.answers.audit import AuditAsked, AuditEntries, audit
from tachograph.queries.erasure import Erasure, erasure
from tachograph.record.after import audit as record
from tachograph.server.endpoint import Ask, Endpoint

_AT_ONCE = 100
"""Runs erased in one transaction: recording waits no longer than that takes."""


class Deleted(Struct, frozen=True, kw_only=True):
    """What a deletion took away."""

    execution_id: str
    message: Annotated[str, Meta(description="The counts, for people.")]
    deleted_execution_logs: int
    deleted_llm_call_logs: int
    deleted_runs: Annotated[int, Meta(description="Runs with this execution id, and those that they started.")]
    deleted_events: int
    deleted_payloads: Annotated[int, Meta(description="Contents that no other run names.")]


def _audit(ask: Ask) -> AuditEntries:
    return audit(ask.store, ask.asked)


def _delete(ask: Ask) -> Deleted:
    found = erasure(ask.store, ask.path["execution_id"])
    store = ask.service.store
    _note(ask, found)  # first: nothing goes without a trace, whatever happens in between
    events = payloads = 0
    ask.service.heads.forget(found.runs)
    for start in range(0, len(found.runs), _AT_ONCE):
        with ask.service.turns.turn():
            gone = store.erase(found.runs[start : start + _AT_ONCE], ask.now)
        events, payloads = events + gone.events, payloads + gone.payloads
    ask.service.tidy()
    return Deleted(
        execution_id=found.execution_id,
        message=f"Deleted {found.execution_logs} execution logs and {found.llm_call_logs} LLM call logs",
        deleted_execution_logs=found.execution_logs,
        deleted_llm_call_logs=found.llm_call_logs,
        deleted_runs=len(found.runs),
        deleted_events=events,
        deleted_payloads=payloads,
    )


def _note(ask: Ask, found: Erasure) -> None:
    """Leave an audit event with each tenant whose data it was."""
    for tenant, runs in found.by_tenant.items():
        facts = {"execution_id": found.execution_id, "runs": runs}
        events = record.audit(
            "run_deleted", facts, at=ask.now, entropy=ask.service.clock.entropy(6), tenant=tenant, user=ask.caller.name
        )  # fmt: skip
        with ask.service.turns.turn():
            record.keep(ask.service.store, ask.service.admitter, events)


ENDPOINTS = (
    Endpoint(
        name="delete_execution", method="DELETE", path="/execution-logs/executions/{execution_id}",
        tag="execution-logs", handler=_delete, gives=Deleted, scope="admin",
        about="Delete an execution: all its runs and those that they started, everywhere, with what only they hold. "
        "The audit keeps that it was done, when and by whom.",
    ),
    Endpoint(
        name="list_audit", path="/api/audit", tag="audit", handler=_audit, asks=AuditAsked, gives=AuditEntries,
        about="What was done to the records: deletions, prunings, keys, alerts. Newest first.",
    ),
)  # fmt: skip
