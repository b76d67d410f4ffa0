"""A session as a page shows it: how it stands, what its limits have counted, and its conversation across runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from tachograph.events import ids
from tachograph.queries import wording
from tachograph.queries.answers.heads import SessionCount
from tachograph.queries.answers.runs import RunOverview
from tachograph.queries.answers.sessions import SessionDetail
from tachograph.queries.logs.contents import Value
from tachograph.queries.units import Time
from tachograph.queries.views.exchanges import Exchange
from tachograph.web import filters, links
from tachograph.web.message import Part, decoded, parts, pretty
from tachograph.web.run.head import HANDED

MOST_STATE = 100_000
"""Characters of the state that are shown."""
_COUNTED: Mapping[str, str] = {
    "runs": "Runs", "llm_calls": "Model calls", "tool_calls": "Tool calls", "tokens": "Tokens", "usd": "Cost",
}  # fmt: skip


class Counter(Struct, frozen=True, kw_only=True):
    """What limits have counted of one thing."""

    name: str
    used: str
    reserved: str
    total: str
    reset_at: Time | None


class Step(Struct, frozen=True, kw_only=True):
    """A hand-off."""

    text: str
    why: str
    href: str
    is_bad: bool


class SessionTurn(Struct, frozen=True, kw_only=True):
    """One run of the conversation."""

    run: RunOverview
    asked: tuple[Part, ...]
    """What went in."""
    answered: tuple[Part, ...]
    asked_note: str
    answered_note: str
    """Why nothing, or not all, stands there."""
    steps: tuple[Step, ...]
    told: str
    """What the customer was told when a person was asked for."""
    began_by: str
    """Id of the run that started it; empty where that was somebody outside."""
    began_by_name: str


class Shown(Struct, frozen=True, kw_only=True):
    """A session."""

    status: str
    """As its head says; without one, as its last run left it."""
    counters: tuple[Counter, ...]
    state: str
    is_state_cut: bool
    turns: tuple[SessionTurn, ...]
    """The oldest first."""


def session(found: SessionDetail, said: Iterable[Exchange]) -> Shown:
    """What a template shows of it; `said` is newest first, as its runs are."""
    head, turns = found.session.head, list(said)
    names = {each.run.id: each.run.name for each in turns}
    state = "" if found.state is None else pretty(_value(found.state))
    return Shown(
        status=found.session.status if head is None else head.status,
        counters=tuple(_counter(each) for each in found.counts),
        state="" if state in ("{}", "null") else state[:MOST_STATE],
        is_state_cut=len(state) > MOST_STATE,
        turns=tuple(_turn(each, names) for each in reversed(turns)),
    )


def _counter(count: SessionCount) -> Counter:
    def amount(value: float) -> str:
        return filters.usd(value) if count.of == "usd" else wording.count(int(value))

    return Counter(
        name=_COUNTED[count.of],
        used=amount(count.used),
        reserved=amount(count.reserved),
        total=amount(count.total),
        reset_at=count.reset_at,
    )


def _turn(each: Exchange, names: Mapping[str, str]) -> SessionTurn:
    run, person = each.run, each.person
    asked, asked_note = _words(each.input, "Nothing was recorded of what went in")
    nothing = {"started": "The answer is not there yet", "paused": "It waits for a person"}.get(run.status, "No answer")
    answered, answered_note = _words(each.output, nothing)
    return SessionTurn(
        run=run,
        asked=asked,
        answered=answered,
        asked_note=asked_note,
        answered_note="" if person is not None and person.text and not answered else answered_note,
        steps=tuple(_steps(each)),
        told="" if person is None else person.text or "",
        began_by=run.parent_run_id or "",
        began_by_name=names.get(run.parent_run_id or "", "") or "another run",
    )


def _steps(each: Exchange) -> Iterable[Step]:
    person = each.person
    for one in each.handed:
        to_person = one.to == "person" and person is not None
        text = HANDED[person.state] if to_person and person is not None else f"Handed to {one.to}"
        yield Step(
            text=text,
            why=one.reason,
            href=links.step(ids.step_id(each.run.id, one.step)),
            is_bad=one.status == "failed" or (to_person and person is not None and person.state == "failed"),
        )


def _words(value: Value, nothing: str) -> tuple[tuple[Part, ...], str]:
    if value.json is None:
        return (), nothing
    if not value.whole:
        return (), "Too large to stand here"
    found = parts(_value(value.json))
    return found, "" if found else nothing


def _value(json: msgspec.Raw) -> object:
    return decoded(bytes(json).decode("utf-8", "replace"))
