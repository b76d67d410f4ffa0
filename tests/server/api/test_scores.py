from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tachograph.record.clock import SYSTEM
from tachograph.server.callers.keys import mint
from tachograph.server.service import Service
from tests.server.conftest import Serve
from tests.server.recorded import recorded


def test_feedback_comes_back_with_what_it_is_about(serve: Serve, service: Service) -> None:
    """Scores of a run, of a call and of the session are listed with run, step and scope, newest first."""
    run = recorded(service, session="s1")
    with httpx2.Client(base_url=serve(service), headers={"X-Tachograph-Token": service.token}) as client:
        about: list[dict[str, Any]] = [{"run": run.execution_id}, {"step_id": run.call_id}, {"session_id": "s1"}]
        for value, what in enumerate(about):
            given = client.post("/api/scores", json={"name": "helpful", "value": value, "author": "ada", **what})
            assert (given.status_code, given.json()["run_id"]) == (201, run.id)
        found = client.get("/api/scores").json()
        assert [(score["scope"], score["value"], score["run_id"]) for score in found["scores"]] == [
            ("session", 2.0, run.id), ("step", 1.0, run.id), ("run", 0.0, run.id)
        ]  # fmt: skip
        assert [score["step_id"] for score in found["scores"]] == [None, run.call_id, None]
        assert {score["run_name"] for score in found["scores"]} == {"answer"}
        tree = client.get(f"/api/runs/{run.id}").json()
        assert [score["value"] for score in tree["scores"]] == [0.0, 1.0, 2.0]


def test_feedback_counts_as_nothing_else(serve: Serve, service: Service) -> None:
    """Runs, executions, sessions and sums stay what they were when somebody judges them."""
    run = recorded(service, session="s1")
    with httpx2.Client(base_url=serve(service), headers={"X-Tachograph-Token": service.token}) as client:
        paths = (
            "/api/runs",
            "/execution-logs/executions",
            "/api/sessions",
            f"/execution-logs/executions/{run.execution_id}",
        )
        before = [client.get(path).json() for path in paths]
        assert client.post("/api/scores", json={"name": "thumb", "label": "up", "run": run.id}).status_code == 201
        assert [client.get(path).json() for path in paths] == before


def test_deleting_an_execution_deletes_its_feedback(serve: Serve, service: Service) -> None:
    """With the run its scores go; the audit keeps that it was deleted."""
    run = recorded(service)
    with httpx2.Client(base_url=serve(service), headers={"X-Tachograph-Token": service.token}) as client:
        client.post("/api/scores", json={"name": "thumb", "comment": "no", "run": run.id})
        assert client.delete(f"/execution-logs/executions/{run.execution_id}").status_code == 200
        assert client.get("/api/scores").json()["scores"] == []
        assert [entry["action"] for entry in client.get("/api/audit").json()["entries"]] == ["run_deleted"]
        assert list(service.store.check()) == []


@pytest.mark.parametrize(
    ("body", "status", "blamed"),
    [
        ({"name": "a", "value": 1}, 422, "run"),
        ({"name": "a", "run": "last", "session_id": "s"}, 422, "run"),
        ({"name": "a", "run": "019a0000-0000-7000-8000-000000000000"}, 422, "value"),
        ({"name": "", "value": 1, "run": "last"}, 422, "name"),
        ({"name": "a", "value": 1, "colour": "red"}, 422, "colour"),
        ({"name": "a", "value": 1, "session_id": "nobody"}, 404, ""),
    ],
)
def test_a_score_that_cannot_be_kept_is_refused(
    serve: Serve, service: Service, body: dict[str, Any], status: int, blamed: str
) -> None:
    """About nothing, about two things, without a judgement, or of something that is not there: said, and not kept."""
    answer = httpx2.post(f"{serve(service)}/api/scores", json=body, headers={"X-Tachograph-Token": service.token})
    assert (answer.status_code, answer.json().get("parameter", "")) == (status, blamed)


def test_a_score_stays_within_its_tenant(serve: Serve, keyed: Service) -> None:
    """A key cannot judge another tenant's run, and does not see its scores."""
    run = recorded(keyed, tenant="blue")
    keys = {
        tenant: mint(keyed.store, tenant, "write", tenant, now_ns=1, entropy=SYSTEM.entropy).text
        for tenant in ("blue", "red")
    }
    with httpx2.Client(base_url=serve(keyed)) as client:
        answers = {
            tenant: client.post(
                "/api/scores", json={"name": "a", "value": 1, "run": run.id}, headers={"Authorization": f"Bearer {key}"}
            ).status_code
            for tenant, key in keys.items()
        }
        seen = {
            tenant: client.get("/api/scores", headers={"Authorization": f"Bearer {key}"}).json()["total_count"]
            for tenant, key in keys.items()
        }
    assert (answers, seen) == ({"blue": 201, "red": 404}, {"blue": 1, "red": 0})
