"""Templates: a value becomes HTML. Whatever a value says is text; nothing that was recorded is ever markup."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from time import sleep, thread_time
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct

from tachograph.web import filters, links

_FIRST = ("page.html", "parts.html", "overview/", "run/", "run")
"""How the names begin of what is asked for first; the rest in any order."""
_REST = 3
"""Times as long as the work: a thread that works on makes each answer beside it wait for its turns."""


class Frame(Struct, frozen=True, kw_only=True):
    """What surrounds a page."""

    here: str
    """Path of the page, as the navigation names it."""
    static: str
    """Where scripts and styles are: `/static/<stamp>`."""
    missing: tuple[str, ...]
    """Libraries that are not there: the pages do without."""
    caller: str
    """Who looks: a key's name, or `local`."""
    tenant: str | None
    """The one tenant that is shown; None for all."""
    may_write: bool
    may_delete: bool
    token: str
    """What a form has to send along as `token`."""
    is_visitor: bool
    """Whether there is a visit that can be ended."""
    version: str


def render(template: str, **values: Any) -> str:
    """The template with these values. Raises jinja2.UndefinedError for a value that it wants and has not."""
    return _environment().get_template(template).render(values)


def warm() -> Callable[[], None]:
    """What makes all templates ready, for a thread: half a second of work, with rests for whoever asks meanwhile."""
    environment = _environment()  # before there are threads: each of them would make its own

    def work() -> None:
        for name in sorted(environment.list_templates(), key=_rank):
            began = thread_time()
            environment.get_template(name)
            sleep(_REST * (thread_time() - began))

    return work


def _rank(name: str) -> int:
    return next((rank for rank, start in enumerate(_FIRST) if name.startswith(start)), len(_FIRST))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("tachograph.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(filters.FILTERS)
    made.globals.update(link=links)
    return made
