"""What makes an endpoint a page: HTML behind strict headers, problems that are pages too, a key asked for once.

Nothing but our own scripts and styles runs on a page, whatever an agent wrote: the policy forbids everything inline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tachograph.server.callers.access import NOBODY, Caller, token_for
from tachograph.server.callers.keys import Scope
from tachograph.server.endpoint import FORM, Ask, Endpoint, Nothing
from tachograph.server.problems import Refusal
from tachograph.server.service import Service
from tachograph.version import VERSION
from tachograph.web import links
from tachograph.web.assets import missing, stamp
from tachograph.web.render import Frame, render

MEDIA = "text/html; charset=utf-8"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # A browser that sends no referrer sends no Origin with a form either, and changes are known by theirs.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


def page(
    path: str,
    about: str,
    handler: Callable[[Ask], Response],
    *,
    asks: type[Struct] = Nothing,
    method: Any = "GET",
    scope: Scope = "read",
    takes: type[Struct] | None = None,
    is_open: bool = False,
) -> Endpoint:
    """An endpoint for browsers. With `takes` it is a form, which has to bring the token that its page gave it."""
    return Endpoint(
        name=f"{method} {path}", method=method, path=path, about=about, handler=handler, gives=str, asks=asks,
        takes=takes, takes_media=(FORM,), media=MEDIA, scope=scope, tag="pages", open=is_open, blank=True,
        refuse=refused,
    )  # fmt: skip


def shown(ask: Ask, template: str, *, here: str = "", status: int = 200, **values: Any) -> Response:
    """The page, or the part of one; `here` is its path in the navigation."""
    frame = _frame(ask.service, ask.caller, ask.headers, here)
    return Response(render(template, frame=frame, **values), status, HEADERS, MEDIA)


def moved(where: str) -> Response:
    """What a form answers with: look there now."""
    return RedirectResponse(where, 303, {"Cache-Control": "no-store"})


def refused(service: Service, request: Request, refusal: Refusal) -> Response:
    """A problem as a page; who needs a key is asked for it."""
    problem = refusal.problem
    if problem.status == 401 and request.method == "GET":
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return moved(f"{links.KEY}?next={quote(back, safe='')}")
    frame = _frame(service, NOBODY, request.headers, "")
    text = render("problem.html", frame=frame, title=problem.title, detail=problem.detail or problem.title)
    return Response(text, problem.status, {**HEADERS, **_passed(refusal.headers)}, MEDIA)


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "WWW-Authenticate"}


def _frame(service: Service, caller: Caller, headers: Mapping[str, str], here: str) -> Frame:
    token = token_for(service, caller, headers)
    return Frame(
        here=here,
        static=f"/static/{stamp()}",
        missing=missing(),
        caller=caller.name,
        tenant=caller.tenant or None,
        may_write=bool(token) and caller.scope in {"write", "admin"},
        may_delete=bool(token) and caller.scope == "admin",
        token=token,
        is_visitor=caller.is_visitor,
        version=VERSION,
    )
