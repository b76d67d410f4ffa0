"""The overview in words: the figures of a period and what they are made of, each with the list of what it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tachograph.queries import wording
from tachograph.queries.answers.runs import RunOrder
from tachograph.queries.logs.slowest import SlowStep
from tachograph.queries.overview.figures import Models
from tachograph.queries.overview.stops import Stop
from tachograph.queries.overview.when import NAMES, Chosen, Name
from tachograph.queries.stats import ErrorGroup, Group, Latency, Money, Outcomes, Quantiles
from tachograph.queries.units import time
from tachograph.web import links

NAMED: Mapping[Name, str] = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
_SHORT: Mapping[Name, str] = {"1h": "1 h", "24h": "24 h", "7d": "7 d", "30d": "30 d"}


class Figure(Struct, frozen=True, kw_only=True):
    """A figure, the list of what it counts, and what has to be known with it."""

    name: str
    value: str
    href: str = ""
    note: str = ""
    note_href: str = ""


class Choice(Struct, frozen=True):
    """A period one can go to."""

    text: str
    href: str
    is_chosen: bool


class Looked(Struct, frozen=True, kw_only=True):
    """What is looked at: a period and one agent or all."""

    since: datetime
    until: datetime
    """Its last microsecond."""
    name: Name | None
    instead: str
    agent: str | None

    @property
    def dates(self) -> Mapping[str, str]:
        """The period as lists are asked for it."""
        return {"start_date": _date(self.since), "end_date": _date(self.until)}

    @property
    def place(self) -> Mapping[str, str | None]:
        """The same with the agent."""
        return {**self.dates, "agent_type": self.agent}

    @property
    def here(self) -> Mapping[str, str | None]:
        """The same as this page is asked for it."""
        return {**({"period": self.name} if self.name else self.dates), "agent_type": self.agent}

    @property
    def where(self) -> Mapping[str, str]:
        """The condition as queries take it."""
        return {} if self.agent is None else {"agent": self.agent}

    def address(self, **changes: Any) -> str:
        """This page with other parameters."""
        return links.overview(**{**self.here, **changes})


class Share(Struct, frozen=True, kw_only=True):
    """A row of a split: what one agent, model or provider came to."""

    name: str
    under: str = ""
    """What it belongs to."""
    href: str
    narrower: str = ""
    """This page for it alone."""
    runs: str = ""
    calls: str
    calls_href: str = ""
    success: str
    """Of its runs; of model calls where it has none."""
    tokens_in: str
    tokens_out: str
    cost: str
    part: float
    """Of all known cost, 0 to 1; of all calls where nothing has a price."""
    slow: str
    """95th percentile of how long runs took, or model calls in a row of a model."""
    first: str = ""


class Ending(Struct, frozen=True, kw_only=True):
    """Runs that ended in one way."""

    status: str
    reason: str
    count: str
    part: float
    share: str
    calls: str
    cost: str
    href: str


class Slow(Struct, frozen=True, kw_only=True):
    """A step that took long."""

    kind: str
    name: str
    agent: str
    status: str
    began: datetime
    duration: str
    part: float
    """Of the longest."""
    href: str
    run_href: str


class Failures(Struct, frozen=True, kw_only=True):
    """Steps of one kind that had one error."""

    kind: str
    error: str
    count: str
    href: str


def looked(chosen: Chosen, agent: str | None) -> Looked:
    """What is looked at, in the units of lists: their bounds are included, to the microsecond."""
    return Looked(
        since=time(chosen.since), until=time(chosen.until - 1), name=chosen.name, instead=chosen.instead, agent=agent
    )


def choices(at: Looked) -> tuple[Choice, ...]:
    """The periods that have a name."""
    return tuple(
        Choice(_SHORT[name], links.overview(period=name, agent_type=at.agent), name == at.name) for name in NAMES
    )


# ---- figures ---------------------------------------------------------------------------------------------------------


def figures(total: Group, interventions: int, at: Looked) -> tuple[Figure, ...]:
    """The figures of a period, the ones that are looked for first in front."""
    calls = links.steps(kind="llm", **at.place)
    return (
        _runs(total.runs, at),
        _success(total.runs, at),
        Figure(name="Cost", value=_money(total.cost), href=_first(total, at, "dearest"), note=_unpriced(total.cost)),
        Figure(
            name="Interventions",
            value=wording.count(interventions),
            href="" if at.agent else links.interventions(**at.dates),
            note="by limits",
        ),
        _counted("Model calls", total.calls, calls, links.steps(kind="llm", status="failed", **at.place)),
        _times("Model latency", total.calls.latency, calls),
        _times("First token", total.first_token, calls),
        _times("Run duration", total.runs.latency, _first(total, at, "longest")),
        _counted(
            "Tool calls",
            total.tools,
            links.steps(kind="tool", **at.place),
            links.steps(kind="tool", status="failed", **at.place),
        ),
    )


def tokens(period: Group, at: Looked) -> tuple[Figure, ...]:
    """Tokens by class."""
    total = period.tokens
    whole, href = total.input_total, _first(period, at, "most_tokens")
    named = (
        ("Uncached input", total.input_uncached, _of(total.input_uncached, whole, "input")),
        ("Cache read", total.cache_read, _of(total.cache_read, whole, "input")),
        ("Cache write", total.cache_write, _of(total.cache_write, whole, "input")),
        ("Output", total.output, f"without {wording.some(total.missing, 'call')}" if total.missing else ""),
        ("Reasoning", total.reasoning, _of(total.reasoning, total.output, "output")),
    )
    return tuple(
        Figure(name=name, value=amount(value, total.missing), href=href, note=note) for name, value, note in named
    )


def amount(value: int | None, missing: int = 0) -> str:
    """Tokens in three digits: a lower bound while calls have no usage, and unknown when nothing else is known."""
    if value is None or (missing and not value):
        return wording.UNKNOWN
    return f"≥ {wording.short(value)}" if missing else wording.short(value)


SORTED = 10_000
"""Most runs that a link has put in another order than that of time: the list would read them all."""


def _first(total: Group, at: Looked, order: RunOrder) -> str:
    """The runs of the period, in this order if they are not too many for it."""
    return links.runs(order=order if total.runs.count <= SORTED else None, **at.place)


def lasted(ns: int | None) -> str:
    """A duration. Nothing takes no time: a 0 is that of records which have no times."""
    return wording.duration(ns or None)


def _runs(runs: Outcomes, at: Looked) -> Figure:
    still_open = runs.by_status.get("open", 0)
    return Figure(
        name="Runs",
        value=wording.count(runs.count),
        href=links.runs(**at.place),
        note=f"{still_open:,} open" if still_open else "",
        note_href=links.runs(status="started", **at.place) if still_open else "",
    )


def _success(runs: Outcomes, at: Looked) -> Figure:
    return Figure(
        name="Success rate",
        value=wording.share(runs.success_rate),
        href=links.runs(status="completed", **at.place) if runs.ended else "",
        note=f"{runs.by_status.get('completed', 0):,} of {runs.ended:,} that ended" if runs.ended else "",
    )


def _counted(name: str, counted: Outcomes, href: str, failed_href: str) -> Figure:
    failed = counted.by_status.get("failed", 0)
    return Figure(
        name=name,
        value=wording.count(counted.count),
        href=href,
        note=f"{failed:,} failed" if failed else "",
        note_href=failed_href if failed else "",
    )


def _times(name: str, times: Latency | Quantiles | None, href: str) -> Figure:
    """The median, and in its note the 95th percentile."""
    if times is None or not times.p95_ns:
        return Figure(name=name, value=wording.UNKNOWN)
    half, most = lasted(times.p50_ns), lasted(times.p95_ns)
    return Figure(name=f"{name} p50", value=half, href=href, note=f"p95 {most}")


def _money(cost: Money) -> str:
    return wording.money(cost.total, cost.unpriced)


def _unpriced(cost: Money) -> str:
    said = [f"{wording.some(cost.unpriced, 'call')} without a price"] if cost.unpriced else []
    said += [f"{wording.money(cost.reported)} as others said"] if cost.reported else []
    return ", ".join(said)


def _of(part: int | None, whole: int | None, of: str) -> str:
    return f"{wording.share(part / whole)} of {of}" if part and whole else ""


def _date(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


# ---- what they are made of -------------------------------------------------------------------------------------------


def agents(found: Sequence[Group], at: Looked) -> tuple[Share, ...]:
    """A row for each agent."""
    rows = []
    for group in found:
        name = str(group.key[0])
        place = {**at.place, "agent_type": name or None}
        of_runs = group.runs.count > 0
        outcomes = group.runs if of_runs else group.calls
        rows.append(
            replace(
                _share(group, found, outcomes),
                name=name or "no agent",
                href=links.runs(**place) if of_runs and name else "",
                narrower=at.address(agent_type=name) if name and not at.agent else "",
                runs=wording.count(group.runs.count) if of_runs else wording.UNKNOWN,
                slow=lasted(group.runs.latency.p95_ns if group.runs.latency else None),
                calls_href=links.steps(kind="llm", **place) if name and group.calls.count else "",
            )
        )
    return tuple(rows)


def models(found: Models, at: Looked) -> tuple[Share, ...]:
    """A row for each provider, and behind it one for each of its models."""
    rows: list[Share] = []
    for provider in found.providers:
        rows.append(_called(provider, found, at))
        rows += (_called(group, found, at) for group in found.models if group.key[0] == provider.key[0])
    return tuple(rows)


def _called(group: Group, found: Models, at: Looked) -> Share:
    provider, model = map(str, (*group.key, "")[:2])
    is_model = len(group.key) > 1
    href = links.steps(kind="llm", provider=provider, model_id=model, **at.place)
    return replace(
        _share(group, found.providers, group.calls),
        name=(model if is_model else provider) or "no name",
        under=(provider or "no name") if is_model else "",
        href=href,
        calls_href=href,
    )


def _share(group: Group, among: Iterable[Group], outcomes: Outcomes) -> Share:
    whole = sum(each.cost.total or 0 for each in among)
    part = (group.cost.total or 0) / whole if whole else group.calls.count / max(1, sum(g.calls.count for g in among))
    spent, made = group.tokens, group.calls.count
    return Share(
        name="",
        href="",
        calls=wording.count(made),
        success=wording.share(outcomes.success_rate),
        tokens_in=amount(spent.input_total, spent.missing) if made else wording.UNKNOWN,
        tokens_out=amount(spent.output, spent.missing) if made else wording.UNKNOWN,
        cost=_money(group.cost) if made else wording.UNKNOWN,
        part=part,
        slow=lasted(outcomes.latency.p95_ns if outcomes.latency else None),
        first=lasted(group.first_token.p95_ns if group.first_token else None),
    )


def endings(found: Sequence[Stop], at: Looked) -> tuple[Ending, ...]:
    """A row for each way in which runs stand or ended."""
    whole = sum(stop.count for stop in found)
    return tuple(
        Ending(
            status=stop.status,
            reason=stop.reason,
            count=wording.count(stop.count),
            part=stop.count / whole,
            share=wording.share(stop.count / whole),
            calls=wording.count(stop.calls),
            cost=wording.money(stop.cost, stop.unpriced),
            href=links.runs(status=stop.status, stop_reason=stop.reason, **at.place),
        )
        for stop in found
    )


def slow(found: Sequence[SlowStep]) -> tuple[Slow, ...]:
    """A row for each step."""
    longest = max((step.duration_ms for step in found), default=0)
    return tuple(
        Slow(
            kind=step.kind,
            name=step.name,
            agent=step.agent_type,
            status=step.status,
            began=step.start_time,
            duration=wording.duration(round(step.duration_ms * 1e6)),
            part=step.duration_ms / longest,
            href=links.run(step.run_id) if step.kind == "run" else links.step(step.id),
            run_href=links.run(step.run_id),
        )
        for step in found
        if step.duration_ms  # records without times have no slow steps
    )


def failures(found: Sequence[ErrorGroup], at: Looked) -> tuple[Failures, ...]:
    """A row for each error."""
    return tuple(
        Failures(
            kind=group.step,
            error=group.error,
            count=wording.count(group.count),
            href=links.steps(kind=group.step, error=group.error, **at.place),
        )
        for group in found
    )
