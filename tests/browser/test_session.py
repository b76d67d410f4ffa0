from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tests.server.api.test_sessions import led
from tests.server.conftest import serving
from tests.server.serving import service_over


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with a session that a program left behind."""
    store = SqliteStore(tmp_path / "session.db")
    made = service_over(store, home=tmp_path)
    led(made)
    yield made
    store.close()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """Where that session is."""
    with serving(service) as base:
        yield f"{base}/session?id=s"


def _status(service: Service) -> str:
    head = service.heads.get(("default", "s"))
    assert head is not None
    return head.status


def test_a_session_is_closed_by_hand(url: str, page: Page, service: Service) -> None:
    """It asks once more, and leaving it changes nothing; then it is closed, and can be reopened."""
    page.goto(url)
    page.get_by_role("link", name="Close…").click()
    page.get_by_role("link", name="Leave it as it is").click()
    assert _status(service) == "active"
    page.get_by_role("link", name="Close…").click()
    page.get_by_role("button", name="Close it").press("Enter")
    expect(page.locator("h1 + .status")).to_have_text("closed")
    assert _status(service) == "closed"
    page.get_by_role("link", name="Reopen…").click()
    page.get_by_role("button", name="Reopen it").click()
    expect(page.locator("h1 + .status")).to_have_text("active")


def test_a_reset_says_what_goes(url: str, page: Page, service: Service) -> None:
    """Only what is checked goes; the state is gone when it was, the runs are still there."""
    page.goto(url)
    expect(page.locator(".state")).to_have_text('{"of":"default"}')
    page.get_by_role("link", name="Reset…").click()
    expect(page.get_by_role("checkbox", name="What its limits have counted")).to_be_checked()
    page.get_by_label("The application's state").check()
    page.get_by_role("button", name="Reset it").click()
    expect(page.get_by_text("Empty.")).to_be_visible()
    expect(page.locator(".exchange")).to_have_count(1)
    head = service.heads.get(("default", "s"))
    assert head is not None
    assert (head.state, head.history is None) == ({}, False)


def test_forms_work_without_scripts(chromium: Browser, url: str, service: Service) -> None:
    """They are forms and links."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    page.get_by_role("link", name="Close…").click()
    page.get_by_role("button", name="Close it").click()
    expect(page.locator("h1 + .status")).to_have_text("closed")
    assert _status(service) == "closed"
    context.close()


def test_a_session_of_the_demo(page: Page, demo: str) -> None:
    """A conversation leads to its runs, and a run back to its conversation."""
    page.goto(f"{demo}/session?id=demo-gears")
    expect(page.locator(".exchange")).to_have_count(2)
    page.locator(".exchange").first.get_by_role("link", name="Transcript").click()
    expect(page.locator(".turn").first).to_be_visible()
    page.get_by_role("link", name="demo-gears").click()
    expect(page.locator("h1")).to_have_text("demo-gears")


def test_a_session_fits_a_narrow_window(chromium: Browser, url: str) -> None:
    """At 400 pixels it is no wider than its window, the question included."""
    context = chromium.new_context(viewport={"width": 400, "height": 800})
    page = context.new_page()
    for more in ("", "&confirm=reset"):
        page.goto(url + more)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    context.close()
