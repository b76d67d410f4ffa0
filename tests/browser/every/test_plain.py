from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser

from tachograph.record.clock import SYSTEM
from tachograph.server.pages import surface
from tachograph.store.sqlite.store import SqliteStore
from tachograph.web import assets, links
from tests.browser.every.walk import Walk, leads_to
from tests.browser.every.watched import must_be_empty, watched
from tests.server.conftest import serving
from tests.server.serving import service_over

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
UNLINKED: dict[str, str] = {
    "/compare/steps": "comes later where runs are long",
    "/key": "is shown to those who have no key",
    "/static/{stamp}/{name}": "is no page",
    "/system/keys": "only leads to the system page",
    "/system/prune": "is offered where runs are kept by rules",
    "/system/prune/plan": "is a part of that page",
}
"""Path → why no page leads there."""

ADDRESSES = (
    "/", "/?period=30d", "/runs", "/runs?status=failed", "/sessions", "/session?id={session}", "/interventions",
    "/search", "/search?q=order", "/compare", "/compare?left={run}&right={other}", "/system", "/system/prune",
    "/runs/{run}", "/runs/{run}/transcript", "/runs/{run}/events", "/runs/{run}/cost", "/runs/{run}/receipt",
    "/runs/{run}/steps/{step}", "/runs/{run}/delete",
)  # fmt: skip


def test_every_page_is_sent_with_a_strict_policy(walk: Walk) -> None:
    """Headers allow our own scripts and styles alone, and no page has any in its text or leads to another host."""
    assert len(walk.found) >= 2
    for found in walk.found.values():
        assert found.headers["Content-Security-Policy"] == POLICY, found.address
        assert found.headers["X-Content-Type-Options"] == "nosniff", found.address
        assert found.headers["Referrer-Policy"] == "same-origin", found.address
        assert found.headers["Cache-Control"] == "private, no-cache", found.address
    must_be_empty(walk.faults())


def test_no_link_leads_nowhere(walk: Walk) -> None:
    """What a page links to or loads is there."""
    must_be_empty([f"{address}: {answer}" for address, answer in walk.broken.items()])


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_answers(demo: str, address: str) -> None:
    """Addresses that people keep: each answers with a page of its own."""
    with httpx2.Client(base_url=demo, headers={"Accept": "text/html"}) as client:
        left, right = client.get("/api/runs?limit=2").json()["runs"]
        session = client.get("/api/sessions?limit=1").json()["sessions"][0]["session_id"]
        step = client.get(f"/api/runs/{left['id']}").json()["steps"][1]["id"]
        path = address.format(run=left["id"], other=right["id"], session=session, step=step)
        answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.text.count("<h1") == 1


def test_every_page_is_linked(walk: Walk) -> None:
    """From the overview, without a script, links lead to every kind of page that there is."""
    unreached = [
        f"{endpoint.path}: nothing leads there"
        for endpoint in surface.ENDPOINTS
        if endpoint.method == "GET" and endpoint.path not in UNLINKED
        if not any(leads_to(path, endpoint.path) for path in walk.led)
    ]
    must_be_empty(unreached)


def test_pages_have_their_content_without_scripts(chromium: Browser, demo: str, walk: Walk) -> None:
    """With scripts off every page has a heading and content, times say UTC, and nothing waits for a script."""
    with watched(chromium, demo, java_script_enabled=False) as tab:
        for page in walk.one_of_each():
            main = tab.visit(page).locator("main")
            if main.locator("h1").count() != 1 or len(main.inner_text()) < 40:
                tab.fault("there is no content")
            times = [text for text in main.locator("time").all_inner_texts() if "UTC" not in text]
            if times and "UTC" not in tab.page.locator("footer .zone").inner_text():
                tab.fault(f"times do not say their zone: {times[0]}")
            later = main.locator("[aria-busy=true], [hx-trigger*=load], [data-later]").locator("visible=true")
            for text in later.filter(has_not=tab.page.locator("a")).all_inner_texts():
                if "…" in text:
                    tab.fault(f"something waits for a script: {text!r}")
    tab.must_be_fine()


def test_pages_do_without_the_libraries(chromium: Browser, bare: str) -> None:
    """Where charts and partial updates were not fetched every page works, and the system page says what is missing."""
    with Walk(bare) as walk:
        walk.pages(limit=40)
    pages = walk.one_of_each()
    with watched(chromium, bare) as tab:
        for page in pages:
            tab.visit(page)
            tab.examine()
    tab.must_be_fine()
    system = next(found.sent.text for address, found in walk.found.items() if address.endswith(links.SYSTEM))
    assert [library.name for library in assets.libraries() if not library.tests and library.name not in system] == []


@pytest.fixture
def bare(demo_records: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server over the demo's records, without the libraries that `make assets` fetches."""
    known = (assets.assets, assets.stamp)
    monkeypatch.setattr(assets, "_kept", lambda file: None)
    for each in known:
        each.cache_clear()
    store = SqliteStore(demo_records)
    with serving(service_over(store, home=demo_records.parent, clock=SYSTEM)) as url:
        yield url
    store.close()
    monkeypatch.undo()
    for each in known:
        each.cache_clear()
