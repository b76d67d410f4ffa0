from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tachograph.compose import System
from tachograph.events.account import Account, Claim, Grant
from tachograph.record.clock import SYSTEM
from tachograph.server.callers.keys import EVERY_TENANT, mint
from tachograph.server.service import Service
from tachograph.store.sessions.head import Changes, Point
from tests.contracts.heads import taken
from tests.server.conftest import Serve
from tests.server.recorded import Recorded, recorded


def led(service: Service, tenant: str = "default") -> Recorded:
    """A session of one run, as a runtime leaves it: its head, its state, and a run that was counted."""
    made = recorded(service, tenant=tenant, session="s")
    head = taken(service.heads, 1, key=(tenant, "s"))
    state = {"of": tenant}
    service.heads.commit((tenant, "s"), head.epoch, 0, Changes(Point(made.id, 3), "desk", state, 1), 2)
    service.heads.release((tenant, "s"), head.epoch)
    system = System(service.settings)
    account = Account.of_session(tenant, "s", "runs")
    granted = system.ledger.reserve((Claim(account, 1, 9),), SYSTEM.now(), SYSTEM.now() + 10**9)
    assert isinstance(granted, Grant)
    system.ledger.settle(granted.id, (1,), SYSTEM.now())
    system.close()
    return made


@pytest.fixture
def client(serve: Serve, service: Service) -> Any:
    """Somebody on this machine."""
    with httpx2.Client(base_url=serve(service), headers={"X-Tachograph-Token": service.token}) as opened:
        yield opened


def test_a_session_says_how_it_stands(client: httpx2.Client, service: Service) -> None:
    """In the list beside its totals, and alone with its state and what its limits have counted."""
    made = led(service)
    [listed] = client.get("/api/sessions").json()["sessions"]
    assert (listed["head"]["status"], listed["head"]["agent"], listed["head"]["history"]) == (
        "active", "desk", {"run_id": made.id, "seq": 3}
    )  # fmt: skip
    detail = client.get("/api/sessions/s").json()
    assert (detail["session"], detail["state"], [count["of"] for count in detail["counts"]]) == (
        listed, {"of": "default"}, ["runs"]
    )  # fmt: skip
    recorded(service, session="without")
    alone = client.get("/api/sessions/without").json()
    assert (alone["session"]["head"], alone["state"], alone["counts"]) == (None, None, [])


def test_a_session_is_closed_reopened_and_reset(client: httpx2.Client, service: Service) -> None:
    """Each answers with the head and stands in the audit with who did it; only what is asked for begins anew."""
    led(service)
    assert client.post("/api/sessions/s/close").json()["status"] == "closed"
    assert client.post("/api/sessions/s/reopen").json()["status"] == "active"
    assert client.post("/api/sessions/s/reset").json()["version"] == 1
    detail = client.get("/api/sessions/s").json()
    assert (detail["counts"][0]["total"], detail["state"]) == (0, {"of": "default"})
    gone = client.post("/api/sessions/s/reset", params={"history": "true", "state": "true", "counters": "false"}).json()
    assert (gone["history"], gone["version"], client.get("/api/sessions/s").json()["state"]) == (None, 2, {})
    entries = client.get("/api/audit").json()["entries"]
    assert [(entry["action"], entry["user"], entry["details"]["session"]) for entry in reversed(entries)] == [
        ("session_closed", "local", "s"), ("session_reopened", "local", "s"), ("session_reset", "local", "s"),
        ("session_reset", "local", "s"),
    ]  # fmt: skip


def test_what_is_not_there_cannot_be_changed(client: httpx2.Client, service: Service) -> None:
    """A session without a head is a 404, and leaves nothing in the audit."""
    recorded(service, session="s")
    answers = [client.post(f"/api/sessions/s/{what}") for what in ("close", "reopen", "reset")]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert client.get("/api/audit").json()["entries"] == []


def test_each_tenant_changes_its_own_alone(serve: Serve, keyed: Service) -> None:
    """A key of one tenant finds no other's session; one for all names the tenant. To reset needs more than to close."""
    for tenant in ("blue", "red"):
        led(keyed, tenant)
    now = {"now_ns": 1, "entropy": SYSTEM.entropy}
    keys = {
        name: mint(keyed.store, name, scope, tenant, **now).text  # type: ignore[arg-type]  # as it is asked for
        for name, scope, tenant in (
            ("blue", "write", "blue"), ("boss", "admin", EVERY_TENANT), ("reader", "read", "blue")
        )
    }  # fmt: skip
    with httpx2.Client(base_url=serve(keyed)) as client:

        def post(name: str, what: str, **params: str) -> int:
            headers = {"Authorization": f"Bearer {keys[name]}"}
            return client.post(f"/api/sessions/s/{what}", headers=headers, params=params).status_code

        assert (post("blue", "close"), post("blue", "close", tenant="red"), post("reader", "close")) == (200, 404, 403)
        assert (post("blue", "reset"), post("boss", "close"), post("boss", "reset", tenant="red")) == (403, 404, 200)
    status = {head.tenant: (head.status, head.version) for head in keyed.heads.newest()}
    assert status == {"blue": ("closed", 1), "red": ("active", 1)}


def test_a_deleted_execution_takes_the_head_along(client: httpx2.Client, service: Service) -> None:
    """What a state may hold goes with the conversation it was about."""
    made = led(service)
    assert client.delete(f"/execution-logs/executions/{made.execution_id}").json()["deleted_runs"] == 1
    assert service.heads.newest() == []
