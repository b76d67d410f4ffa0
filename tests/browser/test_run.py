from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tachograph.store.ports import Batch
from tachograph.store.sqlite.store import SqliteStore
from tests.queries.errand import AGAIN, ASK, BUSY, LARGE, LOOK, RUN, kept, step_id
from tests.queries.kept import batch
from tests.queries.test_heading import looping
from tests.server.conftest import serving
from tests.server.serving import service_over
from tests.strategies import Tape

LONG = Tape("long")
LOOPING = looping()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """A store with an errand and a long run."""
    made = SqliteStore(tmp_path_factory.mktemp("run") / "run.db")
    made.append(kept())
    LONG.begin("long")
    for number in range(1_000):
        LONG.done(LONG.step(f"work {number}"))
    LONG.finish()
    made.append(batch(LONG.events, LOOPING.events))
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(store: SqliteStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a server over that store."""
    with serving(service_over(store, home=tmp_path_factory.mktemp("home"))) as base:
        yield base


def _row(page: Page, key: str) -> Locator:
    return page.locator(f'[id="r{key}"]')


def _keys(page: Page) -> list[str]:
    return [(row.get_attribute("id") or "")[1:] for row in page.locator(".line[data-step]").all()]


def test_rows_are_folded_in_place_and_in_the_address(url: str, page: Page) -> None:
    """Folding takes the rows below away, stands in the address, and holds when the page is loaded again."""
    page.goto(f"{url}/runs/{RUN}")
    _row(page, "0.1").locator(".fold").click()
    expect(_row(page, "0.3")).to_have_count(0)
    expect(_row(page, "0.1")).to_have_attribute("aria-expanded", "false")
    assert page.url.endswith("?but=0.1")
    page.reload()
    assert _keys(page) == ["0.0", "0.1", "0.12", "1.0", "1.1"]
    page.get_by_text("Fold all", exact=True).click()
    expect(page.locator(".line[data-step]")).to_have_count(3)
    page.get_by_text("Unfold all").click()
    expect(page.locator(".line[data-step]")).to_have_count(9)
    assert "?" not in page.url


def test_keys_go_through_the_rows(url: str, page: Page) -> None:
    """Arrows move, fold and unfold, Enter opens the details, Escape gives the row back."""
    page.goto(f"{url}/runs/{RUN}")
    for key, at in (("ArrowDown", "0.1"), ("ArrowRight", "0.3"), ("j", "0.5"), ("ArrowLeft", "0.1"), ("End", "1.1")):
        page.keyboard.press(key)
        expect(_row(page, at)).to_be_focused()
    page.keyboard.press("Home")
    expect(_row(page, "0.0")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    expect(_row(page, "0.3")).to_have_count(0)
    expect(_row(page, "0.1")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(_row(page, "0.3")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(_row(page, "0.3")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#details-title")).to_be_focused()
    assert page.url.endswith(f"?step={step_id(BUSY)}")
    page.keyboard.press("Escape")
    expect(_row(page, "0.3")).to_be_focused()
    expect(page.locator("[data-panel]")).to_be_hidden()
    assert "?" not in page.url


def test_details_follow_the_rows(url: str, page: Page) -> None:
    """A click opens the details, and going on with the keys shows the next step; the address leads back to it."""
    page.goto(f"{url}/runs/{RUN}")
    _row(page, f"0.{BUSY}").locator(".drawn").click()
    panel = page.locator("[data-panel]")
    expect(panel).to_contain_text("Overloaded")
    expect(panel).to_contain_text("x-ratelimit-remaining-requests")
    _row(page, f"0.{BUSY}").focus()
    page.keyboard.press("ArrowDown")
    expect(panel).to_contain_text("I look.")
    page.goto(f"{url}/runs/{RUN}?fold=all&step={step_id(AGAIN)}")
    expect(panel).to_contain_text("I look.")
    expect(_row(page, f"0.{AGAIN}")).to_have_count(0)
    page.goto(f"{url}/runs/{RUN}?step={step_id(AGAIN)}")
    expect(panel).to_contain_text("I look.")
    expect(_row(page, f"0.{AGAIN}")).to_have_attribute("aria-selected", "true")


def test_evidence_is_shown_beside_the_rows(url: str, page: Page) -> None:
    """A call that a stop rests on is opened from the sentence that names it, and its row is chosen."""
    page.goto(f"{url}/runs/{LOOPING.run}")
    page.locator("#run-head .notice").get_by_text("3", exact=True).click()
    expect(page.locator("[data-panel] #details-title")).to_contain_text("track")
    expect(_row(page, "0.3")).to_have_attribute("aria-selected", "true")
    page.locator("[data-panel]").get_by_text("Close").click()
    expect(_row(page, "0.3")).to_be_focused()


def test_a_text_is_copied_and_kept_as_it_was_recorded(url: str, page: Page) -> None:
    """Copying gives the exact text, and so does the file; a large one is shown when it is asked for."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{url}/runs/{RUN}?step={step_id(LOOK)}")
    panel = page.locator("[data-panel]")
    panel.locator('[data-text="input"] [data-copy]').click()
    expect(panel.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == '{"for": "bike"}'
    page.goto(f"{url}/runs/{RUN}?step={step_id(ASK)}")
    with page.expect_download() as kept_file:
        panel.locator('[data-text="output"]').get_by_text("Raw").click()
    assert Path(kept_file.value.path()).read_text() == LARGE
    panel.get_by_text("show all of it").click()
    expect(panel.locator("pre.tree")).to_have_text(LARGE)


def test_a_part_of_the_time_is_looked_at_closer(url: str, page: Page) -> None:
    """Keys, buttons and dragging over the bars change the axis, the rows and the address."""
    page.goto(f"{url}/runs/{RUN}")
    ticks = page.locator(".ticks span").first
    _row(page, f"0.{BUSY}").focus()
    page.keyboard.press("z")
    expect(page.locator(".line[data-step]")).to_have_count(3)
    assert page.url.endswith("?since=3000.000&until=4000.000")
    page.get_by_text("Whole run", exact=True).click()
    expect(page.locator(".line[data-step]")).to_have_count(9)
    assert "?" not in page.url
    page.get_by_label("Look closer").click()
    expect(ticks).not_to_have_text("0 s")
    page.keyboard.press("0")
    expect(ticks).to_have_text("0 s")
    box = _row(page, "0.0").locator(".drawn").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 5)
    expect(page.locator(".choice")).to_be_visible()
    page.mouse.up()
    expect(page.locator(".line[data-step]")).to_have_count(3)
    expect(page.locator("[data-panel]")).to_be_hidden()


