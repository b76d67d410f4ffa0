from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest

from tachograph.events.limit import LimitHit
from tachograph.server.api import surface
from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tachograph.web.interventions import FIELDS
from tachograph.web.lists import PAGING
from tests.queries.kept import batch
from tests.server.conftest import Serve
from tests.server.pages.listed import fill, listed
from tests.strategies import Tape

FILTERS: tuple[dict[str, Any], ...] = (
    {"interventions": "true"}, {"interventions": "false"}, {"interventions": "false", "metric": "deadline"},
    {"mode": "block"}, {"interventions": "false", "mode": "warn"}, {"scope": "run"}, {"agent_type": "clerk"},
    {"execution_id": "first"}, {"session_id": "s1"}, {"start_date": "2025-06-15T15:09:00Z"},
    {"end_date": "2025-06-15T15:09:00Z"}, {"limit": "20"},
)  # fmt: skip


@pytest.fixture
def client(serve: Serve, service: Service) -> Iterator[httpx2.Client]:
    """Asks a server over the store."""
    with httpx2.Client(base_url=serve(service)) as made:
        yield made


def test_every_filter_of_the_api_has_a_field() -> None:
    """What the API can be asked, the form asks, and the tests below try."""
    (endpoint,) = (each for each in surface.ENDPOINTS if each.name == "list_limits")
    asked = {field.name for field in msgspec.structs.fields(endpoint.asks)} - {*PAGING}
    assert {field.name for field in FIELDS} == asked == {name for asked in FILTERS for name in asked}


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_the_page_answers_as_the_api(client: httpx2.Client, store: SqliteStore, asked: dict[str, str]) -> None:
    """The same address gives the same limits; unless all are asked for, those that changed something."""
    fill(store)
    if "execution_id" in asked:
        asked = {"execution_id": client.get("/api/runs").json()["runs"][0]["execution_id"]}
    page = listed(client, "/interventions", asked)
    found = client.get("/api/limits", params={"interventions": "true", **asked}).json()["limits"]
    assert found
    assert page.rows == [f"/runs/{each['run_id']}/events?after={each['seq'] - 1}" for each in found]
    assert page.fields.items() >= asked.items()


def test_a_row_says_what_was_done_and_why(client: httpx2.Client, store: SqliteStore) -> None:
    """Action, metric, what was used of how much, the step, and each event it rests on; text stays text."""
    tape = Tape("loop")
    tape.begin("desk", session="s")
    tool = tape.tool()
    tape.add(
        LimitHit(
            metric="cost_budget", mode="block", used=0.5, requested=0.25, threshold=0.7, reason="<b>too dear</b>",
            refused_kind="tool", refused_name="search", evidence=tuple(range(1, 12)),
        ),
        tool,
    )  # fmt: skip
    store.append(batch(tape.events))
    html = " ".join(listed(client, "/interventions").html.split())
    assert "<b>refused, and told the model</b>" in html
    assert "refused: tool search" in html
    assert '$0.50 <span class="dim" title="More that was wanted">+ $0.25</span>' in html
    assert "&lt;b&gt;too dear&lt;/b&gt;" in html
    assert f'href="/runs/{tape.run}/events?after=3" title="Event 4"' in html
    assert "and 3 more" in html


def test_pages_are_walked_both_ways(client: httpx2.Client, store: SqliteStore) -> None:
    """Older and newer lead from page to page and keep the conditions; the count comes apart."""
    fill(store)
    first = listed(client, "/interventions?interventions=false&limit=4")
    second = listed(client, first.pages["Older"])
    assert (len(first.rows), len(second.rows)) == (4, 3)
    assert listed(client, second.pages["Newer"]).rows == first.rows
    assert client.get(first.attributes["data-later"]).text.strip() == "7 limits"


def test_an_empty_list_says_what_to_do(client: httpx2.Client) -> None:
    """No limit at all, none that changed something, none that meets the conditions, a page behind the last."""
    asked = ("?interventions=false", "", "?mode=stop", "?interventions=false&mode=stop", "?offset=3")
    pages = [listed(client, f"/interventions{each}").html for each in asked]
    said = (
        "No limit was reached", "Also limits that were only noted", "No intervention meets", "No limit that was",
        "To the first page",
    )  # fmt: skip
    assert [words in page for words, page in zip(said, pages, strict=True)] == [True] * 5
