from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tachograph.server.service import Service
from tests.server.conftest import Serve
from tests.server.recorded import recorded

LISTS = ("/execution-logs/executions", "/execution-logs/llm-calls")


def test_the_five_paths_answer_in_the_documents_shapes(serve: Serve, service: Service) -> None:
    """Lists have rows, count, limit and offset; one execution has steps with their calls; the summary has its parts."""
    run = recorded(service)
    with httpx2.Client(base_url=serve(service)) as client:
        listed = client.get(LISTS[0], params={"include_llm_calls": "true"}).json()
        assert (listed["total_count"], listed["limit"], listed["offset"]) == (2, 50, 0)
        assert [(log["execution_step"], len(log["llm_calls"])) for log in listed["execution_logs"]] == [
            ("tool", 0), ("answer", 1)
        ]  # fmt: skip
        calls = client.get(LISTS[1]).json()
        [call] = calls["llm_call_logs"]
        assert (call["id"], call["execution_log_id"], call["total_tokens"]) == (run.call_id, run.id, 1500)
        whole = client.get(f"{LISTS[0]}/{run.execution_id}").json()
        assert (whole["execution_id"], [step["execution_step"] for step in whole["steps"]]) == (
            run.execution_id, ["answer", "tool"]
        )  # fmt: skip
        assert whole["steps"][0]["llm_calls"][0]["response"] == "hello"
        summary = client.get("/execution-logs/analytics/summary").json()
        assert {"date_range", "execution_analytics", "llm_call_analytics", "as_of"} <= set(summary)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("params", "blamed"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": -1}, "limit"),
        ({"offset": -1}, "offset"),
        ({"start_date": "yesterday"}, "start_date"),
        ({"end_date": "2024-13-01"}, "end_date"),
        ({"status": "fine"}, "status"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(
    serve: Serve, service: Service, path: str, params: dict[str, Any], blamed: str
) -> None:
    """Out of bounds, no date, no status, unknown: a 422 problem that names the parameter."""
    answer = httpx2.get(f"{serve(service)}{path}", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["parameter"] == blamed


@pytest.mark.parametrize("path", LISTS)
def test_pages_follow_each_other(serve: Serve, service: Service, path: str) -> None:
    """By cursor or by offset, the pages together are the list, each row once, and each knows the true total."""
    for _ in range(3):
        recorded(service)
    rows = "execution_logs" if path == LISTS[0] else "llm_call_logs"
    with httpx2.Client(base_url=serve(service)) as client:
        everything = [row["id"] for row in client.get(path).json()[rows]]
        by_offset = [client.get(path, params={"limit": 1, "offset": place}).json() for place in range(len(everything))]
        assert [page[rows][0]["id"] for page in by_offset] == everything
        assert {page["total_count"] for page in by_offset} == {len(everything)}
        page, found = client.get(path, params={"limit": 2}).json(), []
        while True:
            found += [row["id"] for row in page[rows]]
            if page["next_cursor"] is None:
                break
            page = client.get(path, params={"limit": 2, "cursor": page["next_cursor"]}).json()
        assert found == everything


def test_bounds_are_inclusive_in_any_zone(serve: Serve, service: Service) -> None:
    """A list bounded by a row's own time, said in another zone, holds that row."""
    recorded(service)
    with httpx2.Client(base_url=serve(service)) as client:
        [call] = client.get(LISTS[1]).json()["llm_call_logs"]
        at = call["start_time"].removesuffix("Z")
        for bounds in (
            {"start_date": f"{at}Z"},
            {"end_date": f"{at}Z"},
            {"start_date": f"{at}+00:00", "end_date": f"{at}Z"},
        ):
            assert client.get(LISTS[1], params=bounds).json()["total_count"] == 1
        assert client.get(LISTS[1], params={"start_date": f"{at}-01:00"}).json()["total_count"] == 0
