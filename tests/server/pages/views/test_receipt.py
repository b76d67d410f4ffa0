from __future__ import annotations

import pytest

from tachograph.server.pages.views import receipt
from tachograph.server.service import Service
from tests.server.pages.views.spoken import spoken


def test_a_receipt_stands_in_the_page(service: Service) -> None:
    """What was recorded and what was not, and what that can promise."""
    client, talk = spoken(service)
    shown = client.get(f"/runs/{talk.run}/receipt").text
    assert f"{len(talk.events)} events, none missing" in shown
    assert ">complete<" in shown
    assert "What it can promise" in shown


def test_a_long_log_is_read_when_somebody_asks(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page comes without it, and leads to it; alone it is a part of a page."""
    monkeypatch.setattr(receipt, "AT_ONCE", 3)
    client, talk = spoken(service)
    path = f"/runs/{talk.run}/receipt"
    waits = client.get(path).text
    assert (">complete<" in waits, f'href="{path}?whole=true"' in waits) == (False, True)
    assert ">complete<" in client.get(path, params={"whole": "true"}).text
    alone = client.get(path, params={"alone": "true"}).text
    assert (">complete<" in alone, "<html" in alone) == (True, False)
