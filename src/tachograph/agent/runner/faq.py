"""The FAQ guardrail over an orchestrator's answers: it looks at the response alone, whatever a model wrote around it.

Scenarios have what they say from their instructions, so it is not asked about theirs. Everything it goes by is the rule
set of guardrails/faq.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from msgspec import structs

from tachograph.agent.agent import Agent
from tachograph.agent.guardrails.faq import faq
from tachograph.agent.guardrails.guardrail import Guardrail
from tachograph.agent.guardrails.watch import Ruling
from tachograph.agent.hooks import Hooks, Moment, ReplaceOutput
from tachograph.agent.runner.response import Response
from tachograph.agent.runner.structured import fields_of

LAST = -1_000
"""Priority of the hook: the application's own see the answer as it was written."""


def guarded(agent: Agent, given: Any, locale: str) -> Agent:
    """A copy of the agent with the guardrail, or with the one of a search (query → entries). Raises SettingsError."""
    rail = given if isinstance(given, Guardrail) else faq(given, locale=locale)
    hooks = Hooks()
    if agent.output in (str, None):
        hooks.on("agent_stop", bare, priority=LAST, name="fields of the answer", effects=(ReplaceOutput,))
    return agent.but(guardrails=(*agent.guardrails, rail), hooks=agent.hooks.merged(hooks))


async def bare(moment: Moment) -> ReplaceOutput | None:
    """An answer whose fields stand in prose, as a JSON object of these fields; any other stays."""
    fields = fields_of(None, str(moment.answer))
    return ReplaceOutput(json.dumps(fields, ensure_ascii=False)) if "reaction_emoji" in fields else None


def reasoned(response: Response, rulings: Iterable[Ruling]) -> Response:
    """The response, with why it is this one in place of the model's, if a guardrail replaced it."""
    for ruling in reversed(list(rulings)):
        if (ruling.mode, ruling.outcome, ruling.after) == ("enforce", "replaced", response.response):
            fields = {**response.fields, "reasoning": ruling.reason}
            return structs.replace(response, fields=fields, guardrail=ruling.reason)
    return response