def test_a_long_run_comes_as_one_scrolls(url: str, page: Page) -> None:
    """The rows beyond the first stretch are read when they are near, and those far away are given up."""
    page.goto(f"{url}/runs/{LONG.run}")
    expect(page.locator(".line[data-step]")).to_have_count(300)
    height = page.evaluate("document.documentElement.scrollHeight")
    assert height > 1_001 * 24
    page.keyboard.press("End")
    last = page.locator('[aria-rowindex="1002"]')
    expect(last).to_be_focused()
    expect(last).to_be_in_viewport()
    page.keyboard.press("ArrowUp")
    expect(page.locator('[aria-rowindex="1001"]')).to_be_focused()
    page.keyboard.press("Home")
    expect(page.locator('[aria-rowindex="2"]')).to_be_focused()
    deep = f"{LONG.run[:28]}{LONG.events[1_801].seq:08x}"
    page.goto(f"{url}/runs/{LONG.run}?step={deep}")
    expect(page.locator(f'.line[data-step="{deep}"]')).to_be_in_viewport()
    expect(page.locator("#details-title")).to_contain_text("work 900")
    assert page.evaluate("document.documentElement.scrollHeight") == height


def test_a_run_is_followed_while_it_goes_on(url: str, page: Page, store: SqliteStore) -> None:
    """What is recorded while the page is open appears in it, and the end of the run is its end."""
    tape = Tape("going on")
    tape.begin("going-on")
    first = tape.step("first")
    store.append(batch(tape.events))
    page.goto(f"{url}/runs/{tape.run}")
    state = page.locator("[data-live-state]")
    expect(state).to_have_text("live")
    expect(_row(page, f"0.{first}").locator(".state")).to_have_text("started")
    said = len(tape.events)
    tape.done(first)
    second = tape.step("second")
    store.append(Batch(tape.events[said:]))
    expect(_row(page, f"0.{first}").locator(".state")).to_have_text("completed")
    expect(_row(page, f"0.{second}").locator(".name")).to_have_text("second")
    expect(page.locator("[data-news]")).to_contain_text("step_started second")
    _row(page, f"0.{second}").focus()
    said = len(tape.events)
    tape.done(second, "failed")
    tape.finish("failed", stop_reason="tool_error")
    store.append(Batch(tape.events[said:]))
    expect(state).to_have_text(f"ended with event {len(tape.events) - 1}")
    expect(page.locator("#run-head .status")).to_have_text("failed")
    expect(_row(page, f"0.{second}").locator(".state")).to_have_text("failed")
    expect(_row(page, f"0.{second}")).to_be_focused()


