from __future__ import annotations

import re
from html import unescape
from urllib.parse import urljoin

import httpx2
import pytest

from tachograph.server.pages import overview
from tachograph.server.service import Service
from tests.queries.kept import batch
from tests.queries.overview.three import filled
from tests.server.conftest import Serve
from tests.strategies import Tape

PERIOD = "/?start_date=2025-06-15&end_date=2025-06-17"


def _read(client: httpx2.Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return unescape(answer.text)


def _figures(text: str) -> dict[str, str]:
    found = re.findall(r"<dt>([^<]+)</dt><dd>(?:<a [^>]+>)?([^<]+)<", text)
    return {name: value.strip() for name, value in found}


def _links(text: str, path: str) -> list[str]:
    return sorted(set(re.findall(rf'href="({path}\?[^"]*)"', text)))


def test_nothing_was_recorded(serve: Serve, service: Service) -> None:
    """Without a run there are no figures, and no zeros that look like some."""
    with httpx2.Client(base_url=serve(service)) as client:
        text = _read(client, "/")
        assert "Nothing is recorded yet" in text
        assert _figures(text) == {}


def test_figures_of_a_period(serve: Serve, service: Service) -> None:
    """The dates of the address are the period, and stand in the form."""
    filled(service.store)
    with httpx2.Client(base_url=serve(service)) as client:
        text = _read(client, PERIOD)
        figures = _figures(text)
        assert (figures["Runs"], figures["Success rate"], figures["Cost"]) == ("3", "100.0 %", "$0.000018")
        assert 'name="start_date" step="1" value="2025-06-15T00:00:00"' in text
        assert 'name="end_date" step="1" value="2025-06-17T23:59:59"' in text
        assert _figures(_read(client, "/?start_date=2025-06-16&end_date=2025-06-16"))["Runs"] == "1"
        assert _figures(_read(client, "/?period=30d"))["Runs"] == "0"


def test_records_of_the_past_are_found(serve: Serve, service: Service) -> None:
    """Unasked, the page shows the time around the newest run, and says so."""
    filled(service.store)
    with httpx2.Client(base_url=serve(service)) as client:
        text = _read(client, "/")
        assert "This is the time around the newest one." in text
        assert _figures(text)["Runs"] == "3"


@pytest.mark.parametrize("refreshed", [False, True])
def test_links_lead_to_what_is_counted(serve: Serve, service: Service, refreshed: bool) -> None:
    """Every list that is linked to exists, and every table's number is the length of the list behind it."""
    filled(service.store)
    if refreshed:
        service.store.refresh(service.clock.now())
    with httpx2.Client(base_url=serve(service)) as client:
        text = _read(client, PERIOD)
        counted = {
            href: int(number.replace(",", ""))
            for href, number in re.findall(r'<td class="number"><a href="(/[^"]*)">([\d,]+)<', text)
        }
        assert len(counted) >= 8
        for href, number in counted.items():
            rows = _read(client, href).partition("<tbody>")[2].partition("</tbody>")[0]
            assert rows.count("<tr") == number, href
        for href in (*_links(text, "/runs"), *_links(text, "/steps"), *_links(text, "/")):
            _read(client, href)


def test_one_agent(serve: Serve, service: Service) -> None:
    """Limited to an agent, everything is its own; a link leads back to all."""
    filled(service.store)
    with httpx2.Client(base_url=serve(service)) as client:
        text = _read(client, f"{PERIOD}&agent_type=clerk")
        assert _figures(text)["Runs"] == "1"
        assert all("agent_type=clerk" in href for href in _links(text, "/steps"))
        assert '<input type="hidden" name="agent_type" value="clerk">' in text
        assert "gpt-5" in text
        assert "gpt-4o" not in text


def test_charts_are_drawn_without_scripts(serve: Serve, service: Service) -> None:
    """Six charts are in the page as pictures with a name, and all their points as a table under an address."""
    filled(service.store)
    with httpx2.Client(base_url=serve(service)) as client:
        text = _read(client, PERIOD)
        assert len(re.findall(r'<div class="plot" role="img" aria-label="[^"]+ per [^"]+"', text)) == 6
        [address] = [href for href in _links(text, "/") if "view=table" in href]
        table = _read(client, address)
        assert "<figure" not in table
        assert table.count("<tr>") > 72


def test_a_large_period_comes_in_parts(serve: Serve, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes longer comes afterwards: a script asks for the part, and a link leads to the part alone."""
    monkeypatch.setattr(overview, "MANY", 1)
    filled(service.store)
    with httpx2.Client(base_url=serve(service)) as client:
        base = str(client.base_url)
        text = _read(client, PERIOD)
        parts = re.findall(r'hx-get="([^"]+)"', text)
        alone = [href for href in _links(text, "/") if re.search("view=(agents|models|stops|slow)", href)]
        assert (len(parts), len(alone)) == (3, 3)
        for address, whole in zip(sorted(parts), sorted(alone), strict=True):
            part = _read(client, urljoin(base, address))
            assert "<html" not in part
            assert "<table>" in part
            assert part.strip() in _read(client, urljoin(base, whole))


def test_recorded_text_is_never_markup(serve: Serve, service: Service) -> None:
    """Names that agents, models and errors give themselves are shown, not run."""
    bad = '"><script>alert(1)</script>'
    tape = Tape("one")
    tape.begin(bad, agent_type=bad)
    tape.reply(tape.call(bad, bad, agent_type=bad))
    tape.finish(stop_reason=bad)
    service.store.append(batch(tape.events))
    with httpx2.Client(base_url=serve(service)) as client:
        for address in ("/", "/?agent_type=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/steps?kind=llm", "/steps"):
            answer = client.get(address)
            assert answer.status_code == 200
            assert "<script>alert" not in answer.text
            assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("query", ["period=2d", "start_date=yesterday", "view=all", "colour=red"])
def test_what_cannot_be_asked(serve: Serve, service: Service, query: str) -> None:
    """A period that is none is refused by a page that names it."""
    filled(service.store)
    with httpx2.Client(base_url=serve(service)) as client:
        answer = client.get(f"/?{query}")
        assert answer.status_code == 422
        assert query.partition("=")[0] in answer.text
