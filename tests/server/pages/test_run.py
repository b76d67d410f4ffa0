from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import httpx2
import pytest

from tachograph.server.callers.keys import mint
from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tachograph.testing import CountIds
from tests.queries.errand import AGAIN, RUN, kept, step_id
from tests.queries.kept import batch
from tests.queries.test_heading import looping
from tests.server.conftest import Serve
from tests.strategies import Tape


@pytest.fixture
def client(serve: Serve, service: Service, store: SqliteStore) -> Iterator[httpx2.Client]:
    """Asks a server over a store with an errand."""
    store.append(kept())
    with httpx2.Client(base_url=serve(service)) as made:
        yield made


def _keys(html: str) -> list[str]:
    return re.findall(r'id="r([0-9.]+)"', html)


def test_the_page_has_head_and_rows(client: httpx2.Client) -> None:
    """A run's page says how it went, and has its steps as rows, those of its delegate among them."""
    page = client.get(f"/runs/{RUN}")
    assert page.status_code == 200
    assert _keys(page.text) == ["0.0", "0.1", "0.3", "0.5", "0.8", "0.9", "0.12", "1.0", "1.1"]
    assert 'aria-current="page">Timeline' in page.text
    assert "style=" not in page.text
    assert client.get(f"/runs/{RUN[:20]}").text == page.text


def test_parts_of_the_page_come_alone(client: httpx2.Client) -> None:
    """Rows and head are also given without the page around them."""
    rows = client.get(f"/runs/{RUN}/rows", params={"offset": 2, "limit": 3}).text
    assert _keys(rows) == ["0.3", "0.5", "0.8"]
    assert "<html" not in rows
    head = client.get(f"/runs/{RUN}/head").text
    assert head.lstrip().startswith('<header id="run-head"')


def test_the_address_says_what_is_looked_at(client: httpx2.Client) -> None:
    """What is folded, the time, the stretch and the step that is looked for stand in the query."""
    assert _keys(client.get(f"/runs/{RUN}?fold=all").text) == ["0.0", "0.1", "0.12"]
    assert _keys(client.get(f"/runs/{RUN}?since=2500&until=3500").text) == ["0.0", "0.1", "0.3"]
    found = client.get(f"/runs/{RUN}", params={"step": step_id(AGAIN), "limit": 2}).text
    assert _keys(found) == ["0.3", "0.5"]
    assert 'class="line llm at" id="r0.5"' in found
    assert "Previous 2" in found
    assert "Next 2" in found


@pytest.mark.parametrize("query", ["fold=some", "but=<script>", "since=-1", "limit=1000", "offset=x", "other=1"])
def test_an_address_that_means_nothing_is_refused(client: httpx2.Client, query: str) -> None:
    """A parameter that is unknown or out of bounds gets a page that says so."""
    page = client.get(f"/runs/{RUN}?{query}")
    assert page.status_code == 422
    assert page.headers["content-type"].startswith("text/html")
    assert "<script>" not in page.text.partition("<main")[2]


def test_a_run_that_is_not_there_is_not_found(client: httpx2.Client) -> None:
    """An unknown run gets a page that says so."""
    for path in ("/runs/0197beef", "/runs/0197beef/rows", "/runs/0197beef/head"):
        assert client.get(path).status_code == 404


def test_why_a_run_was_stopped_is_a_sentence_with_links(client: httpx2.Client, store: SqliteStore) -> None:
    """The reason names the calls it rests on, each a link."""
    tape = looping()
    store.append(batch(tape.events))
    text = client.get(f"/runs/{tape.run}").text
    (said,) = re.findall(r'<p class="notice bad">(.*?)</p>', text, re.DOTALL)
    words = unescape(re.sub(r"<[^>]+>", "", said))
    assert words == "Stopped: track was asked for 3 times (calls 1, 3, 6); allowed are 2."
    assert said.count("/steps/") == 4


def test_what_agents_write_is_text(client: httpx2.Client, store: SqliteStore) -> None:
    """Names, arguments and errors that look like markup are shown, not followed."""
    evil = "<img src=x onerror=alert(1)>\"'\u202e"
    tape = Tape("evil")
    tape.begin(evil, agent_type=evil)
    tape.result(tape.tool(evil, f'{{"a": "{evil[:20]}"}}'), state="failed", reason=evil)
    tape.finish("failed", stop_reason="tool_error")
    store.append(batch(tape.events))
    text = client.get(f"/runs/{tape.run}").text
    assert "<img" not in text
    assert "\u202e" not in text
    assert text.count("&lt;img src=x") >= 4


def test_a_run_that_goes_on_says_where_it_is_followed(client: httpx2.Client, store: SqliteStore) -> None:
    """An open run's page knows the seq it was made at; a finished one follows only what is asked for."""
    tape = Tape("open")
    tape.begin()
    tape.step()
    store.append(batch(tape.events))
    assert f'data-live="/api/live?run={tape.run}&amp;after=1"' in client.get(f"/runs/{tape.run}").text
    assert "data-live=" not in client.get(f"/runs/{RUN}").text
    assert f'data-live="/api/live?run={RUN}&amp;after=4"' in client.get(f"/runs/{RUN}?after=4").text


def test_another_tenants_run_is_not_there(keyed: Service, serve: Serve, store: SqliteStore) -> None:
    """A key of one tenant finds no run of another's, and no part of it."""
    store.append(kept())
    key = mint(store, "theirs", "read", "other", now_ns=1, entropy=CountIds()).text
    with httpx2.Client(base_url=serve(keyed), headers={"Authorization": f"Bearer {key}"}) as theirs:
        for path in ("", "/rows", "/head", "/steps/0", "/steps/9/input"):
            assert theirs.get(f"/runs/{RUN}{path}").status_code == 404
