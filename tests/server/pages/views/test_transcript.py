from __future__ import annotations

import pytest

from tachograph.server.service import Service
from tests.queries.kept import batch
from tests.queries.views.talk import LONG
from tests.server.pages.views.spoken import spoken
from tests.strategies import Tape


def test_a_transcript_says_it_once(service: Service) -> None:
    """System prompt and tools stand once, a reminder as one, a result beside its call, hostile text as text."""
    client, talk = spoken(service)
    shown = client.get(f"/runs/{talk.run}/transcript")
    assert (shown.status_code, "Content-Security-Policy" in shown.headers) == (200, True)
    assert shown.text.count("You are the desk.") == 2  # its summary and itself
    assert shown.text.count("2 tools") == 1
    assert shown.text.count("in this request only") == 1
    assert "<script>alert" not in shown.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \ufffdgnp.exe" in shown.text
    assert "3 messages as before" in shown.text
    assert "line 5 of what was found" in shown.text
    assert "line 399" not in shown.text
    assert f"Show all {len(LONG):,} characters" in shown.text


def test_one_call_and_what_it_saw(service: Service) -> None:
    """What was repeated is folded, what is new is not; the calls before and behind are a link away."""
    client, talk = spoken(service)
    at = talk.at_seq
    shown = client.get(f"/runs/{talk.run}/transcript", params={"call": at["second"]}).text
    assert "2 messages as before" in shown
    assert "New in this request" in shown
    for near in ("first", "third"):
        assert f"/runs/{talk.run}/transcript?call={at[near]}" in shown
    assert client.get(f"/runs/{talk.run}/transcript", params={"call": at["search"]}).status_code == 404


def test_a_message_is_a_link_away(service: Service) -> None:
    """Around a message that is named, and the whole of one, with or without the page around it."""
    client, talk = spoken(service)
    base = f"/runs/{talk.run}/transcript"
    assert (
        f'id="m{talk.at_seq["user"]}" tabindex="-1" autofocus' in client.get(f"{base}?seq={talk.at_seq['user']}").text
    )
    whole = client.get(f"{base}/{talk.at_seq['found']}").text
    assert ("line 399" in whole, "As it was recorded" in whole) == (True, True)
    alone = client.get(f"{base}/{talk.at_seq['found']}?alone=true").text
    assert ("line 399" in alone, "<html" in alone) == (True, False)
    assert f'id="p{talk.at_seq["found"]}-0-0"' in alone


@pytest.mark.parametrize("seq", ["4", "x", "-1", "99999", "9" * 30])
def test_what_is_no_message_is_refused(service: Service, seq: str) -> None:
    """Another event, and what is no number."""
    client, talk = spoken(service)
    assert client.get(f"/runs/{talk.run}/transcript/{seq}").status_code in {404, 422}


def test_a_long_run_is_paged(service: Service) -> None:
    """The first part leads to the next one and to the end, and back."""
    client, _ = spoken(service)
    tape = Tape("long")
    tape.begin()
    tip = None
    for number in range(120):
        tip = tape.say("user", {"role": "user", "content": f"q{number}."}, tip)
        tape.reply(tape.call(input=tip))
    service.store.append(batch(tape.events))
    first = client.get(f"/runs/{tape.run}/transcript").text
    assert ("q0." in first, "q119." in first, ">Later<" in first, ">Earlier<" in first) == (True, False, True, False)
    last = client.get(f"/runs/{tape.run}/transcript", params={"before": len(tape.events)}).text
    assert ("q119." in last, "q0." in last, ">Later<" in last, ">Earlier<" in last) == (True, False, False, True)


def test_a_run_in_which_nothing_was_said(service: Service) -> None:
    """The page says so; a run that is not there is not found."""
    client, _ = spoken(service)
    tape = Tape("silent")
    tape.begin()
    service.store.append(batch(tape.events))
    assert "Nothing was said" in client.get(f"/runs/{tape.run}/transcript").text
    assert client.get("/runs/nobody/transcript").status_code == 404
