from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tachograph.server.callers import visits
from tachograph.server.callers.keys import mint
from tachograph.store.sqlite.store import SqliteStore
from tachograph.testing import CountIds
from tachograph.web.assets import missing
from tests.server.conftest import serving
from tests.server.recorded import recorded
from tests.server.serving import service_over

needs_htmx = pytest.mark.skipif("htmx.org" in missing(), reason="make assets")
SHIFT = """new Promise(told => {
    let moved = 0;
    new PerformanceObserver(list => { for (const entry of list.getEntries()) moved += entry.value; })
        .observe({type: "layout-shift", buffered: true});
    setTimeout(() => told(moved), 200);
})"""
"""How much of what was on the screen has moved by itself."""
RULES = """
[[retention]]
name = "room"
max_bytes = "1 KiB"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[tuple[str, SqliteStore]]:
    """A server of one's own over a store with a run, with a rule that lets it go; its URL, and the store."""
    (tmp_path / "policies.toml").write_text(RULES)
    store = SqliteStore(tmp_path / "mine.db")
    service = service_over(store, home=tmp_path)
    recorded(service)
    with serving(service) as url:
        yield url, store
    store.close()


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[str, str, SqliteStore]]:
    """A server that asks for a key; its URL, the text of a key for everything, and the store."""
    store = SqliteStore(tmp_path / "keyed.db")
    service = service_over(store, home=tmp_path, needs_key=True)
    recorded(service)
    with serving(service) as url:
        made = mint(store, "owner", "admin", "*", now_ns=1, entropy=CountIds())
        yield url, made.text, store
    store.close()


