"""`/system/prune`: what the retention rules would let go now, and letting it go.

What would go is worked out when it is asked for, since it looks at all runs that are old enough. A request erases for
some seconds at most; what is left then is asked about again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.errors import ArchiveFailed, SettingsError
from tachograph.events.envelope import Event
from tachograph.queries.units import maybe_time, time
from tachograph.record.after import audit
from tachograph.server.endpoint import Ask
from tachograph.server.pages.admins import Confirmed, check_admin, check_whole, is_large, objection
from tachograph.server.pages.site import page, shown
from tachograph.server.problems import Refusal
from tachograph.upkeep.policies import path_of, policies_for
from tachograph.upkeep.prune import Pruned, prune
from tachograph.upkeep.rule import Rule
from tachograph.web import links

SECONDS = 20
"""How long a request erases."""
_HOUR_NS = 3_600_000_000_000
_SECOND_NS = 1_000_000_000


class PlanAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether to work out what would go."""

    plan: bool = False


class Agreed(Confirmed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the form says: what was shown, and for when."""

    at: Annotated[int, Meta(ge=0)]
    """The moment that the plan was made for, UTC ns: what grew old since then stays."""


def _look(ask: Ask) -> Response:
    _check(ask)
    plan = _foreseen(ask, ask.now) if ask.asked.plan else None
    return _shown(ask, plan, ask.now)


def _plan(ask: Ask) -> Response:
    _check(ask)
    plan = _foreseen(ask, ask.now)
    return shown(ask, "system/plan.html", **_values(ask, plan, ask.now))


def _prune(ask: Ask) -> Response:
    _check(ask)
    agreed = ask.filled(Agreed)
    if not ask.now - _HOUR_NS <= agreed.at <= ask.now:
        return _shown(ask, _foreseen(ask, ask.now), ask.now, "That plan is old. Nothing was erased; look again.", 422)
    plan = _foreseen(ask, agreed.at)
    if wrong := objection(agreed, plan.sum("runs"), plan.sum("events")):
        return _shown(ask, plan, agreed.at, wrong, 422)
    try:
        done = _erased(ask, agreed.at)
    except ArchiveFailed as problem:
        raise Refusal(409, "archive-failed", str(problem)) from problem
    return shown(ask, "system/pruned.html", here=links.SYSTEM, title="Pruned", done=done)


def _check(ask: Ask) -> None:
    check_admin(ask)
    check_whole(ask, "retention rules are about the records")


def _rules(ask: Ask) -> tuple[Rule, ...]:
    return policies_for(ask.service.settings).rules


def _foreseen(ask: Ask, at: int) -> Pruned:
    return prune(ask.service.store, _rules(ask), at, lambda events: None, clock=ask.service.clock, dry=True)


def _erased(ask: Ask, at: int) -> Pruned:
    service = ask.service
    mono = service.clock.mono
    until = mono() + SECONDS * _SECOND_NS

    def keep(events: Sequence[Event]) -> None:
        with service.turns.turn():
            audit.keep(service.store, service.admitter, events)

    return prune(
        service.store, _rules(ask), at, keep, clock=service.clock, user=ask.caller.name, forget=service.heads.forget,
        stop=lambda: mono() > until,
    )  # fmt: skip


def _shown(ask: Ask, plan: Pruned | None, at: int, wrong: str = "", status: int = 200) -> Response:
    try:
        problem, rules = "", _rules(ask)
    except SettingsError as found:
        problem, rules = str(found), ()
    return shown(
        ask, "system/prune.html", here=links.SYSTEM, title="Prune now", status=status, rules=rules, problem=problem,
        wrong=wrong, path=str(path_of(ask.service.settings)), planned=plan is not None, **_values(ask, plan, at),
    )  # fmt: skip


def _values(ask: Ask, plan: Pruned | None, at: int) -> dict[str, Any]:
    large = plan is not None and is_large(plan.sum("runs"), plan.sum("events"))
    oldest = [] if plan is None else [maybe_time(swept.oldest_at) for swept in plan.rules]
    return {"plan": plan, "at": at, "moment": time(at), "oldest": oldest, "large": large}


ENDPOINTS = (
    page(links.PRUNE, "Says what the retention rules let go.", _look, asks=PlanAsked),
    page(f"{links.PRUNE}/plan", "What the retention rules would let go now.", _plan),
    page(links.PRUNE, "Lets it go.", _prune, method="POST", scope="admin", takes=Agreed),
)
