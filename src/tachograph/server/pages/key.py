"""`/key`: a browser shows an access key once, and is a visitor from then on."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.server.callers import visits
from tachograph.server.callers.keys import find
from tachograph.server.endpoint import Ask, Nothing
from tachograph.server.pages.site import moved, page, shown
from tachograph.web import links

Next = Annotated[str, Meta(max_length=2_000)]


class KeyAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go afterwards."""

    next: Next = links.OVERVIEW


class KeyShown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the form sends."""

    key: Annotated[str, Meta(max_length=500)] = ""
    next: Next = links.OVERVIEW


def _ask_for_it(ask: Ask) -> Response:
    return _form(ask, ask.asked.next)


def _begin(ask: Ask) -> Response:
    given = ask.filled(KeyShown)
    key = find(ask.service.store, given.key.strip(), ask.now)
    if key is None:
        return _form(ask, given.next, status=401)
    answer = moved(_inside(given.next))
    answer.set_cookie(
        visits.COOKIE, visits.begun(ask.service, key, ask.now), max_age=visits.SECONDS, httponly=True, samesite="lax",
        secure=ask.is_secure,
    )  # fmt: skip
    return answer


def _form(ask: Ask, where: str, status: int = 200) -> Response:
    return shown(
        ask, "key.html", title="Access key", next=_inside(where), refused=status == 401, status=status,
        is_needed=ask.service.needs_key, hours=visits.SECONDS // 3_600,
    )  # fmt: skip


def _forget(ask: Ask) -> Response:
    answer = moved(links.KEY)
    answer.delete_cookie(visits.COOKIE)
    return answer


def _inside(path: str) -> str:
    """A path of this server; the overview for an address that leads elsewhere."""
    leads_away = not path.startswith("/") or path[1:2] in {"/", "\\"} or any(ord(letter) < 33 for letter in path)
    return links.OVERVIEW if leads_away else path


ENDPOINTS = (
    page(links.KEY, "Asks for an access key.", _ask_for_it, asks=KeyAsked, is_open=True),
    page(links.KEY, "Begins a visit.", _begin, method="POST", takes=KeyShown, is_open=True),
    page(f"{links.KEY}/forget", "Ends a visit.", _forget, method="POST", takes=Nothing, is_open=True),
)
