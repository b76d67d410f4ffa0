from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.errors import SettingsError
from tachograph.events.account import Claim
from tachograph.limits.ledger import Ledger
from tachograph.store.ledger import ledger_path, open_ledger
from tachograph.store.ledgers.memory import MemoryLedger
from tests.contracts.accounts import NOW, account
from tests.contracts.ledger import spend

HOME = Path("/home")


def test_it_lies_beside_the_file_of_a_store() -> None:
    """However the URL spells the file, and whoever else's it is."""
    for url in ("sqlite:/data/a.db", "sqlite:////data/a.db", "/data/a.db", "sqlite:/data/a.db?shared"):
        assert ledger_path(url, HOME) == Path("/data/a.db.ledger")
    assert ledger_path("sqlite:///a.db", HOME) == Path("a.db.ledger")


def test_for_a_server_it_lies_on_this_machine() -> None:
    """In the data folder, by the server's address; two servers have two, two spellings of one server the same."""
    [one, same, other] = (
        ledger_path(url, HOME) for url in ("https://a.example", "https://a.example:443/", "https://a.example/b")
    )
    assert one is not None
    assert other is not None
    assert (one, one.parent, one == other) == (same, HOME / "ledgers", False)
    assert one.name.startswith("a-example-")


def test_in_memory_there_is_no_file() -> None:
    """A ledger of its own with each opening."""
    assert ledger_path("memory:", HOME) is None
    assert isinstance(open_ledger("memory:", HOME, "me", lambda _: True), MemoryLedger)


def test_a_url_that_is_none_is_refused() -> None:
    """As the store itself refuses it."""
    with pytest.raises(SettingsError, match="sqlite:PATH"):
        open_ledger("mysql:a", HOME, "me", lambda _: True)


def test_what_is_opened_is_a_ledger(tmp_path: Path) -> None:
    """Two that are opened for one store count together."""
    opened = [open_ledger(f"sqlite:{tmp_path / 'a.db'}", HOME, name, lambda _: True) for name in "ab"]
    ledgers: list[Ledger] = [*opened]
    for ledger in ledgers:
        spend(ledger, Claim(account(), 1, 9))
    assert [ledger.used(account(), None, NOW) for ledger in ledgers] == [2, 2]
    for each in opened:
        each.close()
    assert (tmp_path / "a.db.ledger").exists()
    assert not (tmp_path / "a.db").exists()
