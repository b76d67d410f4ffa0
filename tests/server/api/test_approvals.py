from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tachograph.record.clock import SYSTEM
from tachograph.server.callers.keys import mint
from tachograph.server.service import Service
from tests.paused import keep, paused, request
from tests.server.conftest import Serve

HASH = request(0).arguments_hash


def test_what_waits_is_listed_and_decided_once(serve: Serve, service: Service) -> None:
    """Whoever is first counts; the second is told who that was."""
    tape = paused("p", request(0), request(1), session="s1")
    keep(service.store, tape)
    with httpx2.Client(base_url=serve(service), headers={"X-Tachograph-Token": service.token}) as client:
        [run] = client.get("/api/approvals", params={"session_id": "s1"}).json()["runs"]
        first, second = (call["id"] for call in run["approvals"])
        given = client.post(f"/api/approvals/{first}", json={"decision": "allow", "arguments_hash": HASH, "by": "ada"})
        assert (given.status_code, given.json()["status"], given.json()["decided_by"]) == (200, "allow", "ada")
        again = client.post(f"/api/approvals/{first}", json={"decision": "deny", "arguments_hash": HASH, "by": "bo"})
        assert (again.status_code, again.json()["type"]) == (409, "urn:tachograph:problem:approval-refused")
        assert again.json()["facts"] == {"approval": first, "problem": "decided", "by": "ada"}
        other = client.post(f"/api/approvals/{second}", json={"decision": "allow", "arguments_hash": HASH})
        assert (other.status_code, other.json()["facts"]["problem"]) == (409, "mismatch")
        [run] = client.get("/api/approvals").json()["runs"]
        assert [call["status"] for call in run["approvals"]] == ["allow", "waiting"]


@pytest.mark.parametrize(
    ("body", "status", "blamed"),
    [
        ({"decision": "allow"}, 422, "arguments_hash"),
        ({"decision": "perhaps", "arguments_hash": HASH}, 422, "decision"),
        ({"decision": "edit", "arguments_hash": HASH}, 422, "arguments"),
        ({"decision": "edit", "arguments_hash": HASH, "arguments": [1]}, 422, "arguments"),
        ({"decision": "allow", "arguments_hash": HASH, "reason": "x"}, 422, "reason"),
        ({"decision": "allow", "arguments_hash": HASH, "colour": "red"}, 422, "colour"),
    ],
)
def test_what_is_no_decision_is_refused(
    serve: Serve, service: Service, body: dict[str, Any], status: int, blamed: str
) -> None:
    """The problem names what is to blame, and nothing is decided."""
    tape = paused("p", request(0))
    keep(service.store, tape)
    with httpx2.Client(base_url=serve(service), headers={"X-Tachograph-Token": service.token}) as client:
        answer = client.post(f"/api/approvals/{tape.run}.1.0", json=body)
        assert (answer.status_code, answer.json()["parameter"]) == (status, blamed)
        assert client.get("/api/approvals").json()["runs"][0]["approvals"][0]["status"] == "waiting"
        assert (
            client.post("/api/approvals/nobody.1.0", json={"decision": "allow", "arguments_hash": HASH}).status_code
            == 404
        )


def test_a_key_decides_for_its_tenant_alone(serve: Serve, keyed: Service) -> None:
    """A key that only reads decides nothing, one of another tenant finds nothing; the name of the key is kept."""
    tape = paused("p", request(0), tenant="blue")
    keep(keyed.store, tape)
    base, path, body = serve(keyed), f"/api/approvals/{tape.run}.1.0", {"decision": "allow", "arguments_hash": HASH}

    def key(scope: Any, tenant: str) -> dict[str, str]:
        made = mint(keyed.store, f"{scope}-{tenant}", scope, tenant, now_ns=SYSTEM.now(), entropy=SYSTEM.entropy)
        return {"Authorization": f"Bearer {made.text}"}

    asked = [("read", "blue"), ("write", "red"), ("write", "blue")]
    answers = [httpx2.post(base + path, json=body, headers=key(scope, tenant)) for scope, tenant in asked]
    assert [answer.status_code for answer in answers] == [403, 404, 200]
    assert answers[2].json()["decided_by"] == "write-blue"
    assert httpx2.get(f"{base}/api/approvals", headers=key("read", "red")).json()["runs"] == []
