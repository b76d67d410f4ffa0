from __future__ import annotations

from pathlib import Path
from typing import Any

import playwright.sync_api as playwright
from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser.every.accessible import axe, findings
from tests.browser.every.walk import Walk, named
from tests.browser.every.watched import Watched, watched

WIDE, NARROW = ViewportSize(width=1280, height=900), ViewportSize(width=400, height=800)
COLOURS, SCROLLING = "color-contrast", "scrollable-region-focusable"
"""What dark colours, and a narrow window, can do to a page that all other rules have seen wide and light."""
SHIFT = 0.01


def test_every_page_can_be_seen_by_everybody(chromium: Browser, demo: str, walk: Walk, screens: Path) -> None:
    """Light and dark, wide and narrow: axe finds nothing serious, no page is too wide, nothing moves while it loads."""
    with watched(chromium, demo, scripts=(axe(),)) as tab:
        for page in walk.one_of_each():
            _look(tab, page, screens)
    tab.must_be_fine()


def test_pages_are_used_with_the_keyboard(chromium: Browser, demo: str, walk: Walk) -> None:
    """The first stop of every page leads to its content; what has the focus can be seen; nothing holds it."""
    with watched(chromium, demo) as tab:
        for page in walk.one_of_each():
            shown = tab.visit(page)
            try:
                _skip(tab, shown)
                _tab_through(tab, shown)
            except playwright.Error as error:
                tab.fault(f"a key leads away: {error.message}")
    tab.must_be_fine()


def _look(tab: Watched, address: str, screens: Path) -> None:
    for size, checks in ((WIDE, {"light": None, "dark": COLOURS}), (NARROW, {"light": SCROLLING})):
        tab.page.emulate_media(color_scheme="light")
        tab.page.set_viewport_size(size)
        page = tab.visit(address)
        if tab.shift() >= SHIFT:
            tab.fault(f"at {size['width']} things move while it loads, by {tab.shift():.3f}")
        for scheme, rule in checks.items():
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.screenshot(path=screens / f"{named(address)}-{size['width']}-{scheme}.png")
            for finding in findings(page, rule):
                tab.fault(f"at {size['width']}, {scheme}: {finding}")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            tab.fault(f"at {size['width']} it is {width} wide: {page.evaluate(_WIDEST)}")


_WIDEST = """
() => [...document.querySelectorAll('main *')]
  .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.scroll'))
  .map(each => `${each.localName}.${each.className}`).slice(0, 3).join(', ')
"""

STOPS = 16
_FOCUS = """
() => {
  const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
  const marked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== 'none';
  window.__stops = (window.__stops ?? new Set()).add(at);
  return { end: at === document.body, stops: window.__stops.size,
           visible: marked && box.width > 0 && box.height > 0,
           name: `<${at.localName} class="${at.className}"> ${at.textContent.trim().slice(0, 40)}` };
}
"""


def _skip(tab: Watched, page: Page) -> None:
    if not page.evaluate("document.querySelector('a, button, input, [tabindex]').classList.contains('skip')"):
        tab.fault("the first stop is not the way to the content")
    page.focus(".skip")
    page.keyboard.press("Enter")
    if page.evaluate("document.activeElement.id") != "main":
        tab.fault("the way to the content does not lead there")


def _tab_through(tab: Watched, page: Page) -> None:
    stop: dict[str, Any] = {}
    for _ in range(STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(_FOCUS)
        if stop["end"]:
            return
        if not stop["visible"]:
            tab.fault(f"nobody sees that the focus is on {stop['name']}")
    if stop["stops"] < STOPS / 8:  # a field of a date has some stops of its own
        tab.fault(f"{stop['name']} holds the focus")
