"""Deleting an execution, for whoever asked: the audit first, then the runs, then their room in the store's files."""

from __future__ import annotations

from tachograph.queries.erasure import Erasure
from tachograph.record.after import audit as record
from tachograph.server.service import Service
from tachograph.store.ports import Erased

_AT_ONCE = 100
"""Runs erased in one transaction: recording waits no longer than that takes."""


def erase(service: Service, found: Erasure, user: str, now_ns: int) -> Erased:
    """Erase these runs; `user` wanted it. Raises StoreError, and Refusal where too many want to write."""
    _note(service, found, user, now_ns)  # first: nothing goes without a trace, whatever happens in between
    runs = found.runs
    service.heads.forget(runs)
    parts = []
    for start in range(0, len(runs), _AT_ONCE):
        with service.turns.turn():
            parts.append(service.store.erase(runs[start : start + _AT_ONCE], now_ns))
    service.tidy()
    return Erased(
        runs=sum(part.runs for part in parts),
        events=sum(part.events for part in parts),
        payloads=sum(part.payloads for part in parts),
        bytes=sum(part.bytes for part in parts),
    )


def _note(service: Service, found: Erasure, user: str, now_ns: int) -> None:
    """Leave an audit event with each tenant whose data it was."""
    for tenant, runs in found.by_tenant.items():
        facts = {"execution_id": found.execution_id, "runs": runs}
        events = record.audit(
            "run_deleted", facts, at=now_ns, entropy=service.clock.entropy(6), tenant=tenant, user=user
        )  # fmt: skip
        with service.turns.turn():
            record.keep(service.store, service.admitter, events)
