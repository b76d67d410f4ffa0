from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tests.queries.kept import batch
from tests.server.conftest import Serve
from tests.server.pages.listed import listed
from tests.strategies import Tape


@pytest.fixture
def client(serve: Serve, service: Service) -> Iterator[httpx2.Client]:
    """Asks a server over the store."""
    with httpx2.Client(base_url=serve(service)) as made:
        yield made


@pytest.fixture
def run(store: SqliteStore) -> str:
    """A run in which twenty-one messages say much the same."""
    tape = Tape("said")
    tape.begin("<i>desk</i>", session="a&b")
    for number in range(21):
        tape.say("user", {"content": f"<script>alert({number})</script> Tea & cake"})
    store.append(batch(tape.events))
    return tape.run


def test_the_form_comes_first(client: httpx2.Client, run: str) -> None:
    """The page waits for nothing: what is found has an address of its own, also for browsers without scripts."""
    page = listed(client, "/search", {"q": "tea"})
    assert page.fields == {"q": "tea"}
    assert page.rows == []
    assert page.attributes["data-later"] == "/search?q=tea&part=hits"
    assert '<noscript><meta http-equiv="refresh" content="0; url=/search?q=tea&amp;part=whole"></noscript>' in page.html
    assert "http-equiv" not in listed(client, "/search", {"q": "tea", "part": "whole"}).html


@pytest.mark.parametrize("part", ["hits", "whole"])
def test_what_matched_is_marked(client: httpx2.Client, run: str, part: str) -> None:
    """Each message leads to its place in the transcript; its text and the run's name stay text."""
    page = listed(client, "/search", {"q": "TEA &", "part": part})
    assert page.rows == [f"/runs/{run}/transcript?seq={seq}" for seq in range(1, 21)]
    assert "&lt;script&gt;alert(0)&lt;/script&gt; <mark>Tea &amp;</mark> cake" in page.html
    assert "&lt;i&gt;desk&lt;/i&gt;" in page.html
    assert 'href="/session?id=a%26b"' in page.html
    assert ("<html" in page.html) is (part == "whole")


def test_one_can_look_further(client: httpx2.Client, run: str) -> None:
    """A search that is cut off says so and leads to more of it."""
    first = listed(client, "/search", {"q": "tea", "part": "hits"})
    assert 'maybe more: <a href="/search?q=tea&amp;limit=100">' in first.html
    assert len(listed(client, "/search?q=tea&limit=100&part=hits").rows) == 21


def test_nothing_found(client: httpx2.Client, run: str) -> None:
    """Nothing found says what is searched; nothing asked does, too, and finds nothing."""
    assert "No message contains this text" in listed(client, "/search", {"q": "coffee", "part": "hits"}).html
    empty = listed(client, "/search")
    assert ("data-later" in empty.attributes, "Text of messages" in empty.html) == (False, True)
