"""`/runs/{run}/steps/{step}`: the details of a step, and each of its texts as a file."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.queries.step import step, text
from tachograph.server.endpoint import Ask
from tachograph.server.pages.run import framed, headed
from tachograph.server.pages.site import HEADERS, page, shown
from tachograph.web import links
from tachograph.web.run.step import details


class StepAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to show it."""

    alone: Annotated[bool, Meta(description="Without the page around it.")] = False
    whole: Annotated[str, Meta(max_length=40, description="A text that is given whatever its size.")] = ""


def _step(ask: Ask) -> Response:
    found = details(step(ask.store, ask.path["run"], ask.path["step"], ask.asked.whole))
    if ask.asked.alone:
        return shown(ask, "run/details.html", details=found)
    values = {**framed(headed(ask), ""), "title": f"{found.step.kind} {found.step.name}".strip()}
    return shown(ask, "run/step.html", details=found, **values)


def _text(ask: Ask) -> Response:
    said = text(ask.store, ask.path["run"], ask.path["step"], ask.path["text"])
    name = f"{ask.path['step'][-8:]}-{ask.path['text']}.json"
    kept = "".join(letter for letter in name if letter.isascii() and (letter.isalnum() or letter in "-."))
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{kept}"'}
    return Response(said.encode("utf-8", "replace"), headers=headers, media_type="application/json")


_STEP = f"{links.RUNS}/{{run}}/steps/{{step}}"
ENDPOINTS = (
    page(_STEP, "The details of a step.", _step, asks=StepAsked),
    page(f"{_STEP}/{{text}}", "One of its texts, byte for byte.", _text),
)
