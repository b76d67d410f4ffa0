"""What a run's outcome means to the application: an answer, a protection that handed over or could not, or an error.

Every outcome has its place here; only an answer of the model, or a text that was approved for it, is ever shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.runner.response import Response, failed, protected
from tachograph.agent.runner.structured import fields_of
from tachograph.errors import LimitExceeded, ModelError

HANDED_OVER = "Handed over to a person"
WRAPPED = frozenset(("max_iterations", "max_llm_calls", "max_tool_calls", "tool_loop", "no_progress"))
"""Limits that may leave one last turn, whose words are an answer though the run is `failed`."""


def processed(outcome: Outcome[Any], agent: str, alone: Callable[[str], str]) -> Response:
    """The reply that an outcome comes to. `alone` says what is told of a limit where there is nobody to take over."""
    taken_over = outcome.stop_reason == "human_handoff"
    metric = _limit(outcome)
    message = outcome.message
    if outcome.answer is not None and not taken_over and (outcome.completed or outcome.stop_reason in WRAPPED):
        return _answered(outcome, agent)
    if metric:
        return protected(message or alone(metric), metric, outcome, handed_over=taken_over)
    if taken_over or message:
        fields = {"response": message or "", "reasoning": HANDED_OVER, "reaction_emoji": ""}
        category = "" if taken_over else category_of(outcome)
        return Response(
            kind="handoff", fields=fields, agent_name=agent, category=category, handed_over=taken_over, outcome=outcome
        )  # fmt: skip
    if outcome.stop_reason == "superseded":
        return Response(kind="discarded", category="superseded", outcome=outcome)
    if outcome.status == "paused":
        return Response(kind="paused", agent_name=agent, category=outcome.stop_reason, outcome=outcome)
    return failed(category_of(outcome), outcome)


def kept_by_person(text: str) -> Response:
    """The reply to a message in a conversation that a person has: no model is asked."""
    fields = {"response": text, "reasoning": HANDED_OVER, "reaction_emoji": ""}
    return Response(kind="handoff", fields=fields, category="handed_off", handed_over=True)


def category_of(outcome: Outcome[Any]) -> str:
    """Why there is no answer: the category of a model's error, else the stop reason."""
    if isinstance(outcome.error, ModelError):
        return outcome.error.category
    return outcome.stop_reason or outcome.status


def _limit(outcome: Outcome[Any]) -> str:
    """The metric of the limit that ended a run; empty where none did."""
    if isinstance(outcome.error, LimitExceeded):
        return outcome.error.metric
    return outcome.stop_reason if outcome.stop_reason in WRAPPED else ""


def _answered(outcome: Outcome[Any], agent: str) -> Response:
    fields = fields_of(outcome.output, outcome.answer or "")
    return Response(
        kind="answer", fields=fields, agent_name=agent, category="" if outcome.completed else outcome.stop_reason,
        billable=outcome.billable, outcome=outcome,
    )  # fmt: skip
