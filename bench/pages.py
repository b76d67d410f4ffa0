"""The pages on a big store: how soon the first byte is there, when a long run can be worked with, how much is sent.

    python -m bench.pages [--calls N] [--steps N] [--folder PATH] [--only TEXT]

One `tachograph serve` over a month of N model calls (a million, unless said) in spoken runs, and one run of 10,000
steps. Pages are found as a reader finds them, from link to link: one of each kind. A folder that is named keeps the
store for the next time. Nobody else's pages are measured beside ours: those that show recorded runs come as a service
of several databases and containers, and cannot be installed here.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.kit.crawl import crawl, shape
from bench.kit.long_run import LongRun
from bench.kit.month import fill
from bench.kit.table import show
from bench.kit.work import COMMAND
from tachograph.store.ports import Batch
from tachograph.store.sqlite.store import SqliteStore
from tachograph.web import links
from tachograph.web.assets import assets, libraries, missing

HOUR = 3_600 * 10**9
ROUNDS = 20
PAGES = 45
ROWS = 300
PATIENCE_S = 30
CHARTS = "uplot"


class Built(NamedTuple):
    """A store, and the run of many steps in it."""

    path: Path
    run: str
    steps: int


def built(folder: Path, calls: int, steps: int) -> Built:
    """The store, made if it is not in the folder. Its month ends now, so that every period has something to show."""
    path = folder / f"pages-{calls}-{steps}.db"
    note = path.with_suffix(".json")
    if not note.exists():
        path.unlink(missing_ok=True)
        now = time.time_ns()
        store = SqliteStore(path)
        fill(store, calls, now, spoken=True)
        run = LongRun(now - 3 * HOUR, steps)
        store.append(Batch(run.events, run.payloads))
        store.refresh(now)
        store.close()
        note.write_text(json.dumps({"run": run.id, "steps": run.steps}))
    facts = json.loads(note.read_text())
    return Built(path, facts["run"], facts["steps"])


@contextmanager
def serving(store: Path, home: Path) -> Iterator[str]:
    """A server process over the store, and its address."""
    command = [*COMMAND, "serve", "--port", "0", "--json", "--store", f"sqlite:{store}"]
    environment = {**os.environ, "TACHOGRAPH_HOME": str(home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(iter(json.loads(process.stdout.readline()).values()))
        finally:
            process.terminate()


class Reader:
    """Asks for pages over one connection, as a browser does."""

    def __init__(self, base: str) -> None:
        self.host = urlsplit(base).netloc
        self._connection = http.client.HTTPConnection(self.host, timeout=120)

    def get(self, address: str) -> tuple[float, float, str | None]:
        """Milliseconds to the first byte, KB of the answer, and its HTML; None for what is no page."""
        parts = urlsplit(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        start = time.perf_counter()
        self._connection.request("GET", path, headers={"Accept": "text/html"})
        answer = self._connection.getresponse()
        first = (time.perf_counter() - start) * 1e3
        body = answer.read()
        is_page = answer.status == 200 and answer.headers.get_content_type() == "text/html"
        return first, len(body) / 1e3, body.decode() if is_page else None


class Measured(NamedTuple):
    """One page."""

    page: str
    cold: float
    p50: float
    p95: float
    size: float


def first_bytes(base: str, run: str, only: str) -> list[Measured]:
    """Every kind of page: the first request, and some after it."""
    reader, firsts = Reader(base), dict[str, float]()

    def read(address: str) -> str | None:
        firsts[address], _, html = reader.get(address)
        return html

    starts = [path for _, path in links.NAVIGATION] + [links.run(run), f"{links.SEARCH}?q=depot"]
    pages = crawl(read, [base + path for path in starts], limit=PAGES)
    return [measured(reader, page, firsts[page]) for page in pages if only in page]


def measured(reader: Reader, page: str, cold: float) -> Measured:
    """One page, asked for again and again."""
    times, size = [], 0.0
    for _ in range(ROUNDS):
        took, size, _ = reader.get(page)
        times.append(took)
        if sum(times) > 5_000:
            break
    times.sort()
    return Measured(shape(page), cold, times[len(times) // 2], times[len(times) * 95 // 100], size)


def interactive(base: str, run: str) -> Sequence[tuple[object, ...]]:
    """When a browser shows the first rows of the long run, and obeys a key."""
    chromium = shutil.which("chromium")
    if chromium is None or find_spec("playwright") is None:
        return [("skipped: Debian's chromium or playwright is not installed", "–", "–")]
    from playwright.sync_api import sync_playwright

    rows: list[tuple[object, ...]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name in ("first visit", "second visit", "third visit"):
            page = browser.contexts[0].new_page() if browser.contexts else browser.new_context().new_page()
            start = time.perf_counter()
            page.goto(base + links.run(run), wait_until="commit")
            _wait(page, _SHOWN, ROWS)
            shown = (time.perf_counter() - start) * 1e3
            _wait(page, _OBEYED, press="j")
            rows.append((name, shown, (time.perf_counter() - start) * 1e3))
            page.close()
        browser.close()
    return rows


def _wait(page: Any, until: str, given: object = None, *, press: str = "") -> None:
    """Not by Playwright's own waiting: it evaluates text in the page, and the page's policy forbids that."""
    end = time.monotonic() + PATIENCE_S
    while not page.evaluate(until, given):
        if time.monotonic() > end:
            sys.exit(f"not within {PATIENCE_S} s: {until}")
        if press:
            page.keyboard.press(press)


_SHOWN = "rows => document.querySelectorAll('main [data-step], main tbody tr').length >= rows"
_OBEYED = "() => document.activeElement && document.activeElement.closest('[data-step], tr, [role=row]') !== null"


def sent() -> list[tuple[str, float]]:
    """KB of each script and style, the charts library apart."""
    charts = {file.to for library in libraries() if library.name == CHARTS for file in library.files}
    sizes = {
        name: len(asset.body) / 1e3
        for name, asset in assets().items()
        if name.endswith((".css", ".js", ".mjs")) and name not in charts
    }
    without = f" (without {', '.join(missing())})" if missing() else ""
    return [*sorted(sizes.items()), (f"together{without}", sum(sizes.values()))]


def main(arguments: Sequence[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="keep the store here")
    parser.add_argument("--only", default="", help="only pages whose address holds this text")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        store = built(given.folder or Path(name), given.calls, given.steps)
        with serving(store.path, Path(name)) as base:
            show(
                f"First byte of every page, {given.calls:,} calls, a run of {store.steps:,} steps",
                ("page", "first request ms", "p50 ms", "p95 ms", "KB"),
                first_bytes(base, store.run, given.only),
                "Wanted: ≤ 100 ms.",
            )
            show(
                "The long run in a browser",
                (f"run page of {store.steps:,} steps, Chromium", f"{ROWS} rows there, ms", "a key obeyed, ms"),
                interactive(base, store.run),
                "Wanted: ≤ 1,000 ms.",
            )
    show("Scripts and styles, the charts library apart", ("file", "KB"), sent(), "Wanted: ≤ 150 KB.")


if __name__ == "__main__":
    main(sys.argv[1:])
