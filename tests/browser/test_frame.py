from __future__ import annotations

from playwright.sync_api import Page, expect


def test_times_are_in_the_zone_of_the_viewer(page: Page, demo: str) -> None:
    """A time is shown on the viewer's clock, and says UTC on hover."""
    page.goto(f"{demo}/runs")
    expect(page.locator("[data-zone]")).to_have_text("Times are Europe/Berlin")
    first = page.locator("time").first
    assert (first.get_attribute("title") or "").endswith(" UTC")
    assert "UTC" not in first.inner_text()
