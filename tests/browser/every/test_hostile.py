from __future__ import annotations

import json

from playwright.sync_api import Browser

from bench.kit.crawl import shape
from tachograph.web.filters import visible
from tests.browser.every.conftest import Hostile
from tests.browser.every.sent import squeezed
from tests.browser.every.watched import must_be_empty, watched

MOST = 60
"""Pages that a browser opens."""
UNSHOWN: frozenset[str] = frozenset()
"""Places whose text no page of a run shows."""


def test_nothing_that_was_recorded_runs(chromium: Browser, hostile: Hostile) -> None:
    """Over records full of scripts every kind of page is opened, and none runs, asks another host or bends the page."""
    kinds: dict[str, str] = {}
    for found in hostile.walk.found.values():
        if found.is_page:
            kinds.setdefault(shape(found.address), found.address)
    with watched(chromium, hostile.url) as tab:
        for page in [*kinds.values()][:MOST]:
            tab.visit(page)
            tab.examine()
    tab.must_be_fine()


def test_no_recorded_text_becomes_a_part_of_a_page(hostile: Hostile) -> None:
    """Before any browser mends it: what is sent has no tag, attribute or address that a text brought along."""
    must_be_empty(hostile.walk.faults())


def test_recorded_text_is_there_to_be_read(hostile: Hostile) -> None:
    """Each text that was recorded in a run stands on a page of that run, letter for letter, or its beginning does."""
    for told in hostile.told[:2]:
        pages = [found for found in hostile.walk.found.values() if told.run[:-8] in found.address]
        text = squeezed(" ".join(found.sent.text for found in pages))
        unseen = [
            f"{place}: {said[:60]!r}"
            for place, said in told.said.items()
            if place not in UNSHOWN and not any(beginning in text for beginning in _beginnings(said))
        ]
        must_be_empty(unseen)


def _beginnings(said: str) -> set[str]:
    """How a page may begin to show a text: as it is, or as JSON has it."""
    as_json = json.dumps(said, ensure_ascii=False)[1:-1]
    return {squeezed(visible(text))[:30] for text in (said, as_json)}
