from __future__ import annotations

from typing import get_args

import pytest

from tachograph.events.content import inline
from tachograph.events.run import STOP_REASONS, Status, StepEnded, facts, stop_reason_allowed


@pytest.mark.parametrize(
    ("status", "reason", "allowed"),
    [
        ("completed", "final_answer", True),
        ("completed", "tool_loop", False),
        ("failed", "tool_loop", True),
        ("failed", "final_answer", False),
        ("abandoned", "process_died", True),
        ("started", "approval", False),
        ("started", "", True),
        ("unheard_of", "process_died", False),
    ],
)
def test_a_stop_reason_belongs_to_a_status(status: str, reason: str, allowed: bool) -> None:
    """Each reason explains one status; no reason is always allowed."""
    assert stop_reason_allowed(status, reason) is allowed


def test_reasons_are_given_for_statuses_that_end_or_hold_a_run() -> None:
    """Every status but `started` has reasons, and no reason stands for two statuses."""
    assert STOP_REASONS.keys() == set(get_args(Status)) - {"started"}
    reasons = [reason for each in STOP_REASONS.values() for reason in each]
    assert len(reasons) == len(set(reasons))


def test_facts_of_a_body_are_its_fields() -> None:
    """A body as a plain mapping: every field by name, values as they are."""
    output = inline("1")
    assert facts(StepEnded(status="failed", output=output)) == {
        "status": "failed", "output": output, "error": None, "metadata": None,
    }  # fmt: skip
