"""Judgements of runs, of their steps and of sessions: the list of them, and where a new one goes.

A score is an event: of the run that it is about, where the program itself judged, or of a feedback run below that one
(`record.after.feedback`). Both are listed alike, under the run that they are about. One about a whole session is about
its newest run, and says so by its target: SESSION in place of a step's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tachograph.errors import InvalidParameter, NotFound
from tachograph.events import ids
from tachograph.events.note import Score, ScoreKind
from tachograph.events.run import AUDIT
from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.logs.counts import within
from tachograph.queries.logs.keys import Row
from tachograph.queries.pages import PageAsked, PageGiven, Text, meeting, page, total
from tachograph.queries.runs import NO_AUDIT
from tachograph.queries.units import Time, time
from tachograph.record.after.feedback import About
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

SESSION = -1
"""Target of a score that is about the session of its run. Steps are counted from 0, which is the run."""

Word = Annotated[str, Meta(min_length=1, max_length=200)]
ScoreScope = Literal["run", "step", "session"]


class GivenScore(Struct, frozen=True, kw_only=True):
    """A judgement."""

    name: Annotated[str, Meta(description="What was judged: helpfulness, correct, thumbs, …")]
    value: Annotated[float | None, Meta(description="As a number.")]
    label: Annotated[str | None, Meta(description="As a word.")]
    kind: Annotated[ScoreKind, Meta(description="Who judged.")]
    comment: str | None
    author: str | None
    scope: Annotated[ScoreScope, Meta(description="What it is about.")]
    step: Annotated[int | None, Meta(description="Number of the step it is about; null for a run or a session.")]


class ListedScore(GivenScore, frozen=True, kw_only=True):
    """A judgement, and the run that it is about."""

    time: Time
    run_id: str
    execution_id: str
    run_name: str
    session_id: str | None
    step_id: Annotated[str | None, Meta(description="`id` of the step it is about; null for a run or a session.")]


class ScoresAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which scores. Conditions that are given must all hold."""

    name: Annotated[Text | None, Meta(description="What was judged.")] = None
    kind: Annotated[ScoreKind | None, Meta(description="Who judged.")] = None
    scope: Annotated[ScoreScope | None, Meta(description="What it is about.")] = None
    author: Annotated[Text | None, Meta(description="Who gave it.")] = None
    label: Annotated[Text | None, Meta(description="The word it was given in.")] = None
    execution_id: Annotated[Text | None, Meta(description="The execution of the run it is about.")] = None
    session_id: Annotated[Text | None, Meta(description="The session of that run.")] = None
    start_date: StartDate = None
    end_date: EndDate = None


class Scores(PageGiven, frozen=True, kw_only=True):
    """A page of scores, newest first."""

    scores: tuple[ListedScore, ...]


