"""The list of steps in words: rows, the form with its conditions, the way to older ones."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

from msgspec import Struct

from tachograph.events.run import StepKind
from tachograph.queries import wording
from tachograph.queries.overview.steps import Step, Steps, StepsAsked
from tachograph.queries.units import time
from tachograph.store.rollup import STATUSES
from tachograph.web import links, lists
from tachograph.web.lists import ROWS, Conditions, Field, words
from tachograph.web.overview import lasted

FIELDS: tuple[Field, ...] = (
    Field(
        name="kind", label="Kind", kind="choice", nothing="all but model calls",
        choices=(("llm", "model calls"), *words(*(each for each in get_args(StepKind) if each != "llm"))),
    ),
    Field(name="status", label="Status", kind="choice", choices=words("started", *STATUSES)),
    Field(name="agent_type", label="Agent"),
    Field(name="error", label="Error"),
    Field(name="start_date", label="From (UTC)", hint="2026-01-31"),
    Field(name="end_date", label="To (UTC)", hint="2026-01-31T12:00"),
    Field(name="provider", label="Provider of a model call", is_rare=True),
    Field(name="model_id", label="Model of a model call", is_rare=True),
    ROWS,
)  # fmt: skip
"""The conditions of the list of steps."""


class Row(Struct, frozen=True, kw_only=True):
    """A step."""

    status: str
    name: str
    href: str
    kind: str
    provider: str
    agent: str
    run: str
    run_href: str
    began: datetime
    error: str
    message: str
    duration: str
    first: str
    tokens_in: str
    tokens_out: str
    cost: str


class Listed(Struct, frozen=True, kw_only=True):
    """The list as the page shows it."""

    title: str
    total: str
    rows: tuple[Row, ...]
    form: Conditions
    are_calls: bool
    """Whether rows have tokens and cost."""
    first: str | None
    """The newest, where these are others."""
    older: str | None


def listed(found: Steps, asked: StepsAsked) -> Listed:
    """The page of a list."""
    given = lists.asked_of(asked, lists.PAGING)
    calls = asked.kind == "llm" or asked.provider is not None or asked.model_id is not None
    thing = "model call" if calls else "tool call" if asked.kind == "tool" else "step"
    return Listed(
        title=f"{thing}s".capitalize(),
        total=wording.some(found.total, thing),
        rows=tuple(map(_row, found.steps)),
        form=lists.conditions(links.STEPS, asked, FIELDS),
        are_calls=calls,
        first=links.steps(**given) if asked.cursor or asked.offset else None,
        older=links.steps(**given, cursor=found.next_cursor) if found.next_cursor else None,
    )


def _row(step: Step) -> Row:
    return Row(
        status=step.status,
        name=step.name or "no name",
        href=links.run(step.run_id) if step.kind == "run" else links.step(step.id),
        kind=step.kind,
        provider=step.provider,
        agent=step.agent or "",
        run=step.run_name or step.run_id,
        run_href=links.run(step.run_id),
        began=time(step.started_at),
        error=step.error,
        message=step.message.partition("\n")[0][:200],
        duration=lasted(step.duration_ns),
        first=lasted(step.first_token_ns),
        tokens_in=wording.short(step.input_tokens),
        tokens_out=wording.short(step.output_tokens),
        cost=wording.money(step.cost),
    )
