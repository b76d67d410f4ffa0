"""`/runs/{run}/delete`: what goes with an execution is said, and goes when somebody says so."""

from __future__ import annotations

from starlette.responses import Response

from tachograph.queries.answers.runs import overview
from tachograph.queries.checkup import counted
from tachograph.queries.erasure import Erasure, erasure
from tachograph.queries.find import find
from tachograph.queries.units import time
from tachograph.server.endpoint import Ask
from tachograph.server.erasing import erase
from tachograph.server.pages.admins import Confirmed, check_admin, is_large, objection
from tachograph.server.pages.site import page, shown
from tachograph.web import links

NAMED = 20
"""Runs that are named; the others are counted."""


def _ask_first(ask: Ask) -> Response:
    check_admin(ask)
    return _shown(ask, *_found(ask))


def _size(ask: Ask) -> Response:
    check_admin(ask)
    _, found = _found(ask)
    return shown(
        ask, "deletion/size.html", bytes=found.estimate(counted(ask.service.store, ask.now, ask.service.counts).facts)
    )


def _delete(ask: Ask) -> Response:
    confirmed = ask.filled(Confirmed)
    run, found = _found(ask)
    if wrong := objection(confirmed, len(found.going), found.events):
        return _shown(ask, run, found, wrong, status=422)
    gone = erase(ask.service, found, ask.caller.name, ask.now)
    return shown(ask, "deletion/done.html", here=links.RUNS, title="Deleted", found=found, gone=gone)


def _found(ask: Ask) -> tuple[object, Erasure]:
    run = find(ask.store, ask.path["run"])
    return overview(run), erasure(ask.store, run.execution_id)


def _shown(ask: Ask, run: object, found: Erasure, wrong: str = "", status: int = 200) -> Response:
    return shown(
        ask, "deletion/ask.html", here=links.RUNS, title="Delete", status=status, run=run, found=found, wrong=wrong,
        named=[(time(each.started_at), each) for each in found.going[:NAMED]], oldest=time(found.oldest_at),
        large=is_large(len(found.going), found.events),
    )  # fmt: skip


_PATH = f"{links.RUNS}/{{run}}/delete"
ENDPOINTS = (
    page(_PATH, "Says what goes with an execution.", _ask_first),
    page(f"{_PATH}/size", "How much room it takes, about.", _size),
    page(_PATH, "Deletes an execution.", _delete, method="POST", scope="admin", takes=Confirmed),
)
