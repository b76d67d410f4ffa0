from __future__ import annotations

import pytest

from tachograph.errors import NotFound
from tachograph.events.content import Content
from tachograph.events.note import Loss, Unknown
from tachograph.queries.answers.receipts import RunReceipt, receipt_of
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import RUN, as_json, planner
from tests.strategies import Tape


def test_a_complete_run(store: Store) -> None:
    """Of a run that was recorded whole, the receipt says so, figure by figure."""
    store.append(batch(planner().events))
    assert receipt_of(store, RUN) == RunReceipt(
        run_id=RUN, complete=True, recorded=8, stored=8, missing=0, dropped=0, dropped_bytes=0, losses={}, contents=6,
        truncated=0, truncated_bytes=0, redacted={}, marks={}, withheld={}, shed=0, pending=0, unknown={}, attempts=1,
        usage_missing=0, usage_missing_failed=0, unpriced=0, open=(),
    )  # fmt: skip


def test_a_run_with_losses(store: Store) -> None:
    """What was lost, cut, masked or left open is in the receipt, and the run is not complete."""
    tape = Tape("lossy")
    content = Content(text="1", size=1, full_size=9, redacted={"email": 2}, marks=("nan",))
    tape.begin(input=content)
    step = tape.step("late", kind="plan")
    tape.add(Loss(reason="journal_full", events=3, bytes=40))
    tape.add(Unknown("from_tomorrow", {}))
    tape.reply(tape.call())
    store.append(batch(tape.events))
    found = as_json(receipt_of(store, tape.run))
    assert {name: value for name, value in found.items() if value} == {
        "run_id": tape.run, "recorded": 6, "stored": 6, "dropped": 3, "dropped_bytes": 40,
        "losses": {"journal_full": 1}, "contents": 1, "truncated": 1, "truncated_bytes": 8, "redacted": {"email": 2},
        "marks": {"nan": 1}, "unknown": {"from_tomorrow": 1}, "attempts": 1, "usage_missing": 1, "unpriced": 1,
        "open": [
            {"id": tape.run, "kind": "run", "name": "desk", "start_time": "2025-06-15T15:06:40Z"},
            {
                "id": f"{tape.run[:28]}{step:08x}", "kind": "plan", "name": "late",
                "start_time": "2025-06-15T15:06:40.001000Z",
            },
        ],
    }  # fmt: skip
    assert found["complete"] is False


def test_no_such_run(store: Store) -> None:
    """A run that is not there has no receipt."""
    with pytest.raises(NotFound):
        receipt_of(store, "nobody")
