from __future__ import annotations

import re
from html import unescape
from typing import Any

from starlette.testclient import TestClient

from tachograph.server.app import build
from tachograph.server.callers.keys import Scope, mint
from tachograph.server.service import Service
from tachograph.testing import CountIds
from tests.queries.kept import batch
from tests.queries.views.talk import Talk
from tests.server.api.test_sessions import led
from tests.server.pages.views.spoken import HERE, spoken
from tests.strategies import Tape

_FIELD = re.compile(r'<input type="(?:hidden|checkbox)" name="([a-z_]+)" value="([^"]*)"( checked)?')


def _client(service: Service) -> TestClient:
    return TestClient(build(service), base_url=HERE, follow_redirects=False)


def _confirmed(client: TestClient, what: str, **chosen: str) -> Any:
    """Ask for the form, and send it with the boxes that are checked in it, and these."""
    page = client.get("/session", params={"id": "s", "tenant": "default", "confirm": what}).text
    form = page.partition(f'action="/session/{what}"')[2].partition("</form>")[0]
    fields = {
        name: unescape(value) for name, value, checked in _FIELD.findall(form)
        if checked or name in {"token", "id", "tenant"}
    }  # fmt: skip
    return client.post(f"/session/{what}", data={**fields, **chosen})


def test_a_conversation_across_runs(service: Service) -> None:
    """Each run is a link, with what went in, who it was handed to and what came out; hostile text is text."""
    client, talk = spoken(service, session="s <b>")
    shown = client.get("/session", params={"id": "s <b>"})
    assert shown.status_code == 200
    for said in ("s &lt;b&gt;", f'href="/runs/{talk.run}"', "Where is it?", "Handed to billing", "It is on its way."):
        assert said in shown.text
    assert "s <b>" not in shown.text
    assert client.get("/session", params={"id": "nobody"}).status_code == 404
    assert client.get("/session").status_code == 422


def test_how_a_session_stands(service: Service) -> None:
    """Its state, who speaks next, what was counted, and where its conversation stands."""
    made = led(service)
    shown = unescape(_client(service).get("/session", params={"id": "s"}).text)
    for said in ('{"of":"default"}', "<strong>desk</strong>", "<td>Runs</td>", f"/runs/{made.id}/transcript?seq=3"):
        assert said in shown


def test_a_session_is_closed_reopened_and_reset(service: Service) -> None:
    """Each after it was confirmed, by a form with the page's token; the audit knows."""
    led(service)
    client = _client(service)
    page = client.get("/session", params={"id": "s"}).text
    assert ("confirm=close" in page, "confirm=reset" in page, "<form class" in page) == (True, True, False)
    done = _confirmed(client, "close")
    assert (done.status_code, done.headers["location"]) == (303, "/session?id=s&tenant=default")
    closed = client.get(done.headers["location"]).text
    assert ('class="status closed"' in closed, "confirm=reopen" in closed) == (True, True)
    assert _confirmed(client, "reopen").status_code == 303
    assert _confirmed(client, "reset", state="true").status_code == 303
    detail = client.get("/api/sessions/s").json()
    assert (detail["session"]["status"], detail["counts"][0]["total"], detail["state"]) == ("active", 0, {})
    assert detail["session"]["head"]["history"] is not None
    entries = client.get("/api/audit").json()["entries"]
    assert [entry["action"] for entry in reversed(entries)] == ["session_closed", "session_reopened", "session_reset"]


def test_nothing_changes_without_the_token(service: Service) -> None:
    """A form that another page made is refused, and so is asking by address."""
    led(service)
    client = _client(service)
    for token in ({}, {"token": "guessed"}):
        assert client.post("/session/close", data={"id": "s", **token}).status_code in {401, 403}
    assert client.get("/session/close").status_code == 405
    assert client.get("/api/sessions/s").json()["session"]["head"]["status"] == "active"


def test_a_session_that_was_only_recorded_has_nothing_to_close(service: Service) -> None:
    """No form is offered, and one that is sent all the same finds nothing."""
    client, _ = spoken(service, session="s")
    page = client.get("/session", params={"id": "s", "confirm": "close"}).text
    assert ("<form class" in page, "No program keeps a state" in page) == (False, True)
    assert client.post("/session/close", data={"id": "s", "token": service.token}).status_code == 404


def test_who_may_only_read_is_offered_nothing(keyed: Service) -> None:
    """Neither a button nor a form; who may write may not reset."""
    led(keyed)
    seen: dict[str, tuple[bool, ...]] = {}
    scopes: tuple[Scope, ...] = ("read", "write", "admin")
    for scope in scopes:
        client = _client(keyed)
        key = mint(keyed.store, scope, scope, "default", now_ns=1, entropy=CountIds()).text
        assert client.post("/key", data={"key": key}).status_code == 303
        page = client.get("/session", params={"id": "s"}).text
        form = client.get("/session", params={"id": "s", "confirm": "reset"}).text
        seen[scope] = ("confirm=close" in page, "confirm=reset" in page, "<form class" in form)
    assert seen == {"read": (False, False, False), "write": (True, False, False), "admin": (True, True, True)}


def test_several_tenants_have_one_of_this_id(service: Service) -> None:
    """Each is a link."""
    for tenant in ("blue", "red"):
        service.store.append(batch(Talk(tenant, session="s", tenant=tenant).events))
    shown = _client(service).get("/session", params={"id": "s"}).text
    assert ("id=s&amp;tenant=blue" in shown, "id=s&amp;tenant=red" in shown) == (True, True)


def test_a_long_conversation_is_paged(service: Service) -> None:
    """The newest runs first of all, the earlier ones a link away."""
    tapes = []
    for number in range(25):
        tape = Tape(f"turn {number}", at=1_750_000_000_000_000_000 + number * 10**9)
        tape.begin(f"turn-{number}.", session="s")
        tapes.append(tape.events)
    service.store.append(batch(*tapes))
    client = _client(service)
    newest = client.get("/session", params={"id": "s"}).text
    assert ("turn-24." in newest, "turn-4." in newest) == (True, False)
    earlier = re.search(r'href="([^"]+)" rel="prev"', newest)
    assert earlier is not None
    older = client.get(unescape(earlier[1])).text
    assert ("turn-24." in older, "turn-4." in older, "turn-0." in older, "The newest" in older) == (
        False,
        True,
        True,
        True,
    )
