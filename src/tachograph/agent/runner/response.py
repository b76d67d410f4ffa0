"""What `generate_response` returns: the reply to show, and beside it what an application must know and never show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from tachograph.agent.answer.outcome import Outcome

SENTINEL = "conversation_handoff"
"""The response that stands for an error: it asks the application to give the conversation to a person."""
PROTECTION = "Runaway protection triggered"

Kind = Literal["answer", "protection", "handoff", "error", "discarded", "paused"]


class Response(Struct, frozen=True, kw_only=True):
    """A reply. `as_dict()` has the keys that Chatwoot's Captain knows."""

    kind: Kind
    """answer: the model's words. protection: a limit ended the run. handoff: the model, or the application's policy,
    asked for a person. error: nothing came of it, and `response` is the word `conversation_handoff`. discarded: a newer
    message came. paused: a person must first allow a tool call. The last two have nothing to show."""
    fields: Mapping[str, Any] = {}
    """What the reply says, by key."""
    agent_name: str | None = None
    """Who said it; None where no agent did."""
    category: str = ""
    """Why there is no answer: a stop reason, an error category of the model, or what is wrong with the history."""
    handed_over: bool = False
    """Whether a person took over."""
    guardrail: str = ""
    """Why a guardrail replaced the response; empty while none did."""
    billable: bool = False
    """Whether it is a credit: completed, not handed to a person, not discarded, no error."""
    outcome: Outcome[Any] | None = None
    """Of the run; None when there was none. For those who run agents."""

    @property
    def response(self) -> str:
        """What a customer is shown; `conversation_handoff` for an error."""
        return str(self.fields.get("response") or "")

    @property
    def reasoning(self) -> str:
        """Why, in the model's words or in ours."""
        return str(self.fields.get("reasoning") or "")

    @property
    def reaction_emoji(self) -> str:
        """An emoji for the customer's message, or nothing."""
        return str(self.fields.get("reaction_emoji") or "")

    def as_dict(self) -> dict[str, Any]:
        """The reply with the keys of the original: response, reasoning, perhaps reaction_emoji, agent_name."""
        return {**self.fields, **({"agent_name": self.agent_name} if self.kind in ("answer", "handoff") else {})}


def failed(category: str, outcome: Outcome[Any] | None = None) -> Response:
    """Nothing came of it. What exactly went wrong is in the record and in `outcome`, and in no text."""
    fields = {"response": SENTINEL, "reasoning": f"Error occurred: {category}"}
    return Response(kind="error", fields=fields, category=category, outcome=outcome)


def protected(text: str, category: str, outcome: Outcome[Any], *, handed_over: bool) -> Response:
    """A limit ended the run."""
    fields = {"response": text, "reasoning": PROTECTION, "reaction_emoji": ""}
    return Response(
        kind="protection", fields=fields, category=category, outcome=outcome, handed_over=handed_over
    )  # fmt: skip
