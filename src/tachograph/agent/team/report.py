"""What whoever delegated is told of the outcome: an answer as it is, everything else in words that say what it was."""

from __future__ import annotations

from typing import Any

from tachograph.agent.answer.outcome import Outcome
from tachograph.record.sanitize import to_json

MOST_DETAIL = 600
"""Characters of what is said of the cause."""


def answer_of(name: str, outcome: Outcome[Any]) -> str:
    """The answer of a worker that completed its work; structured ones as JSON."""
    if outcome.stop_reason == "human_handoff":
        return f"{name} gave its work to a person, who goes on with it."
    if outcome.output is None or isinstance(outcome.output, str):
        return outcome.answer or ""
    return to_json(outcome.output).text


def report(name: str, outcome: Outcome[Any]) -> str:
    """Why there is no answer, what there is instead, and whether the work can go on; never a stack trace."""
    why = _cut(outcome.detail)
    lines = [f"{name} has no answer: its run is {outcome.status} ({outcome.stop_reason}){f': {why}' if why else ''}."]
    if outcome.answer:
        lines.append(f"What it had so far, which nobody accepted as an answer: {outcome.answer}")
    if outcome.resumable:
        lines.append("Its run can be resumed.")
    return "\n".join(lines)


def _cut(detail: str) -> str:
    """What happened, without the full stop; the beginning of it when it is long."""
    said = detail.strip().rstrip(".")
    return said if len(said) <= MOST_DETAIL else f"{said[:MOST_DETAIL]} [cut]"
