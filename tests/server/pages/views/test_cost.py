from __future__ import annotations

import html
import re

from tachograph.server.service import Service
from tests.queries.kept import batch
from tests.server.pages.views.spoken import spoken
from tests.strategies import Tape


def test_what_a_run_cost(service: Service) -> None:
    """Classes, the price that was used, what was reported, who counted, and each call; what is unpriced is said."""
    client, talk = spoken(service)
    shown = html.unescape(client.get(f"/runs/{talk.run}/cost").text)
    for said in (
        "list/one", "2026-01-02", "$0.0000015 was reported for 1 call; $0.000001 was computed for them.",
        "no price list has this model", "1 call counted by the provider", "≥ $0.000001", "What it saw",
    ):  # fmt: skip
        assert said in shown


def test_calls_are_paged(service: Service) -> None:
    """By a cursor, in either order."""
    client, talk = spoken(service)
    first = client.get(f"/runs/{talk.run}/cost", params={"order": "dearest", "limit": 1}).text
    more = re.search(r'href="([^"]+)" rel="next"', first)
    assert more is not None
    second = client.get(html.unescape(more[1]))
    assert (second.status_code, "First page" in second.text) == (200, True)
    assert client.get(f"/runs/{talk.run}/cost", params={"order": "cheapest"}).status_code == 422


def test_a_run_without_calls(service: Service) -> None:
    """It says so, and shows no figure."""
    client, _ = spoken(service)
    tape = Tape("idle")
    tape.begin()
    service.store.append(batch(tape.events))
    assert "No model calls" in client.get(f"/runs/{tape.run}/cost").text
