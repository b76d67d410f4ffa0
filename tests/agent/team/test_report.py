from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.team.report import MOST_DETAIL, answer_of, report


@dataclass
class Order:
    """What is handed over."""

    number: int


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"stop_reason": "final_answer", "answer": "17", "output": "17"}, "17"),
        ({"stop_reason": "final_answer", "answer": "```json\n{}```", "output": Order(17)}, '{"number":17}'),
        ({"stop_reason": "final_answer", "answer": "[1, 2]", "output": [1, 2]}, "[1,2]"),
        ({"stop_reason": "tool_stop", "answer": "enough", "output": "enough"}, "enough"),
        ({"stop_reason": "human_handoff"}, "billing gave its work to a person, who goes on with it."),
    ],
)
def test_an_answer_is_handed_over_as_it_is(facts: dict[str, Any], said: str) -> None:
    """A text as it is, a value as JSON; of a person who took over, that."""
    assert answer_of("billing", Outcome(status="completed", **facts)) == said


def test_what_is_no_answer_says_what_it_is() -> None:
    """Status, reason and cause; what there is instead; whether it can go on."""
    found = Outcome[str](status="failed", stop_reason="max_iterations", detail="run limit on turns.", answer="so far")
    assert report("billing", found) == (
        "billing has no answer: its run is failed (max_iterations): run limit on turns.\n"
        "What it had so far, which nobody accepted as an answer: so far\n"
        "Its run can be resumed."
    )
    broken = Outcome[str](status="failed", stop_reason="internal_error", detail="KeyError: 'x'")
    assert report("billing", broken) == "billing has no answer: its run is failed (internal_error): KeyError: 'x'."
    off = Outcome[str](status="cancelled", stop_reason="superseded")
    assert report("billing", off) == "billing has no answer: its run is cancelled (superseded)."


def test_a_long_cause_is_cut() -> None:
    """What a provider says at length is no part of a conversation."""
    found = Outcome[str](status="failed", stop_reason="internal_error", detail="x" * 10_000)
    assert report("b", found) == f"b has no answer: its run is failed (internal_error): {'x' * MOST_DETAIL} [cut]."
