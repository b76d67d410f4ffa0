from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.store.sessions.head import Head
from tachograph.store.sessions.memory import MemoryCabinet
from tachograph.store.sessions.port import Table
from tests.contracts.heads import HeadsContract


class TestMemoryHeads(HeadsContract):
    """The contract, in memory."""

    def cabinet(self, folder: Path) -> MemoryCabinet:
        """An empty one."""
        return MemoryCabinet()


def test_work_that_fails_changes_nothing() -> None:
    """What was put before the failure is not there after it."""
    cabinet = MemoryCabinet()

    def work(table: Table) -> None:
        table.put(Head(tenant="t", id="s", created_at=1, updated_at=1))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cabinet.change(work)
    assert cabinet.look(lambda table: table.get(("t", "s"))) is None


def test_a_state_cannot_be_changed_by_what_was_given() -> None:
    """Neither the head that was put nor the one that is got is the one that is kept."""
    cabinet = MemoryCabinet()
    head = Head(tenant="t", id="s", created_at=1, updated_at=1, state={"n": [1]})
    cabinet.change(lambda table: table.put(head))
    head.state["n"].append(2)
    found = cabinet.look(lambda table: table.get(("t", "s")))
    assert found is not None
    found.state["n"].append(3)
    again = cabinet.look(lambda table: table.get(("t", "s")))
    assert again is not None
    assert again.state == {"n": [1]}
