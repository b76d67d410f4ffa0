"""A browser that is watched while it opens pages: everything that a page does and must not is a fault."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import playwright.sync_api as playwright
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

CALM_MS = 60
"""What a page does by itself it has begun by then."""

PATIENCE = 100
"""So many times; Playwright's own waiting evaluates text in the page, which the policy forbids."""

_WATCH = """
window.__seen = [];
window.pwned = name => window.__seen.push(`a script ran: ${name}`);
for (const name of ['alert', 'confirm', 'prompt']) window[name] = () => window.__seen.push(`a dialog: ${name}`);
document.addEventListener('securitypolicyviolation', event => window.__seen.push(
  `the policy forbids ${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
window.__shift = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.__shift += entry.value;
}).observe({ type: 'layout-shift', buffered: true });
"""
_FOUND = """
() => {
  const found = [...window.__seen];
  for (const element of document.querySelectorAll('*')) {
    const tag = element.localName;
    if (tag.includes('pwned') || ['iframe', 'object', 'embed', 'base', 'plaintext', 'style'].includes(tag))
      found.push(`a tag <${tag}>`);
    for (const { name } of element.attributes)
      if (name.startsWith('on') || name.startsWith('hx-on') || name.includes('pwned'))
        found.push(`an attribute ${name} of <${tag}>`);
    for (const name of ['href', 'src', 'action']) {
      const address = element.getAttribute(name);
      if (address !== null && !['http:', 'https:'].includes(new URL(address, location).protocol))
        found.push(`${name} of <${tag}> is ${address}`);
    }
  }
  return found;
}
"""
_OPEN = """
() => {
  for (const details of document.querySelectorAll('details')) details.open = true;
  return document.querySelectorAll('[hx-get]').length;
}
"""


class Watched:
    """One tab. `faults` names what went wrong on which page."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.base, self.faults = base, list[str]()
        self._host = urlsplit(base).netloc
        self.page: Page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.fault(f"an error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)
        self.page.on("requestfailed", self._failed)
        self.page.on("popup", lambda popup: self.fault(f"a window: {popup.url}"))

    def fault(self, what: str) -> None:
        """Something went wrong on the page that is shown."""
        self.faults.append(f"{self.page.url.removeprefix(self.base)}: {what}")

    def must_be_fine(self) -> None:
        """Fail with every fault, one a line."""
        must_be_empty(self.faults)

    def visit(self, address: str) -> Page:
        """Open a page, and wait until it is calm."""
        answer = self.page.goto(address, wait_until="load")
        assert answer is not None
        if answer.status != 200:
            self.fault(f"status {answer.status}")
        self.page.wait_for_timeout(CALM_MS)
        for _ in range(
            PATIENCE
        ):  # not by Playwright's waiting, which evaluates text in the page: its policy forbids that
            if not self.page.locator(".htmx-request").count():
                return self.page
            self.page.wait_for_timeout(CALM_MS)
        self.fault("a part does not come")
        return self.page

    def examine(self) -> None:
        """Open everything that opens on the page, and look for what recorded texts made of it."""
        if self.page.evaluate(_OPEN):
            self.page.wait_for_timeout(2 * CALM_MS)
        charts = self.page.locator("main canvas, main svg.chart")
        if charts.count():
            charts.first.hover(force=True, timeout=1_000)
        for found in self.page.evaluate(_FOUND):
            self.fault(found)

    def shift(self) -> float:
        """How far things moved while the page was loading, as Cumulative Layout Shift counts."""
        return float(self.page.evaluate("window.__shift"))

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.fault(f"the console says: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.fault(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.netloc != self._host and parts.scheme not in {"data", "blob"}:
            self.fault(f"a request to {request.url}")

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # what was under way when the next page was opened
            self.fault(f"{request.url} failed: {request.failure}")


def must_be_empty(faults: Sequence[str]) -> None:
    """Fail with every fault, one a line, each but once."""
    if faults:
        pytest.fail("\n".join(fault[:600] for fault in dict.fromkeys(faults)), pytrace=False)


@contextlib.contextmanager
def watched(browser: Browser, base: str, *, scripts: tuple[str, ...] = (), **how: Any) -> Iterator[Watched]:
    """A tab of its own, 1280 by 900 unless said otherwise."""
    given: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "timezone_id": "Europe/Berlin", **how}
    context = browser.new_context(**given)
    context.set_default_timeout(10_000)
    for script in (_WATCH, *scripts):
        context.add_init_script(script)
    try:
        yield Watched(context, base)
    finally:
        with contextlib.suppress(playwright.Error):
            context.close()
