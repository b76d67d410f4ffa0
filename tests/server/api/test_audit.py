from __future__ import annotations

from typing import Any

import httpx2

from tachograph.record.clock import SYSTEM
from tachograph.server.callers.keys import EVERY_TENANT, mint
from tachograph.server.service import Service
from tests.server.conftest import Serve
from tests.server.recorded import recorded


def test_a_deleted_execution_is_gone_everywhere(serve: Serve, service: Service) -> None:
    """After a deletion no endpoint knows the run, its text is not in the store, and the audit says who did it."""
    kept, gone = recorded(service, said="stays here"), recorded(service, said="goes away for good")
    with httpx2.Client(base_url=serve(service), headers={"X-Tachograph-Token": service.token}) as client:
        answer = client.delete(f"/execution-logs/executions/{gone.execution_id}").json()
        assert answer == {
            "execution_id": gone.execution_id,
            "message": "Deleted 2 execution logs and 1 LLM call logs",
            "deleted_execution_logs": 2,
            "deleted_llm_call_logs": 1,
            "deleted_runs": 1,
            "deleted_events": 8,
            "deleted_payloads": 1,
        }
        assert client.delete(f"/execution-logs/executions/{gone.execution_id}").status_code == 404
        assert client.get(f"/execution-logs/executions/{gone.execution_id}").status_code == 404
        assert [run["id"] for run in client.get("/api/runs").json()["runs"]] == [kept.id]
        assert client.get("/api/search", params={"text": "goes away"}).json()["hits"] == []
        [entry] = client.get("/api/audit").json()["entries"]
        assert (entry["action"], entry["user"], entry["details"]["runs"]) == ("run_deleted", "local", [gone.id])
        period = {"start_date": "2020-01-01", "end_date": "2100-01-01"}
        summary = client.get("/execution-logs/analytics/summary", params=period).json()
        assert summary["execution_analytics"]["total_executions"] == 2
    assert list(service.store.check()) == []


def test_each_tenant_is_told_of_its_own_alone(serve: Serve, keyed: Service) -> None:
    """An execution id that two share is deleted for both by a key for all; each finds only its own runs named."""
    runs = {tenant: recorded(keyed, tenant=tenant, execution_id="exec_shared") for tenant in ("blue", "red")}
    keys = {
        tenant: mint(keyed.store, tenant, "admin", tenant, now_ns=1, entropy=SYSTEM.entropy).text
        for tenant in ("blue", "red", EVERY_TENANT)
    }
    with httpx2.Client(base_url=serve(keyed)) as client:

        def ask(tenant: str, method: str, path: str) -> Any:
            return client.request(method, path, headers={"Authorization": f"Bearer {keys[tenant]}"}).json()

        assert ask(EVERY_TENANT, "DELETE", "/execution-logs/executions/exec_shared")["deleted_runs"] == 2
        told = {tenant: ask(tenant, "GET", "/api/audit")["entries"] for tenant in ("blue", "red")}
    assert {tenant: [entry["details"]["runs"] for entry in entries] for tenant, entries in told.items()} == {
        tenant: [[run.id]] for tenant, run in runs.items()
    }
