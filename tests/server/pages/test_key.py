from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tachograph.server.callers import visits
from tachograph.server.callers.keys import mint, revoke
from tachograph.server.service import Service
from tachograph.testing import CountIds
from tests.server.conftest import Serve
from tests.server.pages.visitor import Visitor, key, text_of


def attributes(answer: Any) -> set[str]:
    """Those of the cookie that an answer sets."""
    return {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}


def test_a_page_asks_for_a_key_once(keyed: Service) -> None:
    """Whoever has none is led to the form; with the key the page that was wanted opens, and every other one."""
    visitor = Visitor(keyed)
    sent = visitor.get("/runs?status=failed&agent_type=a%26b")
    assert (sent.status_code, sent.headers["location"]) == (
        303,
        "/key?next=%2Fruns%3Fstatus%3Dfailed%26agent_type%3Da%2526b",
    )
    assert "This server needs an access key" in visitor.get(sent.headers["location"]).text
    begun = visitor.submit(sent.headers["location"], "/key", key=f" {key(keyed, 'read')}\n")
    assert (begun.status_code, begun.headers["location"]) == (303, "/runs?status=failed&agent_type=a%26b")
    assert {visitor.get(path).status_code for path in ("/runs", "/system", "/api/runs")} == {200}


def test_a_server_that_needs_no_key_does_not_say_that_it_does(service: Service, keyed: Service) -> None:
    """Where everybody may come in the form says so; either way it says for how long a browser is known."""
    free, needed = (text_of(Visitor(each).get("/key").text) for each in (service, keyed))
    assert ("needs an access key" in free, "nobody needs one" in free) == (False, True)
    assert ("needs an access key" in needed, "nobody needs one" in needed) == (True, False)
    assert all("known for 12 hours" in each for each in (free, needed))


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(keyed: Service) -> None:
    """It is HttpOnly and SameSite, ends by itself, is for the whole site, and over HTTPS never travels in the clear."""
    text = key(keyed)
    plain = Visitor(keyed).post("/key", data={"key": text})
    safe = Visitor(keyed, address="https://localhost").post("/key", data={"key": text})
    assert attributes(plain) == {"httponly", "samesite=lax", f"max-age={visits.SECONDS}", "path=/"}
    assert attributes(safe) == attributes(plain) | {"secure"}
    assert plain.headers["cache-control"] == "no-store"


def test_behind_a_proxy_that_speaks_https_the_cookie_is_safe_too(keyed: Service, serve: Serve) -> None:
    """A proxy of this machine says how it was asked."""
    with httpx2.Client(base_url=serve(keyed)) as client:
        said = client.post("/key", data={"key": key(keyed)}, headers={"X-Forwarded-Proto": "https"})
    assert "secure" in attributes(said)


@pytest.mark.parametrize("text", ["", "nonsense", "tg_000000000000_wrong"])
def test_a_wrong_key_opens_nothing(keyed: Service, text: str) -> None:
    """The form says so and stays, what was wanted is not lost, and there is no cookie."""
    key(keyed)
    said = Visitor(keyed).post("/key", data={"key": text, "next": "/system"})
    assert said.status_code == 401
    assert "unknown, expired or revoked" in said.text
    assert 'name="next" value="/system"' in said.text
    assert "set-cookie" not in said.headers


@pytest.mark.parametrize(
    "away", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "evil", "/ok\r\nX: y"]
)
def test_it_leads_nowhere_else(keyed: Service, away: str) -> None:
    """An address that is not a path of this server becomes the overview."""
    assert Visitor(keyed).post("/key", data={"key": key(keyed), "next": away}).headers["location"] == "/"
    assert 'name="next" value="/"' in Visitor(keyed).get("/key", params={"next": away}).text


def test_signing_out_ends_the_visit(keyed: Service) -> None:
    """Every page has the button; afterwards the key is asked for again."""
    visitor = Visitor(keyed, key(keyed))
    assert visitor.submit("/system", "/key/forget").headers["location"] == "/key"
    assert visitor.get("/system").status_code == 303


def test_a_revoked_key_ends_its_visits_at_once(keyed: Service) -> None:
    """The next page asks for a key again."""
    made = mint(keyed.store, "gone", "admin", "*", now_ns=1, entropy=CountIds())
    visitor = Visitor(keyed, made.text)
    assert visitor.get("/system").status_code == 200
    revoke(keyed.store, made.key.id, 2)
    assert visitor.get("/system").headers["location"].startswith("/key?next=")


def test_on_this_machine_nobody_is_asked(service: Service) -> None:
    """Without keys there is nothing to sign out of."""
    page = Visitor(service).get("/system")
    assert page.status_code == 200
    assert "Sign out" not in text_of(page.text)
