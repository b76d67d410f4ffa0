"""A delegate: an agent as a tool of another. Which agent that is, the tool holds; its name says nothing.

lead = Agent(name="lead", model="gpt-5", delegates=[billing, Delegate(scout, mode="fresh", limits="5 turns")])
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, Self, TypeGuard, get_args

from tachograph.agent.answer.output import schema_of
from tachograph.agent.tools.tool import Tool
from tachograph.errors import SettingsError
from tachograph.limits.limit import Limits
from tachograph.limits.text import read
from tachograph.providers.port import ModelPort

Mode = Literal["persistent", "fork", "fresh"]
"""What a worker knows when it is asked: what it was asked before, the conversation of whoever asks, or nothing."""
MESSAGE, RESET = "message", "reset_context"
_KNOWS: Mapping[str, str] = {
    "persistent": "It remembers what you asked it before, and nothing else of this conversation.",
    "fork": "It knows this conversation so far.",
    "fresh": "It knows nothing but your message.",
}
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 64


class Worker(Protocol):
    """What can be asked: an agent."""

    @property
    def name(self) -> str:
        """What it is called, in the record too."""
        ...

    @property
    def description(self) -> str:
        """What it is for."""
        ...

    @property
    def port(self) -> ModelPort:
        """Its model."""
        ...

    def but(self, **changes: Any) -> Any:
        """The same agent with some fields changed."""
        ...

    async def perform(self, live: Any, prompt: Any) -> Any:
        """Perform a run that was begun."""
        ...


@dataclass(frozen=True, eq=False)
class Delegate:
    """An agent that another may ask, and how. Raises SettingsError for what cannot be used."""

    agent: Worker | Callable[[], Worker]
    """An agent, or a function that gives one, for those that know each other."""
    name: str | None = None
    """Of the tool; None: `ask_<name of the agent>`."""
    description: str | None = None
    """What the model is told of it; None: what the agent says of itself."""
    mode: Mode = "persistent"
    parallel: int | None = None
    """Most calls of it at the same time in one conversation; None: as many as one reply may run.

    With 1, calls of one reply go on with what the one before them said; else each has a context of its own.
    """
    limits: Limits | str | None = None
    """Of each call; None: the agent's own. Those of whoever asks hold in any case."""
    output: Any = None
    """The type of its answer, which is handed over as JSON; None: as the agent says."""
    recursive: bool = False
    """Whether it may be asked while it is at work above this call. The depth of runs bounds that."""

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        if not (_works(self.agent) or callable(self.agent)):
            raise SettingsError("delegate", self.agent, "an agent, or a function that gives one")
        if self.mode not in get_args(Mode):
            raise SettingsError("mode", self.mode, f"one of {', '.join(get_args(Mode))}")
        if self.parallel is not None and self.parallel < 1:
            raise SettingsError("parallel", self.parallel, "at least 1, or None")
        if self.limits is not None:
            read(self.limits)
        schema_of(self.output)

    @classmethod
    def of(cls, thing: Any) -> Self:
        """A delegate of an agent, or itself. Raises SettingsError."""
        return thing if isinstance(thing, cls) else cls(thing)

    @cached_property
    def worker(self) -> Worker:
        """The agent. Raises SettingsError where a function gives none."""
        found: Any = self.agent if _works(self.agent) else self.agent()  # type: ignore[operator]  # a function then
        if not _works(found):
            raise SettingsError("delegate", found, "a function that gives an agent")
        return found

    @cached_property
    def tool(self) -> DelegateTool:
        """The tool of whoever may ask it. Raises SettingsError."""
        worker = self.worker
        name = self.name or f"ask_{_UNFIT.sub('_', worker.name)}"[:_LONGEST]
        return DelegateTool(
            name=name, description=self._description(worker), parameters=_parameters(self.mode), function=_by_itself,
            classification="delegation", delegate=self,
        )  # fmt: skip

    def _description(self, worker: Worker) -> str:
        if self.description is not None:
            return self.description
        said = worker.description or "It answers when it is done."
        return f"Ask {worker.name}, another agent. {said} {_KNOWS[self.mode]}"


@dataclass(frozen=True, eq=False)
class DelegateTool(Tool):
    """The tool that asks a delegate."""

    delegate: Delegate = field(kw_only=True, repr=False)

    @property
    def told(self) -> Mapping[str, str]:
        """What the record says of each call, beside its name and arguments."""
        return {"worker": self.delegate.worker.name, "context": self.delegate.mode}


def _works(thing: Any) -> TypeGuard[Worker]:
    """Whether it is an agent; asked without having its model made."""
    return hasattr(type(thing), "perform")


def _parameters(mode: Mode) -> dict[str, Any]:
    message = {"type": "string", "description": "What to do, with everything it has to know for that."}
    reset = {"type": "boolean", "description": "Have it forget what you asked it before."}
    properties = {MESSAGE: message, RESET: reset} if mode == "persistent" else {MESSAGE: message}
    return {"type": "object", "properties": properties, "required": [MESSAGE]}


async def _by_itself(message: str, reset_context: bool = False) -> str:
    """Stands for the run that the loop of an agent makes of such a call."""
    raise SettingsError("delegate", message, "the loop of an agent to ask it: this tool does not run by itself")