def test_a_run_is_followed_from_any_event(url: str, page: Page) -> None:
    """The address says behind which event the telling begins, for a run that is over too."""
    page.goto(f"{url}/runs/{RUN}?after={ASK - 1}")
    expect(page.locator("[data-news] li").first).to_have_text(f"{ASK} tool_started ask")
    expect(page.locator("[data-news] li")).to_have_count(3)
    expect(page.locator("[data-live-state]")).to_contain_text("ended")


def test_everything_is_there_without_scripts(chromium: Browser, url: str) -> None:
    """Links lead to the next rows, to folded ones and to the details; a form looks closer."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/runs/{LONG.run}")
    page.get_by_text("Next 300").click()
    expect(page.locator(".line[data-step]").first).to_contain_text("work 299")
    page.goto(f"{url}/runs/{RUN}")
    _row(page, "0.1").locator(".fold").click()
    assert _keys(page) == ["0.0", "0.1", "0.12", "1.0", "1.1"]
    _row(page, f"0.{ASK}").locator(".name").click()
    expect(page.locator(".details")).to_contain_text("ask")
    page.get_by_text("show all of it").click()
    expect(page.locator('[data-text="output"]')).to_contain_text("8,000 values")
    page.get_by_text("In the timeline").click()
    expect(_row(page, f"0.{ASK}")).to_have_class("line tool at")
    page.locator('[name="since"]').fill("3500")
    page.get_by_text("Look", exact=True).click()
    assert "since=3500" in page.url
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_shows_it_whole(chromium: Browser, url: str, scheme: str) -> None:
    """At 400 pixels nothing is wider than the window, with the details open too."""
    context = chromium.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    for where in ("", f"?step={step_id(BUSY)}", f"/steps/{step_id(BUSY)}"):
        page.goto(f"{url}/runs/{RUN}{where}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    context.close()


def test_on_paper_only_what_is_of_the_run_remains(url: str, page: Page) -> None:
    """Printed, the page has its head and its rows, and nothing that wants to be clicked."""
    page.emulate_media(media="print")
    page.goto(f"{url}/runs/{RUN}")
    expect(page.locator("#run-head h1")).to_be_visible()
    expect(_row(page, f"0.{LOOK}")).to_be_visible()
    for hidden in (".zoom", ".top", "[data-fold=all]", "[data-keys]"):
        expect(page.locator(hidden)).to_be_hidden()
