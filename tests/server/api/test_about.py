from __future__ import annotations

import httpx2

from tachograph.server.service import Service
from tachograph.version import VERSION
from tests.server.conftest import Serve


def test_health_is_told_to_everybody(serve: Serve, keyed: Service) -> None:
    """While the store answers and the housekeeping goes round, health is 200, with or without a key."""
    answer = httpx2.get(f"{serve(keyed)}/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": VERSION})


def test_a_failing_server_says_so(serve: Serve, service: Service, keyed: Service) -> None:
    """When rounds fail health is 503 with the reason; where keys are needed the reason is for the log alone."""
    for asked in (service, keyed):
        asked.rounds.failing = "disk full at /var/x"
    answers = [httpx2.get(f"{serve(asked)}/healthz") for asked in (service, keyed)]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert [answer.json()["detail"] for answer in answers] == ["disk full at /var/x", "the server's log says why"]


def test_the_token_is_for_this_machine(serve: Serve, service: Service, keyed: Service) -> None:
    """On loopback the token is given out, and not to be kept by caches; where keys are needed there is none."""
    answer = httpx2.get(f"{serve(service)}/api/token")
    assert (answer.json(), answer.headers["cache-control"]) == ({"token": service.token}, "no-store")
    assert httpx2.get(f"{serve(keyed)}/api/token").status_code == 404


def test_metrics_are_text_for_prometheus(serve: Serve, service: Service) -> None:
    """The media type names the format's version, as Prometheus wants it."""
    answer = httpx2.get(f"{serve(service)}/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE tachograph_store_runs gauge\n" in answer.text
