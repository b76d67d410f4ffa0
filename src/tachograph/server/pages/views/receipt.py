"""`/runs/{run}/receipt`: what was recorded of a run, and what is not as it was.

A receipt rests on every event. A long log is read when somebody asks for it, not for the first byte of the page.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.queries.answers.receipts import receipt_of
from tachograph.server.endpoint import Ask
from tachograph.server.pages.run import framed, headed
from tachograph.server.pages.site import page, shown
from tachograph.web import links
from tachograph.web.run.receipt import checked

AT_ONCE = 2_000
"""Events of a run whose receipt stands in the page from the beginning."""


class ReceiptAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to show a receipt."""

    whole: Annotated[bool, Meta(description="Read the log, however long it is.")] = False
    alone: Annotated[bool, Meta(description="Without the page around it.")] = False


def _receipt(ask: Ask) -> Response:
    asked: ReceiptAsked = ask.asked
    if asked.alone:
        return shown(ask, "run/receipt_alone.html", told=checked(receipt_of(ask.store, ask.path["run"])))
    found = headed(ask)
    at_once = asked.whole or found.run.events <= AT_ONCE
    told = checked(receipt_of(ask.store, found.run.id)) if at_once else None
    return shown(ask, "run/receipt.html", **framed(found, "receipt"), told=told)


ENDPOINTS = (page(f"{links.RUNS}/{{run}}/receipt", "What was recorded of a run.", _receipt, asks=ReceiptAsked),)
