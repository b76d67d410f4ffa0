"""What stands above every view of a run: why it stopped as one sentence, who it was handed to, what it waits for."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tachograph.queries import wording
from tachograph.queries.answers.approvals import WaitingCall
from tachograph.queries.answers.limits import ReachedLimit
from tachograph.queries.answers.runs import RunOverview
from tachograph.queries.heading import Evidence, Heading
from tachograph.web import filters, links

MOST_EVIDENCE = 12
"""Steps that a sentence names; the rest is a number."""
_UNITS: Mapping[str, tuple[str, str]] = {
    "max_iterations": ("iteration", "iterations"), "max_llm_calls": ("model call", "model calls"),
    "max_tool_calls": ("tool call", "tool calls"), "max_handoffs": ("hand-off", "hand-offs"),
    "max_depth": ("level of runs", "levels of runs"), "token_budget": ("token", "tokens"),
}  # fmt: skip
HANDED: Mapping[str, str] = {
    "requested": "A person was asked for and has not answered yet",
    "applied": "Handed to a person",
    "failed": "A person was asked for and could not be reached",
}


class StopEvidence(Struct, frozen=True, kw_only=True):
    """Why a run was stopped, in one sentence: `text`, the steps it rests on, and what was allowed."""

    text: str
    evidence: tuple[Evidence, ...]
    more: int
    """Steps of the evidence that are not named."""
    allowed: str
    href: str
    """To the step in which it happened."""


class HandedOver(Struct, frozen=True, kw_only=True):
    """A run on its way to a person."""

    text: str
    state: str
    why: str
    told: str
    """What the customer was told."""


class Head(Struct, frozen=True, kw_only=True):
    """A run as it stands above its views."""

    run: RunOverview
    parent: RunOverview | None
    parent_step: str | None
    children: tuple[RunOverview, ...]
    more_children: int
    stopped: StopEvidence | None
    handed: HandedOver | None
    resumed: tuple[str, ...]
    """Sentences, one each time it went on."""
    waiting: tuple[WaitingCall, ...]
    is_live: bool
    """Whether more can be expected without anybody's doing."""


def head(found: Heading) -> Head:
    """What a template shows of it."""
    return Head(
        run=found.run,
        parent=found.parent,
        parent_step=found.parent_step,
        children=found.children,
        more_children=found.child_count - len(found.children),
        stopped=_stopped(found),
        handed=_handed(found),
        resumed=_resumed(found),
        waiting=found.waiting,
        is_live=found.run.status in ("started", "paused"),
    )


def _stopped(found: Heading) -> StopEvidence | None:
    if found.stop is None:
        return None
    hit, evidence = found.stop.hit, found.stop.evidence
    return StopEvidence(
        text=hit.reason.rstrip(". ") or used(hit),
        evidence=evidence[:MOST_EVIDENCE],
        more=max(0, len(evidence) - MOST_EVIDENCE),
        allowed=_allowed(hit),
        href=links.step(hit.step_id),
    )


def used(hit: ReachedLimit) -> str:
    """What was used and asked for: `15 iterations used, 1 more asked for`."""
    scope = "" if hit.scope == "run" else f" in this {hit.scope}"
    wanted = f", {amount(hit.metric, hit.requested)} more asked for" if hit.requested else ""
    return f"{amount(hit.metric, hit.used)} used{scope}{wanted}"


def amount(metric: str, value: float | None) -> str:
    """An amount in the unit of its metric."""
    if value is None:
        return "no end"
    match metric:
        case "cost_budget":
            return filters.usd(value)
        case "deadline":
            return wording.duration(round(value * 1_000_000_000))
    number = wording.count(int(value)) if value == int(value) else f"{value:.4g}"
    unit = _UNITS.get(metric, ("", ""))[value != 1]
    return f"{number} {unit}".rstrip()


def _allowed(hit: ReachedLimit) -> str:
    """The limit. The threshold of a repetition is the number that is one too many."""
    if hit.evidence and hit.metric == "tool_loop" and hit.threshold is not None and (hit.used or 0) < hit.threshold:
        return f"allowed are {amount('', hit.threshold - 1)}"
    return f"the limit is {amount(hit.metric, hit.threshold)}"


def _handed(found: Heading) -> HandedOver | None:
    handing = found.handing
    if handing is None:
        return None
    attempts = f" after {handing.attempts} attempts" if handing.attempts > 1 else ""
    why = handing.problem if handing.state == "failed" else handing.reason
    if found.stop is not None and why == found.stop.hit.reason:
        why = ""
    return HandedOver(
        text=f"{HANDED[handing.state]}{attempts}", state=handing.state, why=why.rstrip(". "), told=handing.text or ""
    )


def _resumed(found: Heading) -> tuple[str, ...]:
    said = tuple(
        f"Went on {f'by {each.by}, ' if each.by else ''}after it was {wording.outcome(each.status, each.stop_reason)}"
        + (f" for {wording.duration(each.stood_ns)}" if each.stood_ns is not None else "")
        for each in found.resumptions
    )
    if found.resumed > len(said):
        return (f"Went on {wording.some(found.resumed, 'time')} after it had ended or was paused", *said)
    return said
