from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser

from tachograph.record.clock import SYSTEM
from tachograph.store.sqlite.store import SqliteStore
from tachograph.web import links
from tests.browser.every.walk import Walk
from tests.browser.every.watched import must_be_empty, watched
from tests.server.conftest import serving
from tests.server.serving import service_over

SMALL = 64_000
"""Bytes of a packed file: a handful of conversations."""
RUNS = 4


@pytest.fixture(scope="module")
def imported(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over conversations of real agents, some of each kind."""
    home = tmp_path_factory.mktemp("imported")
    folders = sorted(path for path in (shared_data / "trajectories").iterdir() if path.is_dir())
    small = [min(folder.glob("*.jsonl.gz"), key=lambda path: path.stat().st_size, default=None) for folder in folders]
    files = [str(path) for path in small if path is not None and path.stat().st_size <= SMALL]
    program = "from tachograph.cli.main import main; main()"
    command = [sys.executable, "-c", program, "import", *files, "--store", f"sqlite:{home / 'imported.db'}"]
    subprocess.run(command, check=False, capture_output=True, timeout=100)
    store = SqliteStore(home / "imported.db")
    with serving(service_over(store, home=home, clock=SYSTEM)) as url:
        yield url
    store.close()


def test_real_conversations_are_shown_without_an_error(chromium: Browser, imported: str) -> None:
    """What agents of other products have said is shown on the pages of its run, and no page says an error."""
    runs = httpx2.get(f"{imported}/api/runs?limit=200").json()["runs"]
    agents = {run["agent_type"] or run["name"]: run["id"] for run in runs}
    chosen = [*dict.fromkeys([*agents.values(), *(run["id"] for run in runs)])][:RUNS]
    with Walk(imported) as walk:
        for run in chosen:
            walk.of_run(run, limit=6)
        walk.pages(f"{links.SEARCH}?q=the", limit=12)
    pages = [found.address for found in walk.found.values() if found.is_page]
    with watched(chromium, imported) as tab:
        for page in pages:
            tab.visit(page)
            tab.examine()
    tab.must_be_fine()
    must_be_empty(walk.faults())
    assert len(pages) >= len(chosen)
