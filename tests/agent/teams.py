"""Agents that ask other agents: what tests say of them, and what they look at."""

from __future__ import annotations

from typing import Any

from tachograph.agent.answer.outcome import Outcome
from tachograph.events.run import RunEnded, RunStarted
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.testing import Captured
from tests.agent.must import laws


def asks(name: str, message: str = "work", **more: Any) -> Call:
    """A call of a delegate."""
    return Call(f"ask_{name}", {"message": message, **more})


def told(outcome: Outcome[Any]) -> list[str]:
    """Results of tools, as the model is told them."""
    return [message.text for message in outcome.messages if message.role == "tool"]


def said(model: ScriptedModel) -> list[list[str]]:
    """The texts of each request."""
    return [[message.text for message in request.messages] for request in model.requests]


def ends(events: Captured) -> list[tuple[str, str, str]]:
    """Name, status and reason of each run, in the order of their ends."""
    named = {event.run: event.body.name for event in events.of(RunStarted)}
    return [(named[event.run], event.body.status, event.body.stop_reason) for event in events.of(RunEnded)]


def whole(outcome: Outcome[Any], events: Captured) -> Outcome[Any]:
    """The outcome, after a look at what must hold of it and of its delegates."""
    laws.hold(family(outcome), events)
    return outcome


def family(outcome: Outcome[Any]) -> list[Outcome[Any]]:
    """It and its delegates' outcomes, and theirs."""
    return [outcome, *(one for child in outcome.children for one in family(child))]


def always(answer: Any) -> ScriptedModel:
    """A model that always says the same."""
    return ScriptedModel(lambda request: answer(request) if callable(answer) else answer)
