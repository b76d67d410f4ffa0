"""Hand-off: another agent goes on in this one's place, in the same run, with the same conversation.

    desk = Agent(name="desk", …, handoffs=[billing, Handoff(returns, input_filter=without_tools)])

Each edge is a tool, `handoff_to_<agent>`, whose one parameter is the reason. The tool holds the agent itself: nothing
is ever looked up by a name that a model wrote. Edges lead one way; one that comes back says so:

    billing = Agent(name="billing", …, handoffs=[Handoff(lambda: desk, back=True)])
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from tachograph.agent.rules import Rules
from tachograph.agent.tools.tool import Tool
from tachograph.errors import SettingsError
from tachograph.events.chat import Message

Said = Iterable[Message | Mapping[str, Any]]
Filter = Callable[[tuple[Message, ...]], Said | Awaitable[Said]]
"""The conversation so far, without instructions → the one that is carried on. Plain (it runs in a thread) or async."""

REASON: Mapping[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string", "description": "Why, in a few words."}},
}
_UNFIT = re.compile(r"[^a-z0-9_-]+")


class Colleague(Protocol):
    """An agent, as far as handing over to it goes."""

    @property
    def name(self) -> str:
        """What it is called in the record."""
        ...

    @property
    def description(self) -> str:
        """What it says of itself."""
        ...

    @property
    def handoffs(self) -> Sequence[Any]:
        """Where it may lead on to."""
        ...


@dataclass(frozen=True)
class Handoff:
    """One way out of an agent. Raises SettingsError."""

    to: Colleague | Callable[[], Colleague]
    """The agent, or a function that gives it, for one that is made later."""
    name: str | None = None
    """Of the tool; None: `handoff_to_<agent>`."""
    description: str | None = None
    """Of the tool; None: what the agent says of itself."""
    input_filter: Filter | None = None
    """What the next agent reads of the conversation; None: all of it."""
    back: bool = False
    """Whether it may lead to an agent that was at work in this run before."""

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        if not (isinstance(self.to, Rules) or callable(self.to)):
            raise SettingsError("to", self.to, "an agent, or a function that gives one")
        if self.input_filter is not None and not callable(self.input_filter):
            raise SettingsError("input_filter", self.input_filter, "a function of the messages")

    @cached_property
    def target(self) -> Colleague:
        """The agent it leads to. Raises SettingsError when its function gives none."""
        found = self.to() if callable(self.to) else self.to
        if not isinstance(found, Rules):
            raise SettingsError("to", found, "a function that gives an agent")
        return found

    @cached_property
    def tool(self) -> Tool:
        """What the model calls. Raises SettingsError."""
        other = self.target.name
        about = f": {self.target.description}" if self.target.description else "."
        said = self.description or f"Hand this conversation over to {other}{about}"

        async def hand_over(reason: str = "") -> str:
            return f"Handed over to {other}."

        return Tool(self.name or tool_name(other), said, REASON, hand_over, idempotent=True, types={"reason": str})


def tool_name(agent: str) -> str:
    """What the tool is called that hands over to an agent. Raises SettingsError for a name that gives none."""
    plain = unicodedata.normalize("NFKD", agent).encode("ascii", "ignore").decode().lower()
    said = _UNFIT.sub("_", plain).strip("_")
    if not said:
        raise SettingsError("handoffs", agent, "a name for the tool: Handoff(agent, name=…)")
    return f"handoff_to_{said}"


def edges_of(spec: Colleague) -> dict[str, Handoff]:
    """The ways out of an agent, by the names of their tools. Raises SettingsError for what cannot be told apart."""
    found: dict[str, Handoff] = {}
    for item in spec.handoffs:
        edge = item if isinstance(item, Handoff) else Handoff(item)
        if edge.tool.name in found:
            raise SettingsError("handoffs", edge.tool.name, f"one hand-off of that name in {spec.name}")
        if edge.target.name == spec.name:
            raise SettingsError("handoffs", spec.name, "an agent other than the one that hands over")
        found[edge.tool.name] = edge
    return found
