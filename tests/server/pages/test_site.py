from __future__ import annotations

import re

import pytest

from tachograph.server.pages.site import HEADERS
from tachograph.server.service import Service
from tests.server.pages.visitor import HERE, Visitor, key
from tests.server.recorded import recorded

CHANGES = ("/system/keys", "/system/keys/revoke", "/system/prune", "/runs/last/delete")
"""Forms that change something: as good as any other."""


@pytest.mark.parametrize(
    "path", ["/runs", "/system", "/key", "/runs/nobody", "/static/x/page.css", "/static/x/nothing"]
)
def test_every_page_has_the_strict_headers(service: Service, path: str) -> None:
    """Nothing inline runs, nothing is framed, sniffed or fetched from elsewhere; problems are no exception."""
    answer = Visitor(service).get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == {
        **HEADERS,
        "Cache-Control": answer.headers["cache-control"],
    }
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_no_page_has_anything_inline(service: Service) -> None:
    """No script text, no style attribute, no handler: what an agent wrote could not become one."""
    run = recorded(service, said="<script>alert(1)</script>")
    for path in ("/runs", "/system?whole=true", f"/runs/{run.id}", f"/runs/{run.id}/delete", "/system/start"):
        html = Visitor(service).get(path).text
        assert re.findall(r"<script(?![^>]* src=)", html) == []
        assert re.findall(r"""\s(?:style|on[a-z]+)=["']""", html) == []
        assert re.findall(r'(?:src|href|action)="(?:https?:)?//', html) == []


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_needs_the_token_of_its_page(service: Service, keyed: Service, path: str) -> None:
    """On this machine and with a visit alike: a form without it, or with another's, changes nothing."""
    fields = {"name": "x", "id": "x", "seen": 0, "at": 1}
    other = Visitor(keyed, key(keyed)).hidden("/system", "/system/keys")["token"]
    for visitor in (Visitor(service), Visitor(keyed, key(keyed))):
        for token in ({}, {"token": "wrong"}, {"token": other}):
            said = visitor.post(path, data={**fields, **token})
            assert said.status_code == 403, said.text
            assert said.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": HERE}, 303),
        ({}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
    ],
)
def test_a_change_comes_from_a_page_of_this_server(service: Service, headers: dict[str, str], status: int) -> None:
    """Even with the right token, a form of another origin or under another name is turned away."""
    visitor = Visitor(service)
    made = visitor.submit("/system", "/system/keys", name="first", tenant="default")
    number = re.search(r"tg_([0-9a-f]{12})_", made.text)
    assert number is not None
    form = visitor.hidden("/system", "/system/keys/revoke")
    assert form["id"] == number[1]
    assert visitor.post("/system/keys/revoke", data=form, headers=headers).status_code == status


def test_a_form_is_a_form(service: Service) -> None:
    """Another media type, which a page of another site could send too, is refused before anything is read."""
    said = Visitor(service).post("/system/keys", json={"name": "x"})
    assert said.status_code == 415


def test_a_problem_is_a_page(service: Service, keyed: Service) -> None:
    """What is not there, or not understood, is said on a page that leads back; a store is not named beyond here."""
    missing = Visitor(service).get("/runs/nothing-like-it")
    assert (missing.status_code, "To the overview" in missing.text) == (404, True)
    unknown = Visitor(service).get("/runs", params={"no_such_filter": "1"})
    assert (unknown.status_code, "no_such_filter" in unknown.text) == (422, True)
    narrow = Visitor(keyed, key(keyed, "read")).get("/system/prune")
    assert (narrow.status_code, "this needs admin" in narrow.text) == (403, True)


def test_a_program_with_a_key_gets_pages_too(keyed: Service) -> None:
    """A key in the header opens them as a visit does; it is given no forms, since its requests need no token."""
    page = Visitor(keyed).get("/system", headers={"Authorization": f"Bearer {key(keyed)}"})
    assert page.status_code == 200
    assert 'name="token"' not in page.text
    refused = Visitor(keyed).get("/system", headers={"Authorization": "Bearer tg_no"})
    assert (refused.status_code, refused.headers["location"]) == (303, "/key?next=%2Fsystem")
