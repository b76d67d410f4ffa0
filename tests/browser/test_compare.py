from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tachograph.server.pages import compare
from tachograph.store.sqlite.store import SqliteStore
from tachograph.web.assets import missing
from tests.queries.diff.scenes import FIND, PAY, kept, taped
from tests.server.conftest import serving
from tests.server.serving import service_over

OTHER = ("find", '{"id":8}', '"' + "word " * 200 + '"')
A, B, HOSTILE = (taped(name).run for name in ("a", "b", "<img src=x onerror=alert(1)>"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a server over three runs; B differs from A in 60 turns."""
    folder = tmp_path_factory.mktemp("compare")
    store = SqliteStore(folder / "a.db")
    kept(
        store,
        taped("a", FIND, *[FIND] * 60, "Done."),
        taped("b", FIND, *[OTHER] * 60, PAY, "All is done."),
        taped("<img src=x onerror=alert(1)>", ("<script>alert(1)</script>", "{}", '"<b>x</b>"'), "<script>"),
    )
    with serving(service_over(store, home=folder)) as url:
        yield url
    store.close()


def test_two_runs_are_chosen_and_exchanged(page: Page, demo: str) -> None:
    """From the newest runs over those that are alike to both side by side; the address holds both."""
    page.goto(f"{demo}/compare")
    page.get_by_role("link", name="front-desk").first.click()
    page.get_by_role("link", name="front-desk").nth(1).click()
    expect(page.locator("table.totals")).to_be_visible()
    assert {"left", "right"} <= {part.partition("=")[0] for part in page.url.partition("?")[2].split("&")}
    first = page.get_by_label("Run A").last.inner_text()
    page.get_by_role("link", name="Swap A and B").click()
    expect(page.get_by_label("Run B").last).to_contain_text(first.splitlines()[1])


def test_keys_go_from_difference_to_difference(desk: str, page: Page) -> None:
    """`n` and `p` do, and behind the last one the next page is at hand; what is typed into the form is left alone."""
    page.goto(f"{desk}/compare?left={A}&right={B}")
    page.keyboard.press("n")
    expect(page.locator("#divergence")).to_be_focused()
    page.keyboard.press("n")
    expect(page.locator("tr[data-differs]").nth(1)).to_be_focused()
    page.keyboard.press("p")
    expect(page.locator("#divergence")).to_be_focused()
    page.locator("tr[data-differs]").last.focus()
    page.keyboard.press("n")
    expect(page.get_by_role("link", name="Next")).to_be_focused()
    box = page.get_by_label("Run A").first
    box.fill("")
    box.type("nnp")
    expect(box).to_have_value("nnp")
    expect(box).to_be_focused()


def test_the_first_difference_is_one_click_away(desk: str, page: Page) -> None:
    """The sentence leads to its row, which is then on the screen and not below what sticks to its top."""
    page.goto(f"{desk}/compare?left={A}&right={B}")
    page.locator(".notice a").click()
    row = page.locator("#divergence")
    expect(row).to_be_in_viewport()
    assert (row.bounding_box() or {"y": 0})["y"] >= 20


def test_verdicts_are_words_in_order(desk: str, page: Page) -> None:
    """Each row has its verdict as a word between both sides, not as a colour alone."""
    page.goto(f"{desk}/compare?left={A}&right={B}&offset=100")
    table = page.get_by_role("table", name="Steps side by side")
    expect(table.get_by_role("columnheader")).to_have_text(["A", "Verdict", "B"])
    words = table.locator(".verdict-word").all_inner_texts()
    assert set(words) == {"changed", "only in B"}
    assert table.get_by_role("row").count() == len(words) + 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_has_one_column(chromium: Browser, desk: str, scheme: str) -> None:
    """At 400 pixels nothing is wider than the window, the sides are below each other and are named."""
    context = chromium.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{desk}/compare?left={A}&right={B}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    left, right = page.locator("#divergence .left"), page.locator("#divergence .right")
    expect(left.locator(".side")).to_be_visible()
    above, below = left.bounding_box(), right.bounding_box()
    assert above
    assert below
    assert (above["x"], above["y"] + above["height"] <= below["y"] + 1) == (below["x"], True)
    page.goto(f"{desk}/compare?left={A}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()


def test_long_runs_come_in_two_parts(desk: str, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps follow by themselves, keys work on them, times are local, and the row that was asked for is shown."""
    if "htmx.org" in missing():
        pytest.skip("the libraries are not there: run `make assets`")
    monkeypatch.setattr(compare, "AT_ONCE", 10)
    page.goto(f"{desk}/compare?left={A}&right={B}#divergence")
    expect(page.locator("table.totals")).to_be_attached()
    expect(page.locator("#divergence")).to_be_in_viewport()
    expect(page.locator(".later")).to_have_count(0)
    page.keyboard.press("n")
    expect(page.locator("#divergence")).to_be_focused()


def test_without_scripts_everything_is_there(chromium: Browser, desk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Form, links and pages of steps work; of long runs a link leads to a page that has them."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{desk}/compare")
    page.get_by_label("Run A").fill(A)
    page.get_by_label("Run B").fill(B)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#divergence")).to_have_count(1)
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("link", name="Before")).to_be_visible()
    if "htmx.org" not in missing():
        monkeypatch.setattr(compare, "AT_ONCE", 10)
        page.goto(f"{desk}/compare?left={A}&right={B}")
        page.get_by_role("link", name="Wait for it on one page").click()
        expect(page.locator("#divergence")).to_have_count(1)
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_role("link", name="Before")).to_be_visible()
    context.close()


def test_hostile_text_stays_text(desk: str, page: Page) -> None:
    """What an agent wrote into names, results and answers is shown as it is written; no script of it runs."""
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"{desk}/compare?left={A}&right={HOSTILE}")
    expect(page.get_by_label("Run B").last).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main img, main b b, main script").count() == 0
