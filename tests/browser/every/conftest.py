"""Stores and walks that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tachograph.record.clock import SYSTEM
from tachograph.store.sqlite.store import SqliteStore
from tests.browser.every.hostile import Told, record
from tests.browser.every.walk import Walk
from tests.server.conftest import serving
from tests.server.serving import service_over

TIMES = 3
"""So many texts come to each place."""


class Hostile(NamedTuple):
    """A server over records whose texts want more than to be read, and a walk through it."""

    url: str
    told: list[Told]
    walk: Walk


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """The corpus, recorded into every place."""
    home = tmp_path_factory.mktemp("hostile")
    told = record(home, f"sqlite:{home / 'hostile.db'}", times=TIMES)
    store = SqliteStore(home / "hostile.db")
    store.refresh(SYSTEM.now())
    with serving(service_over(store, home=home, clock=SYSTEM)) as url:
        with Walk(url) as walk:
            walk.pages(*walk.telling("pwned"), limit=30)
            for each in told[:2]:
                walk.of_run(each.run, 120, again=1_000)
            for each in told[2:]:
                walk.of_run(each.run, 12)
        yield Hostile(url, told, walk)
    store.close()


@pytest.fixture(scope="module")
def walk(demo: str) -> Walk:
    """The demo's pages, one of each shape."""
    with Walk(demo) as walk:
        walk.pages(*walk.telling("order"), limit=60)
        return walk


@pytest.fixture(scope="session")
def screens() -> Path:
    """Where screenshots go: a folder that git ignores."""
    folder = Path(__file__).parents[3] / ".cache" / "screens"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
