from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tachograph.server.pages import overview, site


@pytest.fixture
def plain(chromium: Browser) -> Iterator[Page]:
    """A page without scripts."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, java_script_enabled=False)
    yield context.new_page()
    context.close()


def _figure(page: Page, name: str) -> str:
    return page.locator(".figure", has=page.get_by_text(name, exact=True)).locator("dd").inner_text().split("\n")[0]


def test_the_period_is_in_the_address(page: Page, demo: str) -> None:
    """A named period is a link; dates are a form; both can be kept as an address."""
    page.goto(demo)
    page.get_by_role("link", name="7 d").click()
    expect(page).to_have_url(re.compile(r"\?period=7d$"))
    expect(page.get_by_role("link", name="7 d")).to_have_attribute("aria-current", "true")
    page.get_by_label("From").fill("2024-01-01T00:00:00")
    page.get_by_label("to", exact=True).fill("")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"start_date=2024-01-01T00(:|%3A)00"))
    assert page.locator(".periods [aria-current]").count() == 0
    assert int(_figure(page, "Runs")) >= 8


def test_figures_lead_to_their_lists(page: Page, demo: str) -> None:
    """The runs of a figure are the list behind it."""
    page.goto(demo)
    runs = _figure(page, "Runs")
    page.locator(".figure a").first.click()
    expect(page).to_have_url(re.compile(r"/runs\?start_date="))
    expect(page.locator("tbody tr")).to_have_count(int(runs))


def test_a_model_leads_to_its_calls(page: Page, demo: str) -> None:
    """A row of a split leads to the list of what it counts."""
    page.goto(demo)
    row = page.locator("tr.under").first
    name, calls = row.locator("td").nth(0).inner_text(), row.locator("td").nth(1).inner_text()
    row.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Model calls")).to_be_visible()
    assert set(page.locator("tbody td:nth-child(2)").all_inner_texts()) == {name}
    expect(page.locator("tbody tr")).to_have_count(int(calls))


def test_values_show_on_hover(page: Page, demo: str) -> None:
    """Under the pointer the legend holds the values of a point and when it was; afterwards the whole period again."""
    page.goto(demo)
    chart = page.locator(".chart", has=page.get_by_role("heading", name="Tokens"))
    over = chart.locator(".u-over")
    over.wait_for()
    over.scroll_into_view_if_needed()
    height = chart.bounding_box()
    rest = chart.locator("[data-value]").all_inner_texts()
    box = over.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, box["y"] + 20)
    expect(chart.locator("[data-when]")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d( \d\d:\d\d)?$"))
    assert chart.locator("[data-value]").all_inner_texts() == ["0", "0", "0", "0"] != rest
    assert chart.bounding_box() == height
    page.mouse.move(1, 1)
    expect(chart.locator("[data-when]")).to_have_text("")
    assert chart.locator("[data-value]").all_inner_texts() == rest


def test_a_point_leads_to_its_runs(page: Page, demo: str) -> None:
    """A click on a bar opens the list of the runs that it counts."""
    page.goto(demo)
    chart = page.locator(".chart", has=page.get_by_role("heading", name="Runs"))
    over = chart.locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + 20)
    expect(chart.locator("[data-when]")).not_to_have_text("")
    runs = chart.locator("[data-value]").first.inner_text()
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"/runs\?start_date=.+&end_date=.+"))
    expect(page.locator("tbody tr")).to_have_count(int(runs))


def test_charts_do_not_move_the_page(page: Page, demo: str) -> None:
    """What scripts draw stands where the server drew it."""
    page.goto(demo)
    page.locator(".u-over").last.wait_for()
    shift = page.evaluate(
        """() => new Promise((done) => {
          let sum = 0;
          new PerformanceObserver((list) => list.getEntries().forEach((each) => (sum += each.value)))
            .observe({ type: "layout-shift", buffered: true });
          setTimeout(() => done(sum), 300);
        })"""
    )
    assert shift < 0.01


def test_without_scripts(plain: Page, demo: str) -> None:
    """Charts, tables and the form are there without scripts, and so are the points as a table."""
    plain.goto(demo)
    assert plain.locator(".plot .box").first.is_visible()
    assert plain.locator(".plot .marks text").first.text_content()
    plain.get_by_role("link", name="as a table").click()
    assert plain.locator(".course tbody tr").count() > 20
    plain.get_by_role("button", name="Show").click()
    assert "start_date=" in plain.url


def test_without_the_library(page: Page, demo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library of charts is not there, those of the server stay, on the viewer's clock."""
    monkeypatch.setattr(site, "missing", lambda: ("uplot",))
    page.goto(f"{demo}/?start_date=2023-01-01T12:00&end_date=2023-01-02T12:00")
    expect(page.locator(".plot .box").first).to_be_visible()
    expect(page.locator(".marks").first.locator("text").first).to_have_text("13:00")
    assert page.locator(".uplot").count() == 0


def test_parts_come_afterwards(page: Page, plain: Page, demo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large period the parts that take longer come by themselves, and without scripts behind a link."""
    monkeypatch.setattr(overview, "MANY", 1)
    page.goto(demo)
    for title in ("Agents", "Stop reasons", "Slowest steps"):
        expect(page.locator("section", has=page.get_by_role("heading", name=title)).locator("table")).to_be_visible()
    plain.goto(demo)
    plain.get_by_role("link", name="Show them").first.click()
    assert plain.get_by_role("heading", name="Agents").is_visible()
    assert plain.locator("tbody tr").count() > 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(page: Page, demo: str, scheme: str) -> None:
    """At 400 pixels nothing is wider than the window, in light and dark."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(demo)
    page.locator(".u-over").last.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
