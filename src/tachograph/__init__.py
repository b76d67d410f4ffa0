"""Tachograph: the flight recorder and circuit breaker for LLM agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tachograph.agent.agent import Agent as Agent
    from tachograph.agent.answer.outcome import Outcome as Outcome
    from tachograph.agent.chat import Chat as Chat
    from tachograph.agent.compact.policy import Compaction as Compaction
    from tachograph.agent.guardrails.guardrail import Guardrail as Guardrail
    from tachograph.agent.hooks import Hooks as Hooks
    from tachograph.agent.memory import Memory as Memory
    from tachograph.agent.people.person import Person as Person
    from tachograph.agent.reminders import Reminder as Reminder
    from tachograph.agent.resume.fork import fork as fork
    from tachograph.agent.resume.resume import resume as resume
    from tachograph.agent.resume.snapshot import Snapshot as Snapshot
    from tachograph.agent.resume.snapshot import snapshot as snapshot
    from tachograph.agent.runner.runner import Runner as Runner
    from tachograph.agent.session.session import Session as Session
    from tachograph.agent.team.delegate import Delegate as Delegate
    from tachograph.agent.team.handoff import Handoff as Handoff
    from tachograph.agent.team.starting import starting_agent as starting_agent
    from tachograph.agent.tools.approval import Allow as Allow
    from tachograph.agent.tools.approval import Deny as Deny
    from tachograph.agent.tools.approval import Pause as Pause
    from tachograph.agent.tools.tool import Tool as Tool
    from tachograph.compose import configure as configure
    from tachograph.compose import flush as flush
    from tachograph.errors import LimitExceeded as LimitExceeded
    from tachograph.errors import ModelError as ModelError
    from tachograph.errors import TachographError as TachographError
    from tachograph.events.usage import Usage as Usage
    from tachograph.instrument import trace as trace
    from tachograph.instrument.functions import tool as tool
    from tachograph.instrument.llm import LLM as LLM
    from tachograph.instrument.logging import ExecutionLogger as ExecutionLogger
    from tachograph.instrument.logging import LLMCallLogger as LLMCallLogger
    from tachograph.instrument.logs import RunIds as RunIds
    from tachograph.limits.limit import Limits as Limits
    from tachograph.providers.models import model as model
    from tachograph.record.after.resumed import resumed as resumed
    from tachograph.record.intent import LLMCall as LLMCall
    from tachograph.record.intent import ToolCall as ToolCall
    from tachograph.record.run import run as run
    from tachograph.record.scope import traceparent as traceparent
    from tachograph.record.step import step as step
    from tachograph.store.schema import metadata as metadata
    from tachograph.version import VERSION as __version__

_HOMES = {
    "Agent": "tachograph.agent.agent:Agent",
    "Allow": "tachograph.agent.tools.approval:Allow",
    "Chat": "tachograph.agent.chat:Chat",
    "Compaction": "tachograph.agent.compact.policy:Compaction",
    "Delegate": "tachograph.agent.team.delegate:Delegate",
    "Deny": "tachograph.agent.tools.approval:Deny",
    "ExecutionLogger": "tachograph.instrument.logging:ExecutionLogger",
    "Guardrail": "tachograph.agent.guardrails.guardrail:Guardrail",
    "Handoff": "tachograph.agent.team.handoff:Handoff",
    "Hooks": "tachograph.agent.hooks:Hooks",
    "LLM": "tachograph.instrument.llm:LLM",
    "LLMCall": "tachograph.record.intent:LLMCall",
    "LLMCallLogger": "tachograph.instrument.logging:LLMCallLogger",
    "LimitExceeded": "tachograph.errors:LimitExceeded",
    "Limits": "tachograph.limits.limit:Limits",
    "Memory": "tachograph.agent.memory:Memory",
    "ModelError": "tachograph.errors:ModelError",
    "Outcome": "tachograph.agent.answer.outcome:Outcome",
    "Pause": "tachograph.agent.tools.approval:Pause",
    "Person": "tachograph.agent.people.person:Person",
    "Reminder": "tachograph.agent.reminders:Reminder",
    "RunIds": "tachograph.instrument.logs:RunIds",
    "Runner": "tachograph.agent.runner.runner:Runner",
    "Session": "tachograph.agent.session.session:Session",
    "Snapshot": "tachograph.agent.resume.snapshot:Snapshot",
    "TachographError": "tachograph.errors:TachographError",
    "Tool": "tachograph.agent.tools.tool:Tool",
    "ToolCall": "tachograph.record.intent:ToolCall",
    "Usage": "tachograph.events.usage:Usage",
    "__version__": "tachograph.version:VERSION",
    "configure": "tachograph.compose:configure",
    "flush": "tachograph.compose:flush",
    "fork": "tachograph.agent.resume.fork:fork",
    "metadata": "tachograph.store.schema:metadata",
    "model": "tachograph.providers.models:model",
    "resume": "tachograph.agent.resume.resume:resume",
    "resumed": "tachograph.record.after.resumed:resumed",
    "run": "tachograph.record.run:run",
    "snapshot": "tachograph.agent.resume.snapshot:snapshot",
    "starting_agent": "tachograph.agent.team.starting:starting_agent",
    "step": "tachograph.record.step:step",
    "tool": "tachograph.instrument.functions:tool",
    "trace": "tachograph.instrument.trace",
    "traceparent": "tachograph.record.scope:traceparent",
}

__all__ = [
    "Agent",
    "Allow",
    "Chat",
    "Compaction",
    "Delegate",
    "Deny",
    "ExecutionLogger",
    "Guardrail",
    "Handoff",
    "Hooks",
    "LLM",
    "LLMCall",
    "LLMCallLogger",
    "LimitExceeded",
    "Limits",
    "Memory",
    "ModelError",
    "Outcome",
    "Pause",
    "Person",
    "Reminder",
    "RunIds",
    "Runner",
    "Session",
    "Snapshot",
    "TachographError",
    "Tool",
    "ToolCall",
    "Usage",
    "configure",
    "flush",
    "fork",
    "metadata",
    "model",
    "resume",
    "resumed",
    "run",
    "snapshot",
    "starting_agent",
    "step",
    "tool",
    "trace",
    "traceparent",
]


def __getattr__(name: str) -> Any:
    """Public names are loaded when they are first used; recording names bring the default recorder with them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tachograph' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - importing the package loads nothing else

    import_module("tachograph.compose")
    module, _, attribute = _HOMES[name].partition(":")
    home = import_module(module)
    value = getattr(home, attribute) if attribute else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted((*__all__, "__version__"))
