"""A visit: a browser that has shown an access key once, and is known by a cookie for some hours.

The cookie names the key and says until when, signed with a secret that this process made: it opens nothing once the key
is revoked or expired, or the server was started again. It holds nothing that could be shown anywhere else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from starlette.requests import cookie_parser

from tachograph.server.callers.keys import Key, known
from tachograph.server.service import Service

COOKIE = "tachograph_visit"
SECONDS = 12 * 3_600
"""How long a visit lasts."""
_NS = 1_000_000_000


def begun(service: Service, key: Key, now_ns: int) -> str:
    """The value of the cookie for whoever has just shown this key."""
    said = f"{key.id}.{now_ns // _NS + SECONDS}"
    return f"{said}.{_signed(service, 'visit', said)}"


def cookie_of(headers: Mapping[str, str]) -> str:
    """The cookie that a request came with; empty for none."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def key_of(service: Service, cookie: str, now_ns: int) -> Key | None:
    """The key that was shown; None where the cookie is not of this server, or is over, or the key is."""
    said, _, signature = cookie.rpartition(".")
    number, _, until = said.partition(".")
    if not until.isdecimal() or not hmac.compare_digest(signature.encode(), _signed(service, "visit", said).encode()):
        return None
    return known(service.store, number, now_ns) if now_ns < int(until) * _NS else None


def token(service: Service, cookie: str) -> str:
    """The same-origin token of this visit: no other visit's will do."""
    return _signed(service, "token", cookie)


def _signed(service: Service, what: str, text: str) -> str:
    return hmac.new(service.token.encode(), f"{what} {text}".encode(), hashlib.sha256).hexdigest()
