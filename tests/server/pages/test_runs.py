from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest

from tachograph.server.api import surface
from tachograph.server.callers.keys import mint
from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tachograph.testing import CountIds
from tachograph.web.lists import PAGING
from tachograph.web.runs import FIELDS
from tests.queries.kept import batch
from tests.server.conftest import Serve
from tests.server.pages.listed import Listed, asked_of, fill, listed
from tests.strategies import BEGAN, Tape

FILTERS: tuple[dict[str, Any], ...] = (
    {"status": "failed"}, {"stop_reason": "deadline"}, {"agent_type": "clerk"}, {"session_id": "s1"}, {"user": "ben"},
    {"environment": "live"}, {"tag": "night"}, {"project": "tea"}, {"source": "other"}, {"name": "K 3"},
    {"parent_run_id": "first"}, {"top": "true"}, {"start_date": "2025-06-15T15:09:00Z"}, {"end_date": "2025-06-15"},
    {"order": "longest"}, {"limit": "20"}, {"status": "failed", "agent_type": "clerk"},
)  # fmt: skip


@pytest.fixture
def runs(store: SqliteStore) -> list[str]:
    """Seven runs, the newest first."""
    return fill(store)


@pytest.fixture
def client(serve: Serve, service: Service) -> Iterator[httpx2.Client]:
    """Asks a server over that store."""
    with httpx2.Client(base_url=serve(service)) as made:
        yield made


def _of(page: Listed) -> list[str]:
    return [href.removeprefix("/runs/") for href in page.rows]


def test_every_filter_of_the_api_has_a_field() -> None:
    """What the API can be asked, the form asks; a page and its rows are the list's own."""
    (endpoint,) = (each for each in surface.ENDPOINTS if each.name == "list_runs")
    asked = {field.name for field in msgspec.structs.fields(endpoint.asks)}
    assert {field.name for field in FIELDS} == asked - {*PAGING}


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_the_page_answers_as_the_api(client: httpx2.Client, runs: list[str], asked: dict[str, str]) -> None:
    """The same address gives the same rows, and the form says what was asked."""
    asked = {**asked, "parent_run_id": runs[-1]} if "parent_run_id" in asked else asked
    page = listed(client, "/runs", asked)
    assert _of(page) == [run["id"] for run in client.get("/api/runs", params=asked).json()["runs"]]
    assert page.fields.items() >= asked.items()


def test_every_filter_is_tried() -> None:
    """No field of the form is left out above."""
    assert {name for asked in FILTERS for name in asked} == {field.name for field in FIELDS}


def test_a_chip_takes_its_condition_away(client: httpx2.Client, runs: list[str]) -> None:
    """Each condition is a link to the same list without it; the order and the page's size are none."""
    asked = {"status": "failed", "agent_type": "driver", "order": "oldest", "cursor": ""}
    page = listed(client, "/runs", asked)
    assert {said: asked_of(href) for said, href in page.chips.items() if "×" in said} == {
        "Status failed ×": {"agent_type": "driver", "order": "oldest"},
        "Agent driver ×": {"status": "failed", "order": "oldest"},
    }
    assert 'href="/runs?order=oldest">Clear all' in page.html


def test_pages_are_walked_both_ways(client: httpx2.Client, runs: list[str]) -> None:
    """Older and newer lead from page to page and keep the conditions; the first page has no way back."""
    first = listed(client, "/runs", {"limit": 3, "top": "true"})
    second = listed(client, first.pages["Older"])
    third = listed(client, second.pages["Older"]) if "Older" in second.pages else second
    back = listed(client, second.pages["Newer"])
    assert (_of(first) + _of(second), second, _of(back)) == ([run for run in runs if run != runs[3]], third, _of(first))
    assert (list(first.pages), asked_of(second.pages["Newest"])) == (
        ["count them", "Older"],
        {"limit": "3", "top": "true"},
    )


