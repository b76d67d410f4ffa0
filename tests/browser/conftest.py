"""Pages in Debian's Chromium: a real browser, over a server on loopback. A page that says an error fails its test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tachograph.record.clock import SYSTEM
from tachograph.store.sqlite.store import SqliteStore
from tests.server.conftest import serving
from tests.server.serving import service_over

_CHROMIUM = shutil.which("chromium")
_OFFLINE = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""It runs as root in a bare machine, and asks nobody outside."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, for all tests of a module: its driver keeps an event loop running, which others cannot bear."""
    if _CHROMIUM is None:
        assert not os.getenv("CI"), "install Debian's chromium: the browser tests run in CI"
        pytest.skip("Debian's chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_OFFLINE))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page, 1280 by 900, in Berlin's time. Errors that it says fail the test.

    Ask for it after the server: it is closed first then, and misses nobody.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, timezone_id="Europe/Berlin")
    context.set_default_timeout(10_000)
    said: list[str] = []
    shown = context.new_page()
    shown.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    shown.on("pageerror", lambda error: said.append(str(error)))
    # A page that is left gives up what it was loading, which is no error.
    shown.on(
        "requestfailed",
        lambda request: (
            None if request.failure == "net::ERR_ABORTED" else said.append(f"failed: {request.url} {request.failure}")
        ),
    )
    yield shown
    context.close()
    assert said == []


@pytest.fixture(scope="session")
def demo_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that the demo has written."""
    folder = tmp_path_factory.mktemp("demo")
    program = "from tachograph.cli.main import main; main()"
    command = [sys.executable, "-c", program, "demo", "--store", f"sqlite:{folder / 'demo.db'}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "demo.db"


@pytest.fixture(scope="module")
def demo(demo_records: Path) -> Iterator[str]:
    """Base URL of a server over the demo's records."""
    store = SqliteStore(demo_records)
    with serving(service_over(store, home=demo_records.parent, clock=SYSTEM)) as url:
        yield url
    store.close()
