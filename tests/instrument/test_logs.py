"""Log records that know their run."""

from __future__ import annotations

import logging

import tachograph
from tachograph import run, step
from tachograph.testing import Captured


def test_log_records_carry_the_ids(events: Captured) -> None:
    """The filter adds execution, run and step; empty outside."""
    ids = tachograph.RunIds()
    inside, outside = (logging.LogRecord("x", 20, "f", 1, "m", (), None) for _ in range(2))
    with run("desk") as desk, step("at") as at:
        ids.filter(inside)
    assert ids.filter(outside) is True
    found = [(record.execution_id, record.run_id, record.step) for record in (inside, outside)]  # type: ignore[attr-defined]
    assert found == [(desk.execution_id, desk.run_id, at.number), ("", "", "")]
