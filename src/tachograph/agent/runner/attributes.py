"""What spans say, by the exact names that OpenTelemetry's GenAI conventions and Langfuse give it.

Nothing that is unknown is said: no empty text, no null, no 0 in place of it. What Langfuse keeps as metadata is text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tachograph.agent.runner.history import slug
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.run import RunEnded, RunStarted, is_billable
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold.cost import usd
from tachograph.fold.handoffs import PERSON, Handing

TAGS = "langfuse.trace.tags"
USER = "langfuse.user.id"
METADATA = "langfuse.trace.metadata.{}"
IDS = ("assistant_id", "conversation_id", "conversation_display_id")
"""Of the run's metadata, what goes with the trace."""


def root(
    name: str, tags: tuple[str, ...], started: RunStarted, facts: Any, ended: RunEnded | None
) -> dict[str, Any]:  # fmt: skip
    """Of the root span. `facts` is the metadata of the run; its account counts as the user."""
    said: Mapping[str, Any] = facts if isinstance(facts, Mapping) else {}
    found = {
        "langfuse.trace.name": name,
        TAGS: json.dumps(tags) if tags else None,
        USER: text_of(said.get("account_id")) or started.user,
        "langfuse.session.id": started.session,
        "gen_ai.conversation.id": started.session,
        **metadata({key: said.get(key) for key in IDS}),
        **({} if ended is None else metadata(_outcome(ended))),
    }
    return known(found)


def metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as metadata of a trace: those that are known, as text."""
    return {METADATA.format(name): text for name, fact in facts.items() if (text := text_of(fact))}


def generation(
    started: CallStarted, ended: CallEnded | None, usage: Usage | None, cost: Cost | None, session: str | None
) -> dict[str, Any]:  # fmt: skip
    """Of an attempt: the only span with a model and its usage."""
    found: dict[str, Any] = {
        "langfuse.observation.type": "generation",
        "gen_ai.operation.name": started.operation,
        "gen_ai.provider.name": started.provider,
        "gen_ai.request.model": started.model,
        "gen_ai.conversation.id": session,
        "agent.name": slug(started.agent_type or ""),
    }
    if ended is not None:
        found |= {
            "gen_ai.response.model": ended.served_model,
            "gen_ai.response.id": ended.response_id,
            "error.type": _error(ended),
        }
    if usage is not None and usage.basis != "missing":
        found |= {
            "gen_ai.usage.input_tokens": usage.input_total,
            "gen_ai.usage.output_tokens": usage.output,
            "langfuse.observation.usage_details": _json(_buckets(usage)),
        }
    if cost is not None and cost.total is not None:
        found["langfuse.observation.cost_details"] = _json({"total": float(usd(cost.total))})
    return known(found)


def tool(started: ToolStarted, ended: ToolEnded | None) -> dict[str, Any]:
    """Of a tool call."""
    found = {
        "langfuse.observation.type": "tool",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": started.name,
        "gen_ai.tool.call.id": started.call_id,
        "agent.name": slug(started.agent_type or ""),
        "error.type": None if ended is None else _error(ended),
    }
    if ended is not None:
        found["langfuse.observation.metadata.state"] = ended.state
    return known(found)


def person(handing: Handing) -> dict[str, Any]:
    """Of a hand-off to a person: by which limit, or by whose wish, and whether it came to one."""
    return {
        "handoff.to": PERSON, "handoff.reason": handing.metric or handing.cause, "handoff.state": handing.state,
    }  # fmt: skip


def known(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that say something, in kinds that OpenTelemetry takes."""
    return {
        name: fact if isinstance(fact, (str, bool, int, float)) else str(fact)
        for name, fact in facts.items()
        if fact is not None and fact != ""
    }


def text_of(fact: Any) -> str:
    """A fact as text, truth as `true` and `false`; nothing is an empty one."""
    if fact is None:
        return ""
    return str(fact).lower() if isinstance(fact, bool) else str(fact)


def _outcome(ended: RunEnded) -> dict[str, Any]:
    billable = is_billable(
        ended.status, ended.stop_reason, discarded=ended.discarded, failed=ended.error is not None
    )  # fmt: skip
    return {
        "credit_used": billable, "stop_reason": ended.stop_reason or ended.status, "discarded": ended.discarded,
    }  # fmt: skip


def _buckets(usage: Usage) -> dict[str, int]:
    """Tokens in classes that do not overlap, as Langfuse adds them up."""
    reasoning = usage.reasoning or 0
    found = {
        "input": usage.input_uncached,
        "input_cache_read": usage.cache_read or None,
        "input_cache_creation": usage.cache_write or None,
        "output": None if usage.output is None else usage.output - reasoning,
        "output_reasoning_tokens": reasoning or None,
        "total": usage.total,
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _json(facts: Mapping[str, Any]) -> str | None:
    return json.dumps(facts) if facts else None


def _error(ended: CallEnded | ToolEnded) -> str | None:
    """The category of an error, or its class; None where there is none."""
    return None if ended.error is None else ended.error.category or ended.error.type or None
