from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.runner.result import processed
from tachograph.errors import LimitExceeded, ModelError

ALONE = "Nobody is there."
SECRET = "sk-raw-words-of-a-provider"
LIMIT = LimitExceeded("tool_loop", 2, 1, 3, mode="handoff", reason=SECRET)
BROKEN = ModelError("rate_limit", SECRET, provider="openai", model="m", status=429)


def _outcome(status: Any, reason: str, **facts: Any) -> Outcome[Any]:
    return Outcome(status=status, stop_reason=reason, detail=SECRET, **facts)


@pytest.mark.parametrize(
    ("outcome", "kind", "category", "response"),
    [
        (_outcome("completed", "final_answer", answer="Hi"), "answer", "", "Hi"),
        (_outcome("completed", "tool_stop", answer='{"response": "Hi"}'), "answer", "", "Hi"),
        (_outcome("failed", "max_iterations", answer="Half"), "answer", "max_iterations", "Half"),
        (_outcome("completed", "human_handoff", error=LIMIT, message="Soon."), "protection", "tool_loop", "Soon."),
        (_outcome("failed", "tool_loop", error=LIMIT), "protection", "tool_loop", ALONE),
        (_outcome("failed", "max_iterations"), "protection", "max_iterations", ALONE),
        (_outcome("completed", "human_handoff", message="Soon."), "handoff", "", "Soon."),
        (_outcome("failed", "tool_error", message="Later."), "handoff", "tool_error", "Later."),
        (_outcome("failed", "schema_failed", answer=SECRET), "error", "schema_failed", "conversation_handoff"),
        (_outcome("failed", "provider_error", error=BROKEN), "error", "rate_limit", "conversation_handoff"),
        (
            _outcome("failed", "internal_error", error=KeyError(SECRET)), "error", "internal_error",
            "conversation_handoff",
        ),
        (_outcome("failed", "empty_reply"), "error", "empty_reply", "conversation_handoff"),
        (_outcome("cancelled", "user_cancel"), "error", "user_cancel", "conversation_handoff"),
        (_outcome("abandoned", ""), "error", "abandoned", "conversation_handoff"),
        (_outcome("cancelled", "superseded", answer="late"), "discarded", "superseded", ""),
        (_outcome("paused", "approval"), "paused", "approval", ""),
    ],
)  # fmt: skip
def test_every_outcome_has_its_reply(outcome: Outcome[Any], kind: str, category: str, response: str) -> None:
    """An answer is the model's; everything else is an approved text or the agreed word, never what went wrong."""
    reply = processed(outcome, "ana_bot", lambda metric: ALONE)
    assert (reply.kind, reply.category, reply.response) == (kind, category, response)
    assert SECRET not in str(reply.as_dict())
    assert reply.billable == (kind == "answer" and outcome.completed)
    assert reply.handed_over == (outcome.stop_reason == "human_handoff")
    assert reply.outcome is outcome


def test_a_typed_answer_is_taken_as_it_is() -> None:
    """The fields of an output type are those of the reply, and the agent's name stands beside them."""
    outcome = _outcome("completed", "final_answer", answer="{}", output={"response": "Hi", "mood": "good"})
    reply = processed(outcome, "ana_bot", lambda metric: ALONE)
    assert reply.as_dict() == {"response": "Hi", "mood": "good", "agent_name": "ana_bot"}
