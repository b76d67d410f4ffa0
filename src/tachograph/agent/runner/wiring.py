"""The agents of a runner: an orchestrator that may hand over to scenarios, and no way back.

Agents are values, and those that an application hands over stay as they are: what a runner adds (hand-offs, memory,
guardrails, who takes over) is in copies. Scenarios do not lead back: an orchestrator that has just handed over would
only announce the transfer that the customer is already through with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tachograph.agent.agent import Agent
from tachograph.agent.memory import Memory
from tachograph.agent.runner.faq import guarded
from tachograph.agent.runner.history import slug
from tachograph.errors import SettingsError


def crew_of(agents: Agent | Sequence[Agent]) -> tuple[Agent, ...]:
    """The agents, the orchestrator first. Raises SettingsError for none, for what is none, and for two of one name."""
    found = (agents,) if isinstance(agents, Agent) else tuple(agents)
    if not found:
        raise SettingsError("agents", agents, "at least one agent: the orchestrator, then its scenarios")
    names: set[str] = set()
    for one in found:
        if not isinstance(one, Agent):
            raise SettingsError("agents", one, "an Agent, or several")
        if slug(one.name) in names or not slug(one.name):
            raise SettingsError("agents", one.name, "names with letters or digits, each of another spelling")
        names.add(slug(one.name))
    return found


def wired(
    agents: tuple[Agent, ...], *, faq: Any = None, memory: Any = None, hand_over: Any = None, locale: str = "en"
) -> tuple[Agent, ...]:  # fmt: skip
    """Copies of the agents, wired: hand-offs, memory and the FAQ for the orchestrator, a person for all."""
    orchestrator, *scenarios = (one if hand_over is None else one.but(hand_over=hand_over) for one in agents)
    changes: dict[str, Any] = {}
    if scenarios and not orchestrator.handoffs:
        changes["handoffs"] = tuple(scenarios)
    if memory is not None:
        changes["memory"] = memory if isinstance(memory, Memory) else Memory(recall=memory)
    orchestrator = orchestrator.but(**changes) if changes else orchestrator
    return (orchestrator if faq is None else guarded(orchestrator, faq, locale), *scenarios)
