from __future__ import annotations

from dataclasses import replace

import pytest

from tachograph.queries.erasure import erasure
from tachograph.server import erasing
from tachograph.server.service import Service
from tachograph.store.query import Query, Where
from tests.server.recorded import recorded


def test_runs_go_in_parts_and_the_audit_knows(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many transactions it takes, all of it goes, the sums are those of all, and each tenant is told."""
    monkeypatch.setattr(erasing, "_AT_ONCE", 1)
    made = [recorded(service, tenant=tenant, execution_id="exec_shared", said=tenant) for tenant in ("blue", "red")]
    asked: list[str] = []
    service = replace(service, tidy=lambda: asked.append("tidy"))
    found = erasure(service.store, "exec_shared")
    gone = erasing.erase(service, found, "ada", 5)
    assert (gone.runs, gone.events) == (2, found.events)
    assert gone.payloads > 0
    assert asked == ["tidy"]
    where = (Where("source", "eq", "audit"),)
    told = service.store.find(Query("runs", where, ("tenant", "user", "name"), limit=None)).rows
    assert sorted((row["tenant"], row["user"], row["name"]) for row in told) == [
        ("blue", "ada", "run_deleted"),
        ("red", "ada", "run_deleted"),
    ]
    assert not service.store.find(Query("runs", (Where("id", "in", tuple(run.id for run in made)),), ("id",))).rows
