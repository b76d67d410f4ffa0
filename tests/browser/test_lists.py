from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tachograph.store.sqlite.store import SqliteStore
from tests.queries.kept import batch
from tests.server.conftest import serving
from tests.server.pages.listed import fill
from tests.server.serving import service_over
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000
ROW, ROWS = "table [data-row]", "table tbody tr"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with sixty runs."""
    made = SqliteStore(tmp_path / "lists.db")
    fill(made, 60)
    yield made
    made.close()


@pytest.fixture
def site(store: SqliteStore, tmp_path: Path) -> Iterator[str]:
    """Base URL of a server over that store."""
    with serving(service_over(store, home=tmp_path)) as url:
        yield url


def _add(store: SqliteStore, name: str, seconds: int = 10**6, agent: str = "clerk") -> Tape:
    tape = Tape(name, at=BEGAN + seconds * SECOND)
    tape.begin(name, agent_type=agent)
    store.append(batch(tape.events))
    return tape


def test_conditions_stand_in_the_address(site: str, page: Page) -> None:
    """The form leads to an address without what was left blank; a chip leads back; the count comes by itself."""
    page.goto(f"{site}/runs?limit=20")
    expect(page.locator(".count")).to_have_text("60 runs")
    page.locator("select[name=status]").select_option("failed")
    page.get_by_label("Agent").fill("driver")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(f"{site}/runs?status=failed&agent_type=driver&limit=20")
    expect(page.locator(".count")).to_have_text("29 runs")
    page.get_by_role("link", name="Remove Agent: driver").click()
    expect(page).to_have_url(f"{site}/runs?limit=20&status=failed")
    page.go_back()
    expect(page.locator("select[name=order]")).to_be_enabled()


def test_pages_are_walked_both_ways(site: str, page: Page) -> None:
    """Older and newer, by links and by keys."""
    page.goto(f"{site}/runs")
    first = page.locator(ROW).first.inner_text()
    page.get_by_role("link", name="Older").click()
    expect(page.locator(ROW).first).to_have_text("desk 9")
    page.keyboard.press("p")
    expect(page.locator(ROW).first).to_have_text(first)
    page.keyboard.press("n")
    expect(page.locator(ROW)).to_have_count(10)
    page.get_by_role("link", name="Newest").click()
    expect(page).to_have_url(f"{site}/runs")


def test_keys_walk_the_rows(site: str, page: Page) -> None:
    """`j` and `k` move, Enter opens, `/` goes to the form, where letters are letters, `?` explains."""
    page.goto(f"{site}/runs")
    for key in "jjjk":
        page.keyboard.press(key)
    expect(page.locator(ROW).nth(1)).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("jk?")
    expect(page.get_by_label("Name")).to_have_value("jk?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.press("j")
    expect(page.locator(ROW).nth(0)).to_be_focused()
    href = page.locator(ROW).nth(0).get_attribute("href")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site}{href}")


def test_new_runs_wait_until_they_are_wanted(site: str, page: Page, store: SqliteStore) -> None:
    """A new run is told of and moves nothing; it comes when somebody asks, and then changes as it goes on."""
    page.goto(f"{site}/runs")
    first = page.locator(ROW).first
    before, place = first.inner_text(), first.bounding_box()
    tapes = [_add(store, "late 1"), _add(store, "late 2", 2 * 10**6)]
    button = page.get_by_role("button", name="2 new runs")
    expect(button).to_have_text("2 new runs – show")
    assert (first.inner_text(), first.bounding_box()) == (before, place)
    button.click()
    expect(first).to_have_text("late 2")
    expect(button).to_be_hidden()
    expect(page.locator(f"{ROWS}.new")).to_have_count(2)
    row = page.locator(f"tr[data-run='{tapes[1].run}']")
    expect(row.locator(".status")).to_have_text("started")
    tapes[1].finish("failed", stop_reason="deadline")
    store.append(batch(tapes[1].events[1:]))
    expect(row.locator(".stands")).to_have_text(re.compile(r"failed\s+deadline"))
    expect(row.locator("[data-row]")).to_be_focused()


def test_news_meet_the_conditions(site: str, page: Page, store: SqliteStore) -> None:
    """A new run that the list would not show is not told of."""
    page.goto(f"{site}/runs?agent_type=clerk")
    _add(store, "of another", agent="driver")
    _add(store, "of the same")
    button = page.get_by_role("button", name="1 new run")
    button.click()
    expect(page.locator(ROW).first).to_have_text("of the same")


def test_an_empty_list_waits_for_the_first_run(page: Page, tmp_path: Path) -> None:
    """Before anything was recorded the page says what to do, and what comes then."""
    store = SqliteStore(tmp_path / "empty.db")
    with serving(service_over(store, home=tmp_path)) as url:
        page.goto(f"{url}/runs")
        expect(page.get_by_role("heading", name="Nothing is recorded yet")).to_be_visible()
        _add(store, "first")
        page.get_by_role("button", name="1 new run").click()
        expect(page.locator(ROW)).to_have_text("first")
    store.close()


def test_two_runs_are_chosen(site: str, page: Page) -> None:
    """Two marked rows are compared, by keys or by hand; one alone is not sent."""
    page.goto(f"{site}/runs")
    ids = [page.locator(ROWS).nth(at).get_attribute("data-run") for at in (0, 2)]
    for key in "jac":
        page.keyboard.press(key)
    expect(page.get_by_text("Choose A in one row and B in another")).to_be_visible()
    for key in "jjb":
        page.keyboard.press(key)
    page.route("**/compare?*", lambda route: route.fulfill(body="compared"))
    page.keyboard.press("c")
    expect(page.get_by_text("compared")).to_be_visible()
    assert page.url == f"{site}/compare?left={ids[0]}&right={ids[1]}"


def test_search_finds_what_was_said(site: str, page: Page, store: SqliteStore) -> None:
    """What was found is put in when it is there; agents' markup is text."""
    tape = Tape("said")
    tape.begin("desk")
    tape.say("user", {"content": "<b onclick='x()'>Tea</b> & cake"})
    store.append(batch(tape.events))
    page.goto(f"{site}/search")
    page.keyboard.type("tea</B>")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site}/search?q=tea%3C%2FB%3E")
    expect(page.locator("mark")).to_have_text("Tea</b>")
    expect(page.locator(".hits .text")).to_have_text("<b onclick='x()'>Tea</b> & cake")
    page.get_by_label("What was said").blur()
    page.keyboard.press("j")
    expect(page.locator(".hits [data-row]")).to_be_focused()


@pytest.mark.parametrize("path", ["/runs", "/sessions", "/interventions", "/search?q=tea&part=whole"])
def test_lists_do_without_scripts(chromium: Browser, site: str, path: str) -> None:
    """The form, the pages and the count work as links and forms, and no page is wider than a small window."""
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 400, "height": 800})
    page = context.new_page()
    page.goto(f"{site}{path}")
    if path == "/runs":
        page.get_by_role("link", name="count them").click()
        expect(page.locator(".count")).to_have_text("60 runs")
        page.get_by_label("Agent").fill("driver")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator(ROWS)).to_have_count(30)
    box = page.locator("main").bounding_box()
    assert box is not None
    assert box["width"] <= 400
    context.close()


def test_a_search_without_scripts_leads_to_what_was_found(chromium: Browser, site: str) -> None:
    """A browser without scripts is sent on to the page that waits."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/search?q=tea")
    page.wait_for_url("**/search?q=tea&part=whole")
    expect(page.get_by_role("heading", name="No message contains this text")).to_be_visible()
    context.close()
