from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tests.queries.errand import AGAIN, ASK, BUSY, LARGE, LOOK, RUN, kept, step_id
from tests.queries.kept import batch
from tests.server.conftest import Serve
from tests.strategies import Tape


@pytest.fixture
def client(serve: Serve, service: Service, store: SqliteStore) -> Iterator[httpx2.Client]:
    """Asks a server over a store with an errand."""
    store.append(kept())
    with httpx2.Client(base_url=serve(service)) as made:
        yield made


def test_the_details_are_a_page_and_a_part_of_one(client: httpx2.Client) -> None:
    """A step is found by id and by number; alone, it comes without the page around it."""
    page = client.get(f"/runs/{RUN}/steps/{step_id(BUSY)}").text
    assert page == client.get(f"/runs/{RUN}/steps/{BUSY}").text
    assert "Overloaded" in page
    assert "Traceback: line 7" in page
    assert "x-ratelimit-remaining-requests" in page
    alone = client.get(f"/runs/{RUN}/steps/{BUSY}?alone=true").text
    assert alone.lstrip().startswith('<article class="details"')
    assert alone.strip() in page


@pytest.mark.parametrize("seq", [0, 1, BUSY, AGAIN, LOOK, ASK])
def test_every_kind_of_step_has_details(client: httpx2.Client, seq: int) -> None:
    """Runs, iterations, model calls and tool calls are shown, and nothing on them is inline."""
    page = client.get(f"/runs/{RUN}/steps/{seq}")
    assert page.status_code == 200
    assert "style=" not in page.text


def test_a_text_is_a_file_byte_for_byte(client: httpx2.Client) -> None:
    """The file of a text is exactly what was recorded, and is never shown as a page."""
    answer = client.get(f"/runs/{RUN}/steps/{ASK}/output")
    assert answer.text == LARGE
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == f'attachment; filename="{ASK}-output.json"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"/runs/{RUN}/steps/{LOOK}/input").text == '{"for": "bike"}'


def test_a_large_text_is_shown_when_it_is_asked_for(client: httpx2.Client) -> None:
    """The page of a step with a large text stays small until the text is wanted."""
    small = client.get(f"/runs/{RUN}/steps/{ASK}").text
    large = client.get(f"/runs/{RUN}/steps/{ASK}?whole=output").text
    assert "show all of it" in small
    assert len(small) < 40_000 < len(large)


@pytest.mark.parametrize("path", ["77", "nonsense", "9/other", "77/input", "..%2f9", "%00"])
def test_what_is_not_there_is_not_found(client: httpx2.Client, path: str) -> None:
    """An unknown step or text gets a page that says so."""
    answer = client.get(f"/runs/{RUN}/steps/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_what_agents_write_is_text(client: httpx2.Client, store: SqliteStore) -> None:
    """Markup in names, keys, values and errors is shown as it is written."""
    evil = "<script>alert(1)</script>"
    tape = Tape("evil")
    tape.begin()
    tool = tape.tool(evil, f'{{"{evil}": ["{evil}"]}}', call_id=evil)
    tape.result(tool, evil, "rejected", reason=evil)
    store.append(batch(tape.events))
    text = client.get(f"/runs/{tape.run}/steps/{tool}").text
    assert evil not in text
    assert text.count("&lt;script&gt;") >= 5
