"""What leads to the first run: shown by pages whose list is empty, as long as the store is."""

from __future__ import annotations

from starlette.responses import Response

from tachograph.queries.runs import NO_AUDIT
from tachograph.server.callers.access import LOCAL
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.server.problems import Refusal
from tachograph.store.query import Query
from tachograph.web import links
from tachograph.web.first import First


def first_run(ask: Ask) -> First | None:
    """What to do first; None as soon as the caller has a run."""
    if ask.store.find(Query("runs", (NO_AUDIT,), ("pk",), limit=1)).rows:
        return None
    return first_steps(ask)


def first_steps(ask: Ask) -> First:
    """How to record, for whoever asks."""
    is_here = ask.caller is LOCAL
    scheme = "https" if ask.is_secure else "http"
    return First(
        address=f"{scheme}://{ask.headers.get('host', '')}",
        store=ask.service.settings.store if is_here else "",
        is_here=is_here,
    )


def _start(ask: Ask) -> Response:
    return shown(ask, "system/start.html", here=links.SYSTEM, title="How to record", first=first_steps(ask))


def _logs(ask: Ask) -> Response:
    if ask.caller is not LOCAL:
        raise Refusal(403, "scope-needed", "what lies on the server's machine is told to nobody else")
    return shown(ask, "system/logs.html", left=ask.service.left_here())


ENDPOINTS = (
    page(links.system("start"), "How to record into this store.", _start),
    page(links.system("logs"), "Session logs of coding agents on this machine.", _logs),
)
