"""What an agent is, as a value: its model, its instructions, its tools, and everything that bounds it.

Nothing here runs. `Agent` (agent.py) is a `Spec` that can be run; the pure loop reads a `Spec` and never changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import NoneType
from typing import Any, get_args

import msgspec
from msgspec import Struct

from tachograph.agent.compact.policy import Compaction
from tachograph.agent.guardrails.guardrail import Guardrail
from tachograph.agent.hooks import Hooks
from tachograph.agent.memory import Memory
from tachograph.agent.pace.retry import Retry
from tachograph.agent.pace.schedule import SHARED, Scheduler
from tachograph.agent.people.person import Effect, Person
from tachograph.agent.reminders import Reminder
from tachograph.agent.rules import Phase, Rules
from tachograph.agent.team.delegate import Delegate, Worker
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.tools.approval import Approve, Pause
from tachograph.agent.tools.tool import Tool
from tachograph.errors import SettingsError
from tachograph.limits.limit import Limits, Shipped
from tachograph.limits.text import read
from tachograph.providers.models import model as model_of
from tachograph.providers.port import ModelPort, Params

SHIPPED = Limits()
PLAINLY = Params()
COMPACTION = Compaction()


class Verify(Struct, frozen=True):
    """A gate before the answer: a function of the answer, or a command that must exit with 0.

    The function returns True, or what is wrong as a text (False says no more); it may be async. A command gets the
    answer on standard input.
    """

    check: Callable[[Any], Any] | Sequence[str]
    name: str = "verification"
    seconds: float = 60.0


_LEAST: Mapping[str, int] = {
    "parallel": 1, "max_tokens": 1, "gate_refusals": 0, "nudges": 0, "schema_retries": 0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Spec(Rules):
    """The value of an agent. Fields are read once when a run begins."""

    name: str
    model: str | ModelPort
    """A model's name as for `tachograph.providers.models.model`, or a model."""
    instructions: str | Callable[[Mapping[str, Any]], str] = ""
    """The system prompt; a function gets the `context` of the run."""
    tools: Sequence[Any] = ()
    """Functions, `Tool`s, objects that can be called, JSON-schema mappings."""
    delegates: Sequence[Worker | Delegate] = ()
    """Agents that it may ask: each is a tool, `ask_<name>` unless a `Delegate` says another."""
    limits: Limits | str = SHIPPED
    params: Params = PLAINLY
    max_tokens: int | None = None
    """Most tokens of output a request may ask for; None: 4,096, or what is left."""
    tool_choice: str = "auto"
    """auto, none, required, or a tool's name. The last two hold for an agent's first request, and `auto` after it."""
    cache: bool = False
    """Whether a provider that wants to be told may cache tools and instructions."""
    streaming: bool = True
    parallel: int = 10
    """Most tools of one reply that run at the same time."""
    verify: Verify | None = None
    hooks: Hooks = field(default_factory=Hooks)
    guardrails: Sequence[Guardrail] = ()
    """Asked in this order, after the hooks of the same point."""
    memory: Memory | None = None
    """What is remembered, told in the instructions of one run."""
    reminders: Sequence[Reminder] = ()
    handoffs: Sequence[Spec | Handoff] = ()
    """Agents that may go on in this one's place: they, or a `Handoff` that says more."""
    approve: Approve | Pause | None = None
    """Asked before tools that need approval; or `Pause`: the run stops, and goes on when somebody has decided."""
    hand_over: Person | Effect | None = None
    """What gives a run to a person, for limits of mode `handoff` and for models that ask for one: a function, or a
    `Person` that also says how often it is tried and what the customer is told."""
    retry: Retry | None = None
    """None: as the profile says."""
    compaction: Compaction | None = COMPACTION
    """How the conversation is kept within the model's context window; None: it is not."""
    scheduler: Scheduler = SHARED
    version: str | None = None
    description: str = ""
    tags: Sequence[str] = ()
    """Of every run."""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        if not self.name:
            raise SettingsError("name", self.name, "a name for the agent")
        if not isinstance(self.model, str) and not hasattr(self.model, "ask"):
            raise SettingsError("model", self.model, "a model's name, or a model")
        for name, least in _LEAST.items():
            figure = getattr(self, name)
            if figure is not None and figure < least:
                raise SettingsError(name, figure, f"at least {least}")
        self._check_kinds()
        for one in self.delegates:
            Delegate.of(one)
        limits_of(self.limits)
        super().__post_init__()

    def _check_kinds(self) -> None:
        for name, kind in _ASKED.items():
            given = getattr(self, name)
            if not (given is None or isinstance(given, kind) or callable(given)):
                raise SettingsError(name, given, f"a function, or a {kind.__name__}")
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            several = isinstance(value, Sequence) and not isinstance(value, str)
            for item in value if several else (value,):
                if not isinstance(item, kind):
                    raise SettingsError(name, item, _spelled(kind))

    @cached_property
    def port(self) -> ModelPort:
        """The model. Raises SettingsError, MissingExtra."""
        return model_of(self.model) if isinstance(self.model, str) else self.model

    @property
    def person(self) -> Person | None:
        """Who takes over; None where nobody can."""
        return Person.of(self.hand_over)

    @property
    def retrying(self) -> Retry:
        """How requests are repeated."""
        return Retry(attempts=self.figures.retries + 1) if self.retry is None else self.retry


_ASKED: Mapping[str, type] = {"hand_over": Person, "approve": Pause}
"""Field → what it is where it is no function."""
_KINDS: Mapping[str, Any] = {
    "hooks": Hooks, "params": Params, "scheduler": Scheduler, "reminders": Reminder, "phases": Phase,
    "verify": Verify | None, "handoffs": Spec | Handoff,
    "guardrails": Guardrail, "memory": Memory | None, "compaction": Compaction | None,
}  # fmt: skip
"""Field → what it, or each item of it, must be."""


def _spelled(kind: Any) -> str:
    """A kind as programs know it."""
    return " or ".join({Spec: "Agent", NoneType: "None"}.get(one) or one.__name__ for one in get_args(kind) or (kind,))


def limits_of(limits: Limits | str) -> Limits:
    """Limits from their value or their text. Raises SettingsError."""
    return read(limits)


def effective(spec: Spec, limits: Limits | str | None, tools: Mapping[str, Tool]) -> Limits:
    """The limits of one run: the call's, else the agent's, with the profile's iterations and the tools' policies."""
    found = limits_of(spec.limits if limits is None else limits)
    if spec.profile is not None and isinstance(found.iterations, Shipped):
        found = replace(found, iterations=Shipped(spec.figures.iterations))
    stated = {name: tool.repeat for name, tool in tools.items() if tool.repeat is not None}
    if stated:
        loops = msgspec.structs.replace(found.loops, tools={**stated, **found.loops.tools})
        found = replace(found, loops=loops)
    return found


def equipment(spec: Spec) -> dict[str, Tool]:
    """Everything an agent can use, by name: its tools, and its delegates. Raises SettingsError."""
    return toolbox((*spec.tools, *(Delegate.of(one).tool for one in spec.delegates)))


def toolbox(tools: Sequence[Any]) -> dict[str, Tool]:
    """Tools by name, in order. Raises SettingsError for two of one name."""
    found: dict[str, Tool] = {}
    for thing in tools:
        tool = Tool.of(thing)
        if tool.name in found:
            raise SettingsError("tools", tool.name, "tools with different names")
        found[tool.name] = tool
    return found
