"""The agents that one run may bring to work, and what each of them brings along.

A run is of the agent it was called on, its lead; the others are those that hand-offs lead to. They are known by
reference; the record, and whoever goes on from it, name them, so that a name means one agent in a run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from tachograph.agent.hooks import Hooks
from tachograph.agent.live import Post
from tachograph.agent.reminders import Reminder
from tachograph.agent.spec import Spec, equipment, limits_of
from tachograph.agent.team.handoff import Handoff, edges_of
from tachograph.agent.tools.tool import Tool
from tachograph.errors import SettingsError
from tachograph.limits.limit import FIGURES, Limits, Shipped
from tachograph.providers.port import ModelPort

Box = Callable[[], Mapping[str, Tool]]

INHERITED = ("approve", "hand_over")
"""Fields that an agent without them has from the lead: the people of the program are there for all its agents."""
_RUNS = ("depth", "session_", "tenant_")
"""Figures that are of runs, not of an agent's part in one."""


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who may be at work in one run. The fields behind `port` are what the call brings."""

    lead: Spec
    port: ModelPort
    """Of the lead."""
    hooks: Hooks | None = None
    reminders: Sequence[Reminder] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    instructions: str | None = None
    """Of the lead, in place of its own."""
    offered: Box | None = None
    """Tools of the lead, in place of its own."""
    agents: Mapping[str, Spec] = field(init=False)
    """By name, the lead first."""
    boxes: Mapping[str, Box] = field(init=False)
    """Agent → what it is offered, hand-offs too."""

    def __post_init__(self) -> None:
        """Look at all of them at once. Raises SettingsError."""
        agents = members(self.lead)
        object.__setattr__(self, "agents", agents)
        boxes = {name: _box(spec, self.offered if spec is self.lead else None) for name, spec in agents.items()}
        object.__setattr__(self, "boxes", boxes)

    def tools(self) -> dict[str, Tool]:
        """All tools of all agents; of two with one name the earlier agent's."""
        found: dict[str, Tool] = {}
        for box in self.boxes.values():
            found = {**box(), **found}
        return found

    def post(self, name: str) -> Post:
        """What an agent of the crew brings to work. Raises SettingsError, and whatever its instructions raise."""
        spec = self.agents.get(name)
        if spec is None:
            raise SettingsError("start", name, f"one of {', '.join(self.agents)}")
        leads = spec is self.lead
        spec = spec if leads else _inheriting(spec, self.lead)
        said = self.instructions if leads else None
        return Post(
            spec=spec, port=self.port if leads else self.agents[name].port, offered=self.boxes[name],
            hooks=spec.hooks if self.hooks is None else spec.hooks.merged(self.hooks), edges=edges_of(spec),
            reminders=(*spec.reminders, *self.reminders), instructions=_instructions(spec, said, self.context),
            limits=None if leads else part_of(spec),
        )  # fmt: skip


def members(lead: Spec) -> dict[str, Spec]:
    """The agents that hand-offs lead to from here, by name, the nearest first. Raises SettingsError.

    An edge back to an agent of the lead's name is an edge to the lead, also where a copy of it was made (`but`).
    """
    found = {lead.name: lead}
    waiting = deque([lead])
    while waiting:
        for edge in edges_of(waiting.popleft()).values():
            name, target = edge.target.name, edge.target
            if not isinstance(target, Spec):
                raise SettingsError("handoffs", name, "an agent")
            if name not in found:
                found[name] = target
                waiting.append(target)
            elif found[name] is not target and name != lead.name:
                raise SettingsError("handoffs", name, "agents with different names, or the same agent again")
    return found


def part_of(spec: Spec) -> Limits | None:
    """What an agent's own limits allow its part of a run: those it states, counted from when it is at work."""
    own = limits_of(spec.limits)
    if spec.profile is not None and isinstance(own.iterations, Shipped):
        own = replace(own, iterations=spec.figures.iterations)
    others: dict[str, Any] = dict.fromkeys(
        name for name in FIGURES if isinstance(getattr(own, name), Shipped) or name.startswith(_RUNS)
    )
    found = replace(own, **others)
    return found if any(getattr(found, name) is not None for name in FIGURES) else None


def _box(spec: Spec, given: Box | None) -> Box:
    own = equipment(spec)
    edges: Mapping[str, Handoff] = edges_of(spec)
    ways = {name: edge.tool for name, edge in edges.items()}
    for name in (own if given is None else given()).keys() & ways.keys():
        raise SettingsError("handoffs", name, "a name that no tool of the agent has: Handoff(agent, name=…)")
    if not ways:
        return given or (lambda: own)
    return lambda: {**(own if given is None else given()), **ways}


def _inheriting(spec: Spec, lead: Spec) -> Spec:
    known = {item.name for item in fields(spec)}
    taken = {name: getattr(lead, name) for name in INHERITED if name in known and getattr(spec, name) is None}
    missing = {name: value for name, value in taken.items() if value is not None}
    return replace(spec, **missing) if missing else spec


def _instructions(spec: Spec, given: str | None, context: Mapping[str, Any]) -> str:
    said = spec.instructions if given is None else given
    text = said if isinstance(said, str) else said(context)
    if spec.phases and spec.phases[0].instructions:
        text = f"{text}\n\n{spec.phases[0].instructions}" if text else spec.phases[0].instructions
    return text
