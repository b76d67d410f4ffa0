from __future__ import annotations

import gzip
import logging

import httpx2
import pytest

from tachograph.server.service import Service
from tests.server.conftest import Serve
from tests.server.recorded import recorded


def test_what_is_not_there_is_a_problem_too(serve: Serve, service: Service) -> None:
    """An unknown path is a 404, a method that a path does not take a 405 that says which it takes."""
    with httpx2.Client(base_url=serve(service)) as client:
        missing, refused = client.get("/nowhere"), client.put("/execution-logs/executions/x")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert (refused.status_code, refused.headers["content-type"]) == (405, "application/problem+json")
    assert {word.strip() for word in refused.headers["allow"].split(",")} == {"GET", "HEAD", "DELETE"}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_browser_is_told_on_a_page(serve: Serve, service: Service, method: str) -> None:
    """Whoever takes HTML gets the problem as a page, with the headers of one."""
    asks = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = httpx2.request(method, f"{serve(service)}/runs/x/no-such-view", headers=asks)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "To the overview" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_answers_are_compressed_for_those_who_accept_it(serve: Serve, service: Service) -> None:
    """With Accept-Encoding an answer comes smaller, and is the same."""
    for _ in range(5):
        recorded(service)
    with httpx2.Client(base_url=serve(service)) as client:
        plain = client.get("/execution-logs/executions", headers={"Accept-Encoding": "identity"})
        with client.stream("GET", "/execution-logs/executions", headers={"Accept-Encoding": "gzip"}) as answer:
            packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 3


def test_a_fault_of_ours_is_logged_whole_and_told_without_its_insides(
    serve: Serve, service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception nobody expected is a 500 problem without a traceback; the log has it."""

    def broken(query: object) -> None:
        raise RuntimeError("secret detail")

    address = serve(service)
    monkeypatch.setattr(service.store, "find", broken)
    with caplog.at_level(logging.ERROR, logger="tachograph.server"):
        answer = httpx2.get(f"{address}/api/runs")
    assert (answer.status_code, "secret detail" in answer.text) == (500, False)
    assert answer.json()["type"] == "urn:tachograph:problem:fault"
    assert "secret detail" in caplog.text


def test_a_body_that_is_too_large_is_refused(serve: Serve, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than a request may have: a 413 problem, whatever it claims."""
    monkeypatch.setattr("tachograph.server.endpoint.BODY_BYTES", 1_000)
    headers = {"X-Tachograph-Token": service.token, "Content-Type": "application/json"}
    answer = httpx2.post(f"{serve(service)}/api/scores", content=b'"' + b"x" * 2_000 + b'"', headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


def test_a_head_request_is_a_get_without_a_body(serve: Serve, service: Service) -> None:
    """HEAD answers like GET, headers only."""
    answer = httpx2.head(f"{serve(service)}/api/runs")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/json")
