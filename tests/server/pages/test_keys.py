from __future__ import annotations

import re
from typing import Any

import pytest

from tachograph.server.callers import keys as access
from tachograph.server.service import Service
from tests.server.pages.visitor import Visitor, key, text_of

DAY = 86_400 * 1_000_000_000


def secret(html: str) -> str:
    """The key that a page shows."""
    found = re.search(r"tg_[0-9a-f]{12}_[\w-]+", html)
    assert found is not None, text_of(html)
    return found[0]


def told(visitor: Visitor) -> list[Any]:
    """What the audit says."""
    return [
        (entry["action"], entry["user"], entry["details"]["name"])
        for entry in visitor.get("/api/audit").json()["entries"]
    ]


def test_a_new_key_is_shown_once(service: Service) -> None:
    """Its text is on the page that made it, which nobody keeps; the list names it without; it opens what it says."""
    visitor = Visitor(service)
    made = visitor.submit("/system", "/system/keys", name="dashboard", scope="read", tenant="blue", days="7")
    text = secret(made.text)
    assert made.headers["cache-control"] == "no-store"
    [found] = access.keys(service.store)
    assert (found.name, found.scope, found.tenant) == ("dashboard", "read", "blue")
    assert found.expires_at is not None
    assert found.expires_at == found.created_at + 7 * DAY
    assert access.find(service.store, text, found.created_at) == found
    listed = visitor.get("/system").text
    assert found.id in listed
    assert text.rpartition("_")[2] not in listed
    assert told(visitor) == [("key_added", "local", "dashboard")]


def test_a_key_without_an_end_is_good_until_it_is_revoked(service: Service) -> None:
    """A field left blank is not given; revoking it once or twice leaves one entry in the audit."""
    visitor = Visitor(service)
    text = secret(visitor.submit("/system", "/system/keys", name="ends never", tenant="*", days="").text)
    form = visitor.hidden("/system", "/system/keys/revoke")
    for _ in range(2):
        said = visitor.post("/system/keys/revoke", data=form)
        assert (said.status_code, said.headers["location"]) == (303, "/system#keys")
    assert access.find(service.store, text, 1) is None
    assert "revoked" in text_of(visitor.get("/system").text)
    assert told(visitor) == [("key_revoked", "local", "ends never"), ("key_added", "local", "ends never")]
    assert visitor.get("/system/keys").headers["location"] == "/system#keys"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "", "tenant": "default"},
        {"name": "  ", "tenant": "default"},
        {"name": "x", "tenant": " "},
        {"name": "x", "tenant": "default", "scope": "root"},
        {"name": "x", "tenant": "default", "days": "0"},
        {"name": "x", "tenant": "default", "days": "soon"},
        {"name": "x", "tenant": "default", "more": "1"},
    ],
)
def test_what_is_no_key_is_not_made(service: Service, fields: dict[str, str]) -> None:
    """A name, a tenant, a scope that exists and a number of days: else a 422, and no key."""
    assert Visitor(service).submit("/system", "/system/keys", **fields).status_code == 422
    assert access.keys(service.store) == ()


def test_who_may_not_delete_neither_sees_nor_makes_keys(keyed: Service) -> None:
    """A key of scope write has no form, no list, and is refused when it sends one all the same."""
    key(keyed, "admin")
    visitor = Visitor(keyed, key(keyed, "write"))
    page = visitor.get("/system").text
    assert 'action="/system/keys' not in page
    assert "admin of *" not in page
    token = visitor.hidden("/system", "/key/forget")["token"]
    for path, fields in (("/system/keys", {"name": "x", "tenant": "*"}), ("/system/keys/revoke", {"id": "x"})):
        assert visitor.post(path, data={"token": token, **fields}).status_code == 403
    assert len(access.keys(keyed.store)) == 2


def test_an_admin_of_a_tenant_has_the_keys_of_that_tenant(keyed: Service) -> None:
    """It makes keys for no other, sees no other's, and cannot revoke one; its audit names its own alone."""
    key(keyed, "admin", "*")
    red = access.mint(keyed.store, "of red", "read", "red", now_ns=1, entropy=keyed.clock.entropy).key
    visitor = Visitor(keyed, key(keyed, "admin", "blue"))
    visitor.submit("/system", "/system/keys", name="mine", tenant="red", scope="admin")
    assert {each.name: each.tenant for each in access.keys(keyed.store)}["mine"] == "blue"
    page = visitor.get("/system").text
    assert "mine" in page
    assert "of red" not in page
    assert "admin of *" not in page
    token = visitor.hidden("/system", "/system/keys")["token"]
    assert visitor.post("/system/keys/revoke", data={"token": token, "id": red.id}).status_code == 404
    assert [each[2] for each in told(visitor)] == ["mine"]
