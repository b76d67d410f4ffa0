from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tachograph.server.pages.views import receipt
from tachograph.store.sqlite.store import SqliteStore
from tests.queries.kept import batch
from tests.queries.views.talk import Talk
from tests.server.conftest import serving
from tests.server.serving import service_over

VIEWS = ("transcript", "events", "cost", "receipt")


@pytest.fixture
def talk() -> Talk:
    """A run in which all stands that a conversation can have."""
    return Talk()


@pytest.fixture
def url(tmp_path: Path, talk: Talk) -> Iterator[str]:
    """Where that run is."""
    store = SqliteStore(tmp_path / "talk.db")
    store.append(batch(talk.events))
    with serving(service_over(store, home=tmp_path)) as base:
        yield f"{base}/runs/{talk.run}"
    store.close()


def test_a_long_result_is_loaded_on_demand(url: str, page: Page, talk: Talk) -> None:
    """Its beginning stands beside its call; the rest comes in its place, and nothing else moves away."""
    page.goto(f"{url}/transcript")
    call = page.locator(f"#m{talk.at_seq['found']}")
    expect(call.locator(".result")).to_contain_text("line 3 of what was found")
    expect(call.locator(".result")).not_to_contain_text("line 399")
    call.get_by_role("link", name="Show all").click()
    expect(call.locator(".result")).to_contain_text("line 399 of what was found")
    expect(call.locator(".asked")).to_contain_text("search")
    expect(page.locator(f"#m{talk.at_seq['ask']}")).to_contain_text("Let me look.")
    assert page.url == f"{url}/transcript"


def test_hostile_text_is_text(url: str, page: Page) -> None:
    """Nothing that was recorded runs, on any view."""
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    for view in (*VIEWS, "transcript"):
        page.goto(f"{url}/{view}", wait_until="networkidle")
    expect(page.locator(".message.user").first).to_contain_text("<script>alert(1)</script>")


def test_what_one_call_saw_unfolds(url: str, page: Page, talk: Talk) -> None:
    """From the list of calls to one of them; what was repeated is folded, and opens by keyboard."""
    page.goto(f"{url}/transcript")
    page.get_by_role("navigation", name="Model calls").get_by_role("link").nth(1).click()
    expect(page.get_by_text("New in this request")).to_be_visible()
    old = page.get_by_text("You are the desk.").last
    expect(old).to_be_hidden()
    page.locator(".prefix > summary").press("Enter")
    page.locator(".prefix .message.system summary").press("Enter")
    expect(old).to_be_visible()
    page.get_by_role("link", name="Next call").click()
    expect(page).to_have_url(f"{url}/transcript?call={talk.at_seq['third']}")


def test_an_event_opens_where_it_stands(url: str, page: Page, talk: Talk) -> None:
    """Its JSON is fetched once, when its row is opened; a kind leaves the others out."""
    page.goto(f"{url}/events")
    row = page.locator(f"#e{talk.at_seq['found']}")
    row.locator("summary").click()
    expect(row.locator("pre")).to_contain_text("line 399 of what was found")
    page.get_by_role("link", name="limits").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_long_receipt_comes_by_itself(url: str, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is there before the log was read."""
    monkeypatch.setattr(receipt, "AT_ONCE", 3)
    page.goto(f"{url}/receipt")
    expect(page.locator(".receipt .status")).to_have_text("complete")
    expect(page.get_by_text("none missing")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views_fit_a_narrow_window(chromium: Browser, url: str, scheme: str) -> None:
    """At 400 pixels no page is wider than its window, in either scheme."""
    context = chromium.new_context(
        viewport={"width": 400, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    for view in (*VIEWS, "transcript?call=7", "transcript/2", "events/2"):
        page.goto(f"{url}/{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, view
    context.close()


def test_all_is_there_without_scripts(chromium: Browser, url: str, talk: Talk) -> None:
    """What scripts fetch is a link to a page that has it."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/transcript")
    page.locator(f"#m{talk.at_seq['found']}").get_by_role("link", name="Show all").click()
    expect(page.get_by_text("line 399 of what was found").first).to_be_visible()
    page.goto(f"{url}/events")
    row = page.locator(f"#e{talk.at_seq['user']}")
    row.locator("summary").click()
    row.get_by_role("link", name="The whole event").click()
    expect(page.locator("pre")).to_contain_text("message_appended")
    page.goto(f"{url}/receipt")
    expect(page.get_by_text("none missing")).to_be_visible()
    context.close()