def arrived(page: Page, title: str) -> None:
    """The page with this title is there."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    settled(page)


def settled(page: Page) -> None:
    """Wait for what of a page comes later: leaving it before would break that off, which is said as an error."""
    page.wait_for_load_state("networkidle")


def trap(target: str, token: str) -> Callable[[Route], None]:
    """A page of another site, with a form that deletes a run here."""
    form = f'<form method="post" action="{target}"><input name="token" value="{token}"><input name="seen" value="1">'
    body = f"{form}<button>Win a prize</button></form>"
    return lambda route: route.fulfill(content_type="text/html", body=body)


def runs(page: Page, url: str) -> int:
    """How many runs there are."""
    return len(page.request.get(f"{url}/api/runs").json()["runs"])


@needs_htmx
def test_what_has_to_be_counted_comes_by_itself(page: Page, demo: str) -> None:
    """The store's figures and the prices load after the page, at the places that were kept for them."""
    page.goto(f"{demo}/system")
    store = page.get_by_role("region", name="Store")
    expect(store.locator("dt", has_text="Model calls")).to_be_visible()
    expect(page.get_by_role("region", name="Prices")).to_be_visible()
    expect(page.locator(".later")).to_have_count(0)
    assert page.evaluate(SHIFT) < 0.01
    for width, scheme in ((400, "dark"), (1280, "light")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_without_scripts_a_link_brings_them(chromium: Browser, demo: str) -> None:
    """Everything on the page can be had without JavaScript."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{demo}/system")
    page.get_by_role("link", name="Count the store").click()
    expect(page.get_by_role("region", name="Store")).to_contain_text("Model calls")
    expect(page.get_by_role("region", name="Journals")).to_be_visible()
    page.goto(f"{demo}/system/start")
    expect(page.get_by_text("import tachograph")).to_be_visible()
    context.close()


def test_a_key_is_made_shown_once_and_revoked(mine: tuple[str, SqliteStore], page: Page) -> None:
    """By keyboard alone: a form makes it, a button copies it, the list has it without its secret, a button ends it."""
    url, _ = mine
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    page.goto(f"{url}/system")
    settled(page)
    page.get_by_label("Name").fill("dash<b>board")
    page.get_by_label("Name").press("Enter")
    secret = page.locator(".secret")
    expect(secret).to_have_text(re.compile(r"^tg_[0-9a-f]{12}_[\w-]{43}$"))
    text = secret.inner_text()
    page.get_by_role("button", name="Copy").press("Enter")
    expect(page.get_by_role("button", name="Copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.get_by_role("link", name="To the access keys").click()
    settled(page)
    row = page.get_by_role("region", name="Access keys").get_by_role("row").filter(has_text="dash<b>board")
    expect(row).to_contain_text("good")
    assert text not in page.content()
    assert page.request.get(f"{url}/api/runs", headers={"Authorization": f"Bearer {text}"}).status == 200
    row.get_by_role("button", name="Revoke dash<b>board").press("Enter")
    expect(row).to_contain_text("revoked")
    settled(page)
    assert page.request.get(f"{url}/api/runs", headers={"Authorization": f"Bearer {text}"}).status == 401


def test_a_run_is_deleted_by_two_clicks(mine: tuple[str, SqliteStore], page: Page) -> None:
    """What goes is said first, with its size; one can turn back, or go on, and then it is gone."""
    url, _ = mine
    [run] = page.request.get(f"{url}/api/runs").json()["runs"]
    page.goto(f"{url}/runs/{run['id']}/delete")
    arrived(page, "Delete answer?")
    if "htmx.org" not in missing():
        expect(page.locator(".figure", has_text="Size in the store")).to_contain_text("≈")
    expect(page.get_by_role("link", name="Keep everything")).to_have_attribute("href", f"/runs/{run['id']}")
    assert runs(page, url) == 1
    page.get_by_role("button", name="Delete 1 run").click()
    arrived(page, "Deleted")
    assert runs(page, url) == 0
    page.get_by_role("link", name="What was done to the records").click()
    settled(page)
    expect(page.get_by_role("region", name="What was done to the records")).to_contain_text("run deleted")


def test_rules_are_applied_after_they_have_said_what_goes(mine: tuple[str, SqliteStore], page: Page) -> None:
    """From the System page: the plan comes, the button lets it go, and the page says what that came to."""
    url, _ = mine
    page.goto(f"{url}/system")
    settled(page)
    page.get_by_role("link", name="Prune now…").click()
    settled(page)
    if "htmx.org" in missing():
        page.get_by_role("link", name="Work out what would go").click()
    expect(page.get_by_role("row").filter(has_text="room")).to_contain_text("store above 1,024 bytes")
    page.get_by_role("button", name="Delete 1 run").click()
    arrived(page, "Pruned")
    assert runs(page, url) == 0


def test_a_key_is_asked_for_once(keyed: tuple[str, str, SqliteStore], page: Page) -> None:
    """The wanted page follows the form; the cookie is out of reach of scripts; changes work; signing out ends it."""
    url, text, _ = keyed
    page.goto(f"{url}/system?whole=true")
    arrived(page, "This server needs an access key")
    page.get_by_label("Access key").fill(text)
    page.get_by_label("Access key").press("Enter")
    arrived(page, "System")
    assert page.url == f"{url}/system?whole=true"
    [cookie] = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (visits.COOKIE, True, "Lax")
    assert page.evaluate("document.cookie") == ""
    lasts = cookie["expires"] - page.evaluate("Date.now() / 1000")
    assert visits.SECONDS - 60 < lasts <= visits.SECONDS
    page.goto(f"{url}/system/start")
    arrived(page, "How to record")
    [run] = page.request.get(f"{url}/api/runs").json()["runs"]
    page.goto(f"{url}/runs/{run['id']}/delete")
    settled(page)
    page.get_by_role("button", name="Delete 1 run").click()
    arrived(page, "Deleted")
    page.get_by_role("button", name="Sign out").click()
    arrived(page, "This server needs an access key")
    assert page.context.cookies() == []
    page.goto(f"{url}/system")
    arrived(page, "This server needs an access key")


def test_a_page_of_another_site_changes_nothing(
    chromium: Browser, keyed: tuple[str, str, SqliteStore], mine: tuple[str, SqliteStore]
) -> None:
    """A form that another site sends with the visitor's browser is turned away, on this machine and beyond."""
    url, text, _ = keyed
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{url}/key")
    page.get_by_label("Access key").fill(text)
    page.get_by_label("Access key").press("Enter")
    page.wait_for_url(lambda now: not now.endswith("/key"))
    [run] = page.request.get(f"{url}/api/runs").json()["runs"]
    for target, token in ((f"{url}/runs/{run['id']}/delete", ""), (f"{mine[0]}/runs/last/delete", "token")):
        evil = context.new_page()
        evil.route("http://evil.example/", trap(target, token))
        evil.goto("http://evil.example/")
        with evil.expect_response(lambda answer: answer.request.method == "POST") as told:
            evil.get_by_role("button").click()
        assert told.value.status == 403
        evil.close()
    assert runs(page, url) == 1
    assert runs(page, mine[0]) == 1
    context.close()


def test_commands_can_be_copied(mine: tuple[str, SqliteStore], page: Page) -> None:
    """Each has a button that is named after it; where the clipboard is out of reach the command is selected instead."""
    url, _ = mine
    page.goto(f"{url}/system/start")
    first = page.locator("code[data-copy]").first
    button = page.get_by_role("button", name=f"Copy {first.inner_text()}"[:60])
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('no')))")
    button.click()
    expect(button).to_have_text("Selected")
    assert page.evaluate("getSelection().toString().trim()") == first.inner_text().strip()
