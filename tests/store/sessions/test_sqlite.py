from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tachograph.errors import StoreUnavailable
from tachograph.events.account import Claim
from tachograph.store.ledgers.sqlite import SqliteLedger
from tachograph.store.sessions.heads import Heads
from tachograph.store.sessions.sqlite import SqliteCabinet
from tests.contracts.accounts import NOW, account
from tests.contracts.heads import KEY, HeadsContract, taken
from tests.contracts.ledger import take


class TestSqliteHeads(HeadsContract):
    """The contract, in a file."""

    def cabinet(self, folder: Path) -> SqliteCabinet:
        """An empty one."""
        return SqliteCabinet(folder / "a.sessions")

    def test_they_are_there_for_the_next_process(self, tmp_path: Path) -> None:
        """What one connection wrote another reads, after the first is closed."""
        first = self.cabinet(tmp_path)
        head = taken(Heads(first, "a", "", lambda _: True))
        first.close()
        assert Heads(self.cabinet(tmp_path), "b", "", lambda _: True).get(KEY) == head


def heads_in(path: Path) -> Heads:
    """Heads in a file."""
    return Heads(SqliteCabinet(path), "me", "", lambda _: True)


def test_who_only_looks_makes_no_file(tmp_path: Path) -> None:
    """Nor who forgets runs that no session is about."""
    heads = heads_in(tmp_path / "a.sessions")
    assert (heads.get(KEY), heads.newest(), heads.fates({KEY: 1}), heads.forget(["r"])) == (None, [], {KEY: "lost"}, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A state may hold what nobody else should read."""
    taken(heads_in(tmp_path / "a.sessions"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"a.sessions": 0o600, "a.sessions-wal": 0o600, "a.sessions-shm": 0o600}


def test_files_of_another_kind_are_left_alone(tmp_path: Path) -> None:
    """A ledger is no file of sessions, and one of a newer version is for a newer program."""
    ledger = SqliteLedger(tmp_path / "a.ledger", "me", lambda _: True)
    take(ledger, Claim(account(), 1, 1))
    ledger.close()
    with pytest.raises(StoreUnavailable, match="of another program"):
        taken(heads_in(tmp_path / "a.ledger"))
    taken(heads_in(tmp_path / "a.sessions"))
    with closing(sqlite3.connect(tmp_path / "a.sessions")) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreUnavailable, match="a file of sessions of version 9, this one knows 1"):
        heads_in(tmp_path / "a.sessions").get(KEY)


def test_a_forked_child_opens_the_file_for_itself(tmp_path: Path) -> None:
    """What it writes the parent sees, and goes on."""
    heads = heads_in(tmp_path / "a.sessions")
    head = taken(heads)
    child = os.fork()
    if not child:
        os._exit(0 if heads.release(KEY, head.epoch) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert taken(heads, NOW + 1).epoch > head.epoch
