from __future__ import annotations

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.runner.response import Response, failed, protected


def test_an_answer_has_the_keys_of_the_original() -> None:
    """Its own fields and who said it; properties say nothing where there is nothing."""
    answer = Response(kind="answer", fields={"response": "Hi", "mood": 1}, agent_name="ana_bot")
    assert answer.as_dict() == {"response": "Hi", "mood": 1, "agent_name": "ana_bot"}
    assert (answer.response, answer.reasoning, answer.reaction_emoji) == ("Hi", "", "")


def test_a_protection_and_an_error_say_no_more_than_the_original() -> None:
    """A protection has three keys, an error two; neither names an agent, and an error is the agreed word."""
    outcome = Outcome[str](status="failed", stop_reason="tool_loop", detail="internal words")
    stopped = protected("Transferring.", "tool_loop", outcome, handed_over=True)
    assert stopped.as_dict() == {
        "response": "Transferring.", "reasoning": "Runaway protection triggered", "reaction_emoji": "",
    }  # fmt: skip
    error = failed("provider_error", outcome)
    assert error.as_dict() == {"response": "conversation_handoff", "reasoning": "Error occurred: provider_error"}
    assert (stopped.billable, error.billable, stopped.handed_over) == (False, False, True)
