"""Which run to compare with: the runs that are alike, in groups, each with its address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from tachograph.queries.answers.runs import RunOverview
from tachograph.queries.diff.candidates import EACH, Candidates
from tachograph.web import links


class Chosen(Struct, frozen=True):
    """A run, and the page that choosing it leads to."""

    run: RunOverview
    address: str


class Group(Struct, frozen=True, kw_only=True):
    """Runs for one reason."""

    title: str
    runs: tuple[Chosen, ...]
    more: str = ""
    """Where all of them are."""


class Choice(Struct, frozen=True):
    """What there is to choose from; `known` is the run that is there already, and `side` its name."""

    groups: tuple[Group, ...]
    known: RunOverview | None = None
    side: str = ""


def of_first(newest: Iterable[RunOverview]) -> Choice:
    """Any run, to begin with."""
    runs = tuple(Chosen(run, links.compare(run.id)) for run in newest)
    return Choice((Group(title="The newest runs: choose A", runs=runs, more=links.runs()),) if runs else ())


def of_other(known: RunOverview, found: Candidates, *, is_left: bool) -> Choice:
    """What to compare a run with that takes one of the two sides."""
    return Choice(tuple(_groups(known, found, is_left=is_left)), known, "A" if is_left else "B")


def _groups(known: RunOverview, found: Candidates, *, is_left: bool) -> Iterator[Group]:
    def chosen(runs: Iterable[RunOverview]) -> tuple[Chosen, ...]:
        pairs = (((known.id, run.id) if is_left else (run.id, known.id), run) for run in runs)
        return tuple(Chosen(run, links.compare(*pair)) for pair, run in pairs)

    if found.origin is not None:
        yield Group(title="The run that it was forked from", runs=chosen((found.origin,)))
    if found.of_session:
        more = links.runs(session_id=known.session_id) if len(found.of_session) == EACH else ""
        yield Group(title="Runs of the same session", runs=chosen(found.of_session), more=more)
    if found.of_agent:
        alike = {"agent_type": known.agent_type} if known.agent_type else {"name": known.name}
        more = links.runs(**alike) if len(found.of_agent) == EACH else ""
        yield Group(title=f"Runs of {known.agent_type or known.name}", runs=chosen(found.of_agent), more=more)