def test_the_count_comes_apart(client: httpx2.Client, runs: list[str]) -> None:
    """The number is known where all rows are on the page, and has an address of its own where they are not."""
    assert "7 runs" in listed(client, "/runs").html
    page = listed(client, "/runs", {"limit": 2})
    assert client.get(page.attributes["data-later"]).text.strip() == "7 runs"
    assert ">7 runs<" in listed(client, page.pages["count them"]).html


def test_new_runs_are_told_apart(client: httpx2.Client, store: SqliteStore, runs: list[str]) -> None:
    """What came since the page was made is the list before its first row; a page further back takes no news."""
    page = listed(client, "/runs", {"agent_type": "clerk", "limit": 2})
    news = f"{page.attributes['data-news']}&longest=1&cursor={page.attributes['data-top']}"
    assert _of(listed(client, news)) == []
    tapes = [Tape(agent, at=BEGAN + 10**12) for agent in ("clerk", "driver")]
    for tape, agent in zip(tapes, ("clerk", "driver"), strict=True):
        tape.begin(agent_type=agent)
        store.append(batch(tape.events))
    assert _of(listed(client, news)) == [tapes[0].run]
    assert page.attributes["data-takes-news"] == "true"
    assert listed(client, page.pages["Older"]).attributes["data-takes-news"] == "false"


def test_rows_are_made_again(client: httpx2.Client, runs: list[str]) -> None:
    """Rows of named runs come alone, drawn against the same length; one that is gone is left out."""
    asked = {"part": "rows", "longest": 10**6, "ids": f"{runs[0]},gone,{runs[2]}"}
    page = listed(client, "/runs", asked)
    assert (_of(page), "<html" in page.html) == ([runs[0], runs[2]], False)
    assert page.html.count("data-open") == 1
    assert 'width="0.40"' in page.html
    assert _of(listed(client, "/runs", {"part": "rows"})) == []


def test_what_an_agent_wrote_stays_text(client: httpx2.Client, store: SqliteStore) -> None:
    """Names of runs, agents and sessions are escaped, and what cannot be seen is shown."""
    evil = '<img src=x onerror="alert(1)">\u202e'
    tape = Tape("evil")
    tape.begin(evil, agent_type=evil, session=evil)
    store.append(batch(tape.events))
    page = client.get("/runs").text
    assert ("<img" in page, "\u202e" in page, page.count("&lt;img") > 2) == (False, False, True)
    assert "<img" not in client.get("/runs", params={"name": evil}).text


def test_a_key_sees_its_tenant(serve: Serve, keyed: Service, store: SqliteStore) -> None:
    """Who has a key for one tenant sees that tenant's runs, also where rows are asked for by name."""
    minted = mint(store, "reader", "read", "blue", now_ns=1, entropy=CountIds())
    tapes = {tenant: Tape(tenant) for tenant in ("blue", "red")}
    for tenant, tape in tapes.items():
        tape.begin(tenant=tenant)
        store.append(batch(tape.events))
    named = ",".join(tape.run for tape in tapes.values())
    with httpx2.Client(base_url=serve(keyed), headers={"Authorization": f"Bearer {minted.text}"}) as client:
        pages = [listed(client, "/runs"), listed(client, "/runs", {"part": "rows", "ids": named})]
    assert [_of(page) for page in pages] == [[tapes["blue"].run]] * 2


def test_an_empty_list_says_what_to_do(client: httpx2.Client, store: SqliteStore) -> None:
    """Nothing recorded, nothing that meets the conditions, and a page behind the last are told apart."""
    assert "tachograph import" in listed(client, "/runs").html
    assert "Without conditions" in listed(client, "/runs", {"status": "failed"}).html
    assert "To the first page" in listed(client, "/runs", {"offset": 5}).html


@pytest.mark.parametrize("asked", [{"status": "odd"}, {"cursor": "odd"}, {"start_date": "soon"}, {"nothing": "1"}])
def test_a_bad_address_is_a_page(client: httpx2.Client, asked: dict[str, str]) -> None:
    """What cannot be asked is refused by name, in words for people."""
    answer = client.get("/runs", params=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert next(iter(asked)) in answer.text
