"""A tool with which a model asks for a person. With it the run ends: given to one, or failed."""

from __future__ import annotations

from tachograph.agent.tools.tool import Tool, ToolContext

NAME = "hand_to_person"
DESCRIPTION = (
    "Give this conversation to a person, when the customer asks for one or you cannot help. It ends your work."
)
ASKED = "A person is asked to take over."


def hand_to_person(name: str = NAME, description: str = DESCRIPTION) -> Tool:
    """That tool; it stands among the tools of an agent that has a `hand_over`."""

    async def ask(reason: str, context: ToolContext) -> str:
        context.to_person(reason)
        return ASKED

    return Tool.of(ask, name=name, description=description, idempotent=True)