class NewScore(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A judgement to be kept: of exactly one of run, step (a model call, a tool call, any other) and session."""

    name: Annotated[Word, Meta(description="What was judged.")]
    value: Annotated[float | None, Meta(description="As a number; it needs a value, a label or a comment.")] = None
    label: Annotated[Word | None, Meta(description="As a word.")] = None
    comment: Annotated[Annotated[str, Meta(min_length=1, max_length=10_000)] | None, Meta(description="In words.")] = (
        None
    )
    kind: Annotated[ScoreKind, Meta(description="Who judged.")] = "user"
    author: Annotated[Word | None, Meta(description="Who gives it.")] = None
    run: Annotated[
        Text | None, Meta(description="Run id or execution id; of several runs the one that started last.")
    ] = None
    step_id: Annotated[Text | None, Meta(description="`id` of an execution log or of a model call.")] = None
    session_id: Annotated[Text | None, Meta(description="A session: the score is about the whole of it.")] = None


class ScorePlace(Struct, frozen=True):
    """A new score, and the run that it is about."""

    about: About
    body: Score


def scores(index: Index, asked: ScoresAsked) -> Scores:
    """The scores that meet every condition. Raises InvalidParameter for a date or a cursor that is none."""
    columns = {
        "name": "name",
        "kind": "kind",
        "author": "author",
        "label": "label",
        "execution_id": "execution_id",
        "session_id": "session",
    }
    where = (*meeting(asked, columns), *(() if asked.scope is None else (_SCOPES[asked.scope],)))
    period = within(between(asked.start_date, asked.end_date), "at")
    query = Query("scores", (*where, *period), _COLUMNS, order=("-at",))
    found = page(index, query, asked)
    names = _names(index, {run for row in found.rows if (run := _run_of(row)) != row["run_id"]})
    listed = tuple(_listed(row, names) for row in found.rows)
    return Scores(scores=listed, **found.given(asked, total(index, query)))


def place(index: Index, new: NewScore) -> ScorePlace:
    """What a new score is about. Of several runs with one execution id, or of one session, it is the newest.

    Raises InvalidParameter when it is about nothing or about several things, or says nothing; NotFound when what it is
    about is not there.
    """
    about = [name for name in ("run", "step_id", "session_id") if getattr(new, name) is not None]
    if len(about) != 1:
        raise InvalidParameter("run", new.run, "a score is about exactly one of run, step_id and session_id")
    if new.value is None and new.label is None and new.comment is None:
        raise InvalidParameter("value", None, "a score needs a value, a label or a comment")
    if new.value is not None and not isfinite(new.value):
        raise InvalidParameter("value", new.value, "a finite number is wanted")
    if new.step_id is not None:
        run, step = _step(index, new.step_id)
    elif new.run is not None:
        run, step = _newest(index, Where("id", "eq", new.run), Where("execution_id", "eq", new.run)), 0
    else:
        run, step = _newest(index, Where("session", "eq", new.session_id)), SESSION
    if run is None:
        raise NotFound(about[0].removesuffix("_id"), getattr(new, about[0]))
    facts = {name: getattr(new, name) for name in ("name", "value", "label", "comment", "kind", "author")}
    about_run = About(run=run["id"], execution_id=run["execution_id"], tenant=run["tenant"], session=run["session"])
    return ScorePlace(about_run, Score(target=step, **facts))


def given_score(score: Score) -> GivenScore:
    """A score as its event says it."""
    return GivenScore(**_facts({name: getattr(score, name) for name in (*_SAME, "target")}))


_SCOPES: dict[ScoreScope, Where] = {
    "run": Where("target", "eq", 0),
    "step": Where("target", "gt", 0),
    "session": Where("target", "eq", SESSION),
}
_SAME = ("name", "value", "label", "kind", "comment", "author")
_COLUMNS = (
    *_SAME, "target", "at", "run", "seq", "run_id", "execution_id", "run_name", "session", "source", "parent_run",
)  # fmt: skip
_ABOUT = ("pk", "id", "execution_id", "tenant", "session")


def _facts(row: Row) -> dict[str, Any]:
    target, value = row["target"], row["value"]
    return {
        **{name: row[name] for name in _SAME},
        "value": value if value is None or isfinite(value) else None,
        "scope": "session" if target == SESSION else "step" if target else "run",
        "step": target if target > 0 else None,
    }


def _listed(row: Row, names: Mapping[str, str]) -> ListedScore:
    facts = _facts(row)
    run = _run_of(row)
    return ListedScore(
        **facts,
        time=time(row["at"]),
        run_id=run,
        execution_id=row["execution_id"],
        run_name=row["run_name"] if run == row["run_id"] else names.get(run, ""),
        session_id=row["session"],
        step_id=None if facts["step"] is None else ids.step_id(run, facts["step"]),
    )


def _run_of(row: Row) -> str:
    """The run that a score is about: that of its event, or for feedback the one above."""
    run: str = row["parent_run"] if row["source"] == AUDIT and row["parent_run"] else row["run_id"]
    return run


def _names(index: Index, runs: set[str]) -> Mapping[str, str]:
    """Run → its name."""
    if not runs:
        return {}
    rows = index.find(Query("runs", (Where("id", "in", tuple(runs)),), ("id", "name"), limit=None)).rows
    return {row["id"]: row["name"] for row in rows}


def _newest(index: Index, *choices: Where) -> Row | None:
    """The run that started last among those of the first choice that has any."""
    for where in choices:
        found = index.find(Query("runs", (where, NO_AUDIT), _ABOUT, order=("-started_at",), limit=1)).rows
        if found:
            return found[0]
    return None


def _step(index: Index, step_id: str) -> tuple[Row | None, int]:
    try:
        run, step = ids.split_step_id(step_id)
    except ValueError:
        return None, 0
    rows = index.find(Query("runs", (Where("id", "eq", run),), _ABOUT, limit=1)).rows
    if not rows:
        return None, 0
    where = (Where("run", "eq", rows[0]["pk"]), Where("step", "eq", step))
    return (rows[0] if index.find(Query("steps", where, ("step",), limit=1)).rows else None), step
