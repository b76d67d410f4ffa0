from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest

from tachograph.record.clock import SYSTEM
from tachograph.server.api import surface
from tachograph.server.callers.keys import EVERY_TENANT, mint
from tachograph.server.endpoint import Endpoint
from tachograph.server.service import Service
from tests.server.conftest import Serve
from tests.server.recorded import Recorded, recorded

STREAMS = ("live",)
"""What does not end by itself is followed for one run, up to its end."""
WITHOUT_TENANT = ("healthz", "token", "metrics", "send_events", "note_loss", "give_score")
"""What tells nothing of runs, or takes something in: tested where it is."""


class Both(NamedTuple):
    """A server over the records of two tenants, and a key for each."""

    client: httpx2.Client
    runs: dict[str, Recorded]
    keys: dict[str, str]


@pytest.fixture
def both(serve: Serve, keyed: Service) -> Iterator[Both]:
    """Blue and red, with the same session, agent and texts but for one word; scores and an audit entry for each."""
    runs = {
        tenant: recorded(keyed, tenant=tenant, session="shared", said=f"secret-of-{tenant}")
        for tenant in ("blue", "red")
    }
    gone = {tenant: recorded(keyed, tenant=tenant, said=f"gone-of-{tenant}") for tenant in ("blue", "red")}
    keys = {
        tenant: mint(keyed.store, tenant, "admin", tenant, now_ns=1, entropy=SYSTEM.entropy).text
        for tenant in (*runs, EVERY_TENANT)
    }
    with httpx2.Client(base_url=serve(keyed)) as client:
        for tenant, run in runs.items():
            mine = {"Authorization": f"Bearer {keys[tenant]}"}
            score = {"name": "thumb", "comment": f"secret-of-{tenant}", "run": run.id}
            assert client.post("/api/scores", json=score, headers=mine).status_code == 201
            path = f"/execution-logs/executions/{gone[tenant].execution_id}"
            assert client.delete(path, headers=mine).status_code == 200
        yield Both(client, runs, keys)


ASKING = [each for each in surface.ENDPOINTS if each.method == "GET" and each.name not in WITHOUT_TENANT]


@pytest.mark.parametrize("endpoint", ASKING, ids=lambda each: each.name)
def test_no_endpoint_shows_a_tenant_what_is_anothers(both: Both, endpoint: Endpoint) -> None:
    """Blue's key gets nothing of red's: no run, no text, no count; named outright, it is not there."""
    other = both.runs["red"]
    for path, params in asked(endpoint, both.runs["blue"], other):
        answer = both.client.get(path, params=params, headers={"Authorization": f"Bearer {both.keys['blue']}"})
        assert answer.status_code in (200, 204, 404, 422), answer.text
        for word in ("secret-of-red", "gone-of-red", other.id, other.execution_id, "hi from red", "of-red"):
            if word not in str((path, params)):
                assert word not in answer.text, (path, params, word)


@pytest.mark.parametrize("endpoint", ASKING, ids=lambda each: each.name)
def test_a_key_for_every_tenant_sees_both(both: Both, endpoint: Endpoint) -> None:
    """What blue's key does not show is there, and a key for all tenants gets it."""
    for path, params in asked(endpoint, both.runs["red"], both.runs["red"])[:1]:
        answer = both.client.get(path, params=params, headers={"Authorization": f"Bearer {both.keys['*']}"})
        # Both have a session of this name: which one is meant cannot be told.
        assert answer.status_code == (409 if endpoint.name == "get_session" else 200), answer.text


def test_counts_are_those_of_the_tenant(both: Both) -> None:
    """Totals and sums of a tenant are its own; those of both together are the whole."""

    def count(tenant: str) -> tuple[int, ...]:
        headers = {"Authorization": f"Bearer {both.keys[tenant]}"}
        paths = (
            *("/api/runs", "/execution-logs/executions", "/execution-logs/llm-calls", "/api/tool-calls"),
            *("/api/sessions", "/api/scores", "/api/audit"),
        )
        period = {"start_date": "2020-01-01", "end_date": "2100-01-01"}
        summary = both.client.get("/execution-logs/analytics/summary", params=period, headers=headers).json()
        counts = [both.client.get(path, headers=headers).json()["total_count"] for path in paths]
        return (
            *counts,
            summary["execution_analytics"]["total_executions"],
            summary["llm_call_analytics"]["total_calls"],
        )

    one, two, whole = count("blue"), count("red"), count("*")
    assert one == two == (1, 2, 1, 1, 1, 1, 1, 2, 1)
    assert whole == tuple(2 * number for number in one)


def test_a_tenant_cannot_delete_what_is_anothers(both: Both) -> None:
    """To delete another's execution is to delete one that is not there; it stays."""
    path = f"/execution-logs/executions/{both.runs['red'].execution_id}"
    mine, theirs = ({"Authorization": f"Bearer {both.keys[tenant]}"} for tenant in ("blue", "red"))
    assert both.client.delete(path, headers=mine).status_code == 404
    assert both.client.get(path, headers=theirs).status_code == 200


def asked(endpoint: Endpoint, own: Recorded, other: Recorded) -> list[tuple[str, dict[str, Any]]]:
    """Questions to an endpoint: plain ones, and such that name what is another's."""
    params: dict[str, Any] = {"search": {"text": "secret-of"}}.get(endpoint.name, {})
    if endpoint.name in STREAMS:
        return [(endpoint.path, {"run": own.id}), (endpoint.path, {"run": other.id})]
    if endpoint.name == "diff_runs":
        return [(endpoint.path, {"left": own.id, "right": each}) for each in (own.id, other.id, other.execution_id)]
    if "{" not in endpoint.path:
        named = [{"execution_id": other.execution_id}, {"execution_log_id": other.id}, {"tag": "of-red"}]
        known = set(endpoint.asks.__struct_fields__)
        return [(endpoint.path, params), *((endpoint.path, {**params, **each}) for each in named if set(each) <= known)]
    places = ("{run}", "{execution_id}", "{journal}", "{session}")
    values = [
        (own.id, own.execution_id, own.id, "shared"),
        (other.id, other.execution_id, other.id, "shared"),
        (other.execution_id, other.id, own.id, "shared"),
        ("last", "last", other.id, "shared"),
    ]
    return [(filled(endpoint.path, dict(zip(places, value, strict=True))), params) for value in values]


def filled(path: str, values: dict[str, str]) -> str:
    """The path with its parameters."""
    for place, value in values.items():
        path = path.replace(place, value)
    return path
