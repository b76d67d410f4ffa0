"""Who is asking, and may they.

On loopback everybody is the owner of this machine, except web pages of others: a foreign page can neither give the
server another name (Host is checked: DNS rebinding) nor read answers (no CORS) nor change anything, since changes need
a key or the same-origin token, which it cannot read. Beyond loopback every request needs a key; a browser shows it once
and is known by a cookie from then on, and its changes need the token as well.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from tachograph.server import problems
from tachograph.server.callers import visits
from tachograph.server.callers.keys import EVERY_TENANT, Key, Scope, find
from tachograph.server.problems import Refusal
from tachograph.server.service import Service

TOKEN_HEADER = "X-Tachograph-Token"  # noqa: S105 - a header's name
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tachograph"'}


class Caller(Struct, frozen=True):
    """Who asks."""

    name: str
    """The key's name, or `local`."""
    tenant: str | None
    """The one tenant that the caller sees; None is all."""
    scope: Scope
    is_visitor: bool = False
    """Whether a cookie says so."""


LOCAL = Caller("local", None, "admin")
NOBODY = Caller("nobody", "", "read")


def admit(
    service: Service, headers: Mapping[str, str], scope: Scope | None, now_ns: int, token: str | None = None
) -> Caller:
    """The caller of a request that needs this scope (None: open to everybody). Raises Refusal (401, 403).

    `token` is the same-origin token of a form; without one the header says it.
    """
    if scope is None:
        return NOBODY
    kind, _, text = headers.get("authorization", "").partition(" ")
    if kind:
        return _by_key(service, kind, text.strip(), scope, now_ns)
    token = headers.get(TOKEN_HEADER.lower(), "") if token is None else token
    cookie = visits.cookie_of(headers)
    if cookie and (key := visits.key_of(service, cookie, now_ns)) is not None:
        if scope != "read" and not _is_same(token, visits.token(service, cookie)):
            raise Refusal(403, "token-needed", "this page is older than its visit: load it again", parameter="token")
        return _allowed(key, scope, is_visitor=True)
    if service.needs_key:
        raise Refusal(
            401, "key-needed", "this server needs an access key: Authorization: Bearer tg_…", headers=_CHALLENGE
        )
    if scope != "read" and not _is_same(token, service.token):
        detail = f"a change needs an access key, or the header {TOKEN_HEADER} with what GET /api/token says"
        raise Refusal(403, "token-needed", detail, parameter=TOKEN_HEADER)
    return LOCAL


def _by_key(service: Service, kind: str, text: str, scope: Scope, now_ns: int) -> Caller:
    key = find(service.store, text, now_ns) if kind.lower() == "bearer" else None
    if key is None:
        detail = "the access key is unknown, expired or revoked; `tachograph keys` lists and makes them"
        raise Refusal(401, "key-refused", detail, parameter="Authorization", headers=_CHALLENGE)
    return _allowed(key, scope)


def token_for(service: Service, caller: Caller, headers: Mapping[str, str]) -> str:
    """What a change from a page of this caller's has to show; empty for whom a key must speak."""
    if caller.is_visitor:
        return visits.token(service, visits.cookie_of(headers))
    return service.token if caller is LOCAL else ""


def _allowed(key: Key, scope: Scope, *, is_visitor: bool = False) -> Caller:
    if not key.allows(scope):
        detail = f"the key {key.name!r} allows {key.scope}; this needs {scope}"
        raise Refusal(403, "scope-needed", detail, facts={"has": key.scope, "needs": scope})
    return Caller(key.name, None if key.tenant == EVERY_TENANT else key.tenant, key.scope, is_visitor)


def _is_same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


class Doorkeeper:
    """ASGI middleware: turns away requests that were meant for another name, or come from a page of another origin."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Check a request's Host and Origin, then let it in."""
        if scope["type"] == "http":
            refusal = self._refusal(Headers(scope=scope))
            if refusal is not None:
                await problems.response(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> Refusal | None:
        host = headers.get("host", "")
        name = _name(host)
        # A page can make a name of its own mean this machine, but not an address.
        if name not in self._service.hosts and not _is_address(name):
            detail = f"this server is not {host!r}; start it with --allow-host to give it that name"
            return Refusal(421, "wrong-host", detail, parameter="Host")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return Refusal(403, "foreign-origin", f"pages of {origin!r} may not ask this server", parameter="Origin")
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
