"""`/compare`: two runs side by side.

Aligning takes as long as the runs are long. Of long ones the page comes at once and fetches their steps; without
scripts it says where they are.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.errors import Ambiguous, NotFound
from tachograph.queries.answers.runs import RunOverview, overview
from tachograph.queries.diff import words
from tachograph.queries.diff.answer import DiffAsked, RunDiff, run_diff
from tachograph.queries.diff.candidates import candidates, newest
from tachograph.queries.diff.sides import Origin, head_of
from tachograph.queries.find import find
from tachograph.queries.pages import Text
from tachograph.queries.runs import Run
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import choice, compare, links
from tachograph.web.assets import missing

AT_ONCE = 1_000
"""Events of both runs together that are compared before the page is sent; with more, the steps follow."""
CONTEXT, PREVIEW = 1, 2_000


class CompareAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which runs, and which of their steps."""

    left: Text | None = None
    right: Text | None = None
    all: bool = False
    """Equal steps, too."""
    offset: Annotated[int, Meta(ge=0, le=2**31)] = 0
    now: bool = False
    """Compare before anything is sent."""

    @property
    def runs(self) -> tuple[str | None, str | None]:
        """The runs as they were named: A and B."""
        return self.left, self.right

    def at(self, **changes: Any) -> str:
        """This page with something changed."""
        return links.compare(*self.runs, **self._given(changes))

    def steps(self) -> str:
        """The part of the page that comes later."""
        return links.compare_steps(*self.runs, **self._given({"now": False}))

    def _given(self, changes: dict[str, Any]) -> dict[str, Any]:
        given = {"all": self.all, "offset": self.offset, "now": self.now, **changes}
        return {**given, "offset": given["offset"] or None}


class SideShown(Struct, frozen=True, kw_only=True):
    """What the head of the page says of a run."""

    title: str
    run: RunOverview
    origin: Origin | None
    other: str
    """Id of the other run."""


def _compare(ask: Ask) -> Response:
    asked: CompareAsked = ask.asked
    found: list[Run | None] = []
    problems: list[str] = []
    for title, name in zip(words.SIDES, asked.runs, strict=True):
        try:
            found.append(None if name is None else find(ask.store, name))
        except (NotFound, Ambiguous) as problem:
            found.append(None)
            problems.append(f"{title}: {problem}")
    left, right = found
    if left is None or right is None:
        return _choose(ask, left, right, problems)
    is_long = left.events + right.events > AT_ONCE and not asked.now and "htmx.org" not in missing()
    return _page(
        ask,
        title="Two runs",
        shown=_sides(ask, left, right),
        remarks=words.remarks(overview(left), overview(right)),
        **({"diff": None} if is_long else _steps_of(asked, _diff(ask))),
    )


def _choose(ask: Ask, left: Run | None, right: Run | None, problems: list[str]) -> Response:
    known = left or right
    if known is None:
        given = choice.of_first(newest(ask.store))
    else:
        given = choice.of_other(overview(known), candidates(ask.store, known), is_left=left is not None)
    return _page(ask, status=404 if problems else 200, shown=(), problems=problems, choice=given)


def _steps(ask: Ask) -> Response:
    return shown(ask, "compare/steps.html", **_steps_of(ask.asked, _diff(ask)), asked=ask.asked)


def _page(ask: Ask, *, status: int = 200, title: str = "Compare", **values: Any) -> Response:
    given = {"problems": (), **values}
    return shown(ask, "compare.html", here=links.COMPARE, status=status, title=title, asked=ask.asked, **given)


def _diff(ask: Ask) -> RunDiff:
    asked: CompareAsked = ask.asked
    left, right = asked.runs
    context = None if asked.all else CONTEXT
    wanted = DiffAsked(left=left or "", right=right or "", context=context, preview=PREVIEW, offset=asked.offset)
    return run_diff(ask.store, wanted)


def _steps_of(asked: CompareAsked, diff: RunDiff) -> dict[str, Any]:
    return {
        "diff": diff,
        "lines": words.lines(diff),
        "rows": tuple(compare.rows(diff)),
        "count": words.count_of(diff),
        "parting": None if diff.divergence is None else words.parting(diff.divergence),
        "to_parting": None if diff.divergence is None else _address(asked, diff, diff.divergence.position),
        "answers": compare.answers(diff),
    }


def _address(asked: CompareAsked, diff: RunDiff, position: int) -> str:
    """Where the first difference is shown: on the first page, unless equal steps are shown as well."""
    offset = position // diff.limit * diff.limit if asked.all else 0
    return f"{'' if offset == asked.offset else asked.at(offset=offset)}#divergence"


def _sides(ask: Ask, left: Run, right: Run) -> tuple[SideShown, ...]:
    pairs = zip(words.SIDES, (left, right), (right, left), strict=True)
    return tuple(
        SideShown(title=title, run=overview(run), origin=head_of(ask.store, run).origin, other=other.id)
        for title, run, other in pairs
    )


ENDPOINTS = (
    page(links.COMPARE, "Two runs side by side.", _compare, asks=CompareAsked),
    page(f"{links.COMPARE}/steps", "The steps of two runs, as a part of a page.", _steps, asks=CompareAsked),
)
