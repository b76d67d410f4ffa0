from __future__ import annotations

import re

from tachograph.server.service import Service
from tests.queries.views.talk import LONG
from tests.server.pages.views.spoken import spoken

_ROWS = re.compile(r'<tr id="e(\d+)">')


def test_every_event_has_a_row(service: Service) -> None:
    """In order, each leading to the whole of it; hostile text is text."""
    client, talk = spoken(service)
    shown = client.get(f"/runs/{talk.run}/events").text
    assert [int(seq) for seq in _ROWS.findall(shown)] == list(range(len(talk.events)))
    assert f"/runs/{talk.run}/events/3" in shown
    assert "<script>alert" not in shown


def test_a_kind_or_a_type_alone(service: Service) -> None:
    """A kind shows its types, a type itself; of what there is none the page says so."""
    client, talk = spoken(service)
    base = f"/runs/{talk.run}/events"
    assert _ROWS.findall(client.get(base, params={"kind": "limits"}).text) == [str(talk.at_seq["limit"])]
    assert len(_ROWS.findall(client.get(base, params={"kind": "call_ended"}).text)) == 3
    assert "None of these" in client.get(base, params={"kind": "nothing"}).text


def test_a_log_is_paged_both_ways(service: Service) -> None:
    """By seq, so that events which come meanwhile move nothing."""
    client, talk = spoken(service)
    base, last = f"/runs/{talk.run}/events", len(talk.events) - 1
    behind = client.get(base, params={"after": last - 1}).text
    assert (_ROWS.findall(behind), ">Earlier<" in behind, ">Later<" in behind) == ([str(last)], True, False)
    before = client.get(base, params={"before": 2}).text
    assert (_ROWS.findall(before), ">Earlier<" in before, ">Later<" in before) == (["0", "1"], False, True)


def test_one_event_is_whole(service: Service) -> None:
    """All of it as JSON, on a page of its own or alone; what is not there is not found."""
    client, talk = spoken(service)
    path = f"/runs/{talk.run}/events/{talk.at_seq['found']}"
    shown, alone = client.get(path).text, client.get(f"{path}?alone=true").text
    assert ("line 399" in shown, "Event before" in shown, "Next event" in shown) == (True, True, True)
    assert ("line 399" in alone, "<html" in alone, len(alone) > len(LONG)) == (True, False, True)
    raw = re.search(r'href="(/api/[^"]+)" download', shown)
    assert raw is not None
    [event] = client.get(raw[1].replace("&amp;", "&")).json()["events"]
    assert event["seq"] == talk.at_seq["found"]
    assert client.get(f"/runs/{talk.run}/events/9999").status_code == 404
