from __future__ import annotations

from pathlib import Path

from tachograph.events.account import Claim
from tachograph.store.ledgers.memory import MemoryLedger
from tests.contracts.accounts import DAY, NOW, account
from tests.contracts.ledger import LedgerContract, spend


class TestMemoryLedger(LedgerContract):
    """Counts in memory keep the contract."""

    def open(self, folder: Path) -> MemoryLedger:
        """A new ledger."""
        return MemoryLedger()


def test_each_has_counts_of_its_own() -> None:
    """Two ledgers in memory know nothing of each other."""
    one, two = MemoryLedger(), MemoryLedger()
    spend(one, Claim(account(), 1, 1, DAY))
    assert (one.used(account(), DAY, NOW), two.used(account(), DAY, NOW)) == (1, 0)
