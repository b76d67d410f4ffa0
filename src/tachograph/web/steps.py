"""The list of steps in words: rows, the form with its conditions, the way to older ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from tachograph.queries import wording
from tachograph.queries.overview.steps import Step, Steps, StepsAsked
from tachograph.queries.units import time
from tachograph.web import links
from tachograph.web.overview import lasted

_FIELDS = (
    ("kind", "Kind"), ("agent_type", "Agent"), ("provider", "Provider"), ("model_id", "Model"), ("status", "Status"),
    ("error", "Error"), ("start_date", "From"), ("end_date", "To"),
)  # fmt: skip


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


class Field(Struct, frozen=True, kw_only=True):
    """A condition of the form."""

    name: str
    label: str
    value: str
    without: str
    """The list without it."""


class Listed(Struct, frozen=True, kw_only=True):
    """The list as the page shows it."""

    title: str
    total: str
    rows: tuple[Row, ...]
    fields: tuple[Field, ...]
    are_calls: bool
    """Whether rows have tokens and cost."""
    first: str | None
    """The newest, where these are others."""
    older: str | None


def listed(found: Steps, asked: StepsAsked) -> Listed:
    """The page of a list."""
    given = {name: getattr(asked, name) for name, _ in _FIELDS}
    limit = None if asked.limit == StepsAsked().limit else asked.limit
    calls = asked.kind == "llm" or asked.provider is not None or asked.model_id is not None
    return Listed(
        title="Model calls" if calls else "Tool calls" if asked.kind == "tool" else "Steps",
        total=wording.count(found.total),
        rows=tuple(map(_row, found.steps)),
        fields=tuple(_field(name, label, given) for name, label in _FIELDS),
        are_calls=calls,
        first=links.steps(**given, limit=limit) if asked.cursor else None,
        older=links.steps(**given, limit=limit, cursor=found.next_cursor) if found.next_cursor else None,
    )


def _field(name: str, label: str, given: Mapping[str, Any]) -> Field:
    return Field(name=name, label=label, value=given[name] or "", without=links.steps(**{**given, name: None}))


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
