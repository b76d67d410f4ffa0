from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.agent.answer.outcome import Outcome
from tachograph.cli import exits
from tachograph.cli.talk.turn import as_json, exit_code
from tachograph.events.run import STOP_REASONS


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        ("completed", "final_answer", exits.OK),
        ("completed", "human_handoff", exits.OK),
        ("cancelled", "user_cancel", exits.INTERRUPTED),
        ("failed", "max_iterations", exits.STOPPED),
        ("failed", "tool_loop", exits.STOPPED),
        ("failed", "provider_error", exits.FOUND_WRONG),
        ("failed", "schema_failed", exits.FOUND_WRONG),
    ],
)
def test_the_exit_code_tells_how_a_run_ended(status: Any, reason: str, code: int) -> None:
    """Answered, called off, stopped by a limit, failed."""
    assert exit_code(Outcome(status=status, stop_reason=reason)) == code


def test_every_way_to_end_has_an_exit_code_that_is_explained() -> None:
    """No status or reason falls through."""
    for status, reasons in STOP_REASONS.items():
        for reason in reasons:
            assert exit_code(Outcome(status=status, stop_reason=reason)) in exits.MEANINGS  # type: ignore[arg-type]


def test_an_outcome_is_one_json_object() -> None:
    """It reads back, and money is a number."""
    found = msgspec.json.decode(msgspec.json.encode(as_json(Outcome(status="completed", stop_reason="final_answer"))))
    assert (found["status"], found["cost"], found["resumable"]) == ("completed", 0.0, False)
