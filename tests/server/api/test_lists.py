from __future__ import annotations

import httpx2

from tachograph.server.service import Service
from tests.server.conftest import Serve
from tests.server.recorded import recorded


def test_what_runs_have_in_common_is_listed(serve: Serve, service: Service) -> None:
    """A session with its runs, the tool calls of all runs, and who said what."""
    runs = [recorded(service, session="s1", said=text) for text in ("one bicycle", "two tandems")]
    with httpx2.Client(base_url=serve(service)) as client:
        [session] = client.get("/api/sessions").json()["sessions"]
        assert (session["session_id"], session["runs"], session["llm_calls"]) == ("s1", 2, 2)
        detail = client.get("/api/sessions/s1").json()
        assert [run["id"] for run in detail["runs"]] == [run.id for run in reversed(runs)]
        calls = client.get("/api/tool-calls", params={"tool_name": "look"}).json()
        assert (calls["total_count"], {call["run_id"] for call in calls["tool_calls"]}) == (2, {run.id for run in runs})
        hits = client.get("/api/search", params={"text": "TANDEM"}).json()["hits"]
        assert [(hit["run_id"], hit["role"]) for hit in hits] == [(runs[1].id, "assistant")]
        assert client.get("/api/limits").json() == {
            "total_count": 0, "limit": 50, "offset": 0, "next_cursor": None, "previous_cursor": None, "limits": []
        }  # fmt: skip


def test_a_search_for_nothing_is_refused(serve: Serve, service: Service) -> None:
    """Without a text, or with an empty one, a search is a 422 that names it."""
    with httpx2.Client(base_url=serve(service)) as client:
        answers = [client.get("/api/search", params=params) for params in ({}, {"text": ""})]
    assert [(answer.status_code, answer.json()["parameter"]) for answer in answers] == [(422, "text"), (422, "text")]


def test_a_session_that_is_not_there_is_a_404(serve: Serve, service: Service) -> None:
    """An unknown session is not an empty one."""
    assert httpx2.get(f"{serve(service)}/api/sessions/nobody").status_code == 404
