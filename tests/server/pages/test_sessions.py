from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest

from tachograph.server.api import surface
from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tachograph.web.lists import PAGING
from tachograph.web.sessions import FIELDS
from tests.server.conftest import Serve
from tests.server.pages.listed import asked_of, fill, listed

FILTERS: tuple[dict[str, Any], ...] = (
    {"status": "active"}, {"user": "ann"}, {"session_id": "S1"}, {"start_date": "2025-06-15T15:10:00Z"},
    {"end_date": "2025-06-15T15:10:00Z"}, {"limit": "20"},
)  # fmt: skip


def test_every_filter_of_the_api_has_a_field() -> None:
    """What the API can be asked, the form asks, and the tests below try."""
    (endpoint,) = (each for each in surface.ENDPOINTS if each.name == "list_sessions")
    asked = {field.name for field in msgspec.structs.fields(endpoint.asks)} - {*PAGING}
    assert {field.name for field in FIELDS} == asked == {name for asked in FILTERS for name in asked}


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_the_page_answers_as_the_api(serve: Serve, service: Service, store: SqliteStore, asked: dict[str, str]) -> None:
    """The same address gives the same sessions, each a link to its conversation."""
    fill(store)
    with httpx2.Client(base_url=serve(service)) as client:
        page = listed(client, "/sessions", asked)
        found = client.get("/api/sessions", params=asked).json()["sessions"]
    assert [asked_of(row) for row in page.rows] == [{"id": each["session_id"], "tenant": "default"} for each in found]
    assert page.fields.items() >= asked.items()


def test_pages_are_walked_both_ways(serve: Serve, service: Service, store: SqliteStore) -> None:
    """Older and newer lead from page to page; the count comes apart."""
    fill(store)
    with httpx2.Client(base_url=serve(service)) as client:
        first = listed(client, "/sessions?limit=3")
        second = listed(client, first.pages["Older"])
        assert [asked_of(row)["id"] for row in first.rows + second.rows] == ["s3", "s2", "s1", "s0"]
        assert listed(client, second.pages["Newer"]).rows == first.rows
        assert client.get(first.attributes["data-later"]).text.strip() == "4 sessions"


def test_an_empty_list_says_what_to_do(serve: Serve, service: Service) -> None:
    """No sessions at all, none that meets the conditions, and a page behind the last are told apart."""
    with httpx2.Client(base_url=serve(service)) as client:
        pages = [listed(client, f"/sessions{asked}").html for asked in ("", "?user=nobody", "?offset=3")]
    assert ["No sessions yet" in pages[0], "Without conditions" in pages[1], "To the first page" in pages[2]] == [
        True, True, True,
    ]  # fmt: skip
