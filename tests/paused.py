"""Runs that wait for a person, as a store gets them."""

from __future__ import annotations

from typing import Any

import msgspec

from tachograph.compose import admitter_for, scrubber_for
from tachograph.events.content import inline
from tachograph.events.note import Note
from tachograph.fold.approvals import REQUESTED, Approval, Decided, Word, slot_of
from tachograph.record.admit import Admitter
from tachograph.settings import Settings
from tachograph.store.ports import Store
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000
NOW = BEGAN + 60 * SECOND


def request(index: int = 0, **facts: Any) -> Approval:
    """A call that waits."""
    known: dict[str, Any] = {
        "slot": slot_of(1, index), "call_id": f"call_{index}", "tool": "pay", "arguments_hash": f"{index:032x}",
        "arguments": {"amount": index}, "agent": "desk", "iteration": 1, "at": BEGAN,
    }  # fmt: skip
    return Approval(**{**known, **facts})


def paused(name: str, *requests: Approval, at: int = BEGAN, status: str = "paused", **facts: Any) -> Tape:
    """A run that waits for these."""
    tape = Tape(name, at=at)
    tape.begin(**facts)
    for one in requests:
        tape.add(Note(name=REQUESTED, data=inline(msgspec.json.encode(one.facts()).decode())))
    tape.finish(status, stop_reason="approval" if status == "paused" else "")
    return tape


def keep(store: Store, *tapes: Tape) -> Admitter:
    """Put runs into a store; what admits more of them."""
    settings = Settings()
    admitter = admitter_for(settings, store, scrubber_for(settings))
    store.append(admitter.admit([event for tape in tapes for event in tape.events], scrubbed=False))
    return admitter


def rule(approval: Approval, decision: Word = "allow", by: str = "ada", at: int = NOW, **facts: Any) -> Decided:
    """A decision about a call that waits."""
    return Decided(
        slot=approval.slot, call_id=approval.call_id, tool=approval.tool, arguments_hash=approval.arguments_hash,
        decision=decision, by=by, at=at, **facts,
    )  # fmt: skip
