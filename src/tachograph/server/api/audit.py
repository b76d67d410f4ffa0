"""What was done to the records, and doing it: the audit, and deleting an execution."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.queries.answers.audit import AuditAsked, AuditEntries, audit
from tachograph.queries.erasure import erasure
from tachograph.server.endpoint import Ask, Endpoint
from tachograph.server.erasing import erase


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
    gone = erase(ask.service, found, ask.caller.name, ask.now)
    return Deleted(
        execution_id=found.execution_id,
        message=f"Deleted {found.execution_logs} execution logs and {found.llm_call_logs} LLM call logs",
        deleted_execution_logs=found.execution_logs,
        deleted_llm_call_logs=found.llm_call_logs,
        deleted_runs=len(found.runs),
        deleted_events=gone.events,
        deleted_payloads=gone.payloads,
    )


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
