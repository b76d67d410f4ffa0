from __future__ import annotations

from collections.abc import Mapping

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tachograph.server.callers.access import LOCAL, NOBODY, Caller, Doorkeeper, admit
from tachograph.server.callers.keys import EVERY_TENANT, Scope, mint, revoke
from tachograph.server.problems import Refusal
from tachograph.server.service import Service
from tachograph.testing import CountIds
from tests.server.serving import service_over


@pytest.fixture
def open_service() -> Service:
    """A service on loopback."""
    return service_over()


@pytest.fixture
def closed_service() -> Service:
    """A service that needs a key."""
    return service_over(needs_key=True)


def refused(service: Service, headers: Mapping[str, str], scope: Scope) -> tuple[int, str]:
    """Status and kind of the refusal."""
    with pytest.raises(Refusal) as caught:
        admit(service, headers, scope, 1)
    return caught.value.problem.status, caught.value.problem.type.rpartition(":")[2]


def test_on_loopback_everybody_may_read(open_service: Service) -> None:
    """Without a key, a request from this machine reads everything."""
    assert admit(open_service, {}, "read", 1) == LOCAL


def test_a_change_needs_the_token_or_a_key(open_service: Service) -> None:
    """Writing without either is refused, also with a wrong token; the right one opens everything."""
    assert refused(open_service, {}, "write") == (403, "token-needed")
    assert refused(open_service, {"x-tachograph-token": "wrong"}, "admin") == (403, "token-needed")
    assert admit(open_service, {"x-tachograph-token": open_service.token}, "admin", 1) == LOCAL


def test_beyond_loopback_nothing_opens_without_a_key(closed_service: Service) -> None:
    """Where keys are needed, the token is worth nothing and reading needs one too; what is open stays open."""
    assert refused(closed_service, {"x-tachograph-token": closed_service.token}, "read") == (401, "key-needed")
    assert admit(closed_service, {}, None, 1) == NOBODY


@pytest.mark.parametrize("needs_key", [False, True])
def test_a_key_says_who_asks_and_for_whom(needs_key: bool) -> None:
    """The tenant is the key's; a key for every tenant sees all."""
    service = service_over(needs_key=needs_key)
    entropy = CountIds()
    one = mint(service.store, "blue app", "write", "blue", now_ns=1, entropy=entropy)
    every = mint(service.store, "owner", "admin", EVERY_TENANT, now_ns=1, entropy=entropy)
    callers = [admit(service, {"authorization": f"Bearer {key.text}"}, "write", 2) for key in (one, every)]
    assert callers == [Caller("blue app", "blue", "write"), Caller("owner", None, "admin")]


def test_a_key_opens_no_more_than_it_says(open_service: Service) -> None:
    """Too narrow a scope is a 403; an unknown, revoked or malformed key a 401, on loopback too."""
    entropy = CountIds()
    reader = mint(open_service.store, "reader", "read", "blue", now_ns=1, entropy=entropy)
    assert refused(open_service, {"authorization": f"Bearer {reader.text}"}, "write") == (403, "scope-needed")
    revoke(open_service.store, reader.key.id, 1)
    for text in (f"Bearer {reader.text}", "Bearer nonsense", f"Basic {reader.text}", "Bearer"):
        assert refused(open_service, {"authorization": text}, "read") == (401, "key-refused")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:4319"}, 200),
        ({"host": "127.0.0.1:4319"}, 200),
        ({"host": "[::1]:4319"}, 200),
        ({"host": "192.0.2.7"}, 200),
        ({"host": "traces.example.com"}, 200),
        ({"host": "evil.example.com"}, 421),
        ({"host": ""}, 421),
        ({"host": "localhost:4319", "origin": "http://localhost:4319"}, 200),
        ({"host": "localhost:4319", "origin": "http://localhost:9999"}, 403),
        ({"host": "localhost:4319", "origin": "https://evil.example.com"}, 403),
        ({"host": "localhost:4319", "origin": "null"}, 403),
    ],
)
def test_requests_for_others_and_from_foreign_pages_are_turned_away(headers: dict[str, str], status: int) -> None:
    """Names of this server and addresses pass; other names are a rebound page's, other origins a foreign page's."""
    service = service_over(hosts=frozenset({"localhost", "traces.example.com"}))

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/", hello)], middleware=[Middleware(Doorkeeper, service=service)])
    assert TestClient(app).get("/", headers=headers).status_code == status
