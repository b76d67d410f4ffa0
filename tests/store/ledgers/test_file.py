from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from tachograph.errors import StoreUnavailable
from tachograph.events.account import Claim
from tachograph.store.ledgers import file
from tachograph.store.ledgers.file import VERSION, AgreedFile
from tachograph.store.ledgers.sqlite import SqliteLedger
from tachograph.store.ledgers.turns import BUSY_SECONDS
from tests.contracts.accounts import DAY, HOUR, NOW, account
from tests.contracts.ledger import spend, take
from tests.store.ledgers.asking import start, told


def ledger_in(path: Path) -> SqliteLedger:
    """A ledger whose owners all live."""
    return SqliteLedger(path, "me", lambda _: True)


def test_nothing_is_there_before_it_is_used(tmp_path: Path) -> None:
    """To make a ledger, and to close it, touches no file."""
    ledger_in(tmp_path / "deep" / "a.ledger").close()
    assert list(tmp_path.iterdir()) == []


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """The file, what SQLite puts beside it, and a folder that is made for it."""
    ledger = ledger_in(tmp_path / "new" / "a.ledger")
    take(ledger, Claim(account(), 1, 1))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {"a.ledger": 0o600, "a.ledger-wal": 0o600, "a.ledger-shm": 0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    ledger.close()


def test_it_is_opened_again_after_closing(tmp_path: Path) -> None:
    """What was counted is there when the next process, or the same one, comes."""
    ledger = ledger_in(tmp_path / "a.ledger")
    for _ in range(2):
        spend(ledger, Claim(account(), 1, 9))
        ledger.close()
    assert ledger.used(account(), None, NOW) == 2
    ledger.close()


def test_a_file_that_is_locked_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes for longer than we wait, nothing is granted; reading goes on, and later granting."""
    monkeypatch.setattr(file, "BUSY_SECONDS", 0.05)
    ledger = ledger_in(tmp_path / "a.ledger")
    take(ledger, Claim(account(), 1, 9))
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            take(ledger, Claim(account(), 1, 9))
        assert ledger.used(account(), None, NOW) == 1
        other.execute("ROLLBACK")
    take(ledger, Claim(account(), 1, 9))
    assert ledger.used(account(), None, NOW) == 2
    ledger.close()


def test_we_wait_less_than_two_seconds() -> None:
    """A program whose limit cannot be checked is told soon."""
    assert BUSY_SECONDS <= 2


def test_a_place_where_no_file_can_be_is_unavailable(tmp_path: Path) -> None:
    """A folder that is a file, a file that is a folder, or another program's: with the reason, and without a trace."""
    (tmp_path / "file").write_text("not a database, but longer than a header" * 10)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE mine (n)")
    for path, reason in (
        (tmp_path / "file" / "a.ledger", "file cannot be made"),
        (tmp_path, "unable to open"),
        (tmp_path / "file", "not a database"),
        (tmp_path / "other.db", "of another program"),
    ):
        with pytest.raises(StoreUnavailable, match=reason):
            take(ledger_in(path), Claim(account(), 1, 1))
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]


def test_a_full_disk_is_unavailable(tmp_path: Path) -> None:
    """A request that does not fit is not granted and leaves nothing; what is there can be read."""
    ledger = ledger_in(tmp_path / "a.ledger")
    take(ledger, Claim(account(), 1, 9))
    with ledger._file._opened() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        take(ledger, Claim(account("s" * 20_000), 1, 9))
    assert ledger.used(account(), None, NOW) == 1
    ledger.close()


_AS_NOBODY = """
from tachograph.errors import StoreUnavailable
if not os.getuid():
    os.setuid(65534)
try:
    ledger.reserve((claim(1, 9),), NOW, NOW + HOUR)
except StoreUnavailable as problem:
    print(problem.reason)
"""


def test_a_file_that_cannot_be_written_is_unavailable() -> None:
    """Nothing is granted to a process that may not write to the file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = ledger_in(folder / "a.ledger")
        take(ledger, Claim(account(), 1, 9))
        ledger.close()
        ledger.path.chmod(0o444)
        (folder / "reader").touch()
        folder.chmod(0o555)
        reason = told(start(_AS_NOBODY, folder, "reader"))
        folder.chmod(0o700)
    assert reason in ("attempt to write a readonly database\n", "unable to open database file\n")


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """Both versions are named, and nothing is written."""
    ledger = ledger_in(tmp_path / "a.ledger")
    take(ledger, Claim(account(), 1, 9))
    ledger.close()
    with closing(sqlite3.connect(ledger.path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match=f"version 99, this one knows {VERSION}"):
        take(ledger, Claim(account(), 1, 9))


def test_a_file_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    """Two processes of which one began anew count together again, not each on its own."""
    one, two = ledger_in(tmp_path / "a.ledger"), ledger_in(tmp_path / "a.ledger")
    claim = Claim(account(), 1, 3, DAY)
    for ledger in (one, two):
        spend(ledger, claim)
    for path in tmp_path.glob("a.ledger*"):
        path.unlink()
    for ledger in (one, two, one):
        spend(ledger, claim)
    assert [ledger.used(account(), DAY, NOW) for ledger in (one, two)] == [3, 3]
    one.close()
    two.close()


def test_a_failed_request_leaves_nothing(tmp_path: Path) -> None:
    """When asking whether owners live fails, the transaction is taken back, and the next request is answered."""

    def fails(owner: str) -> bool:
        raise OSError(24, "too many open files")

    other = SqliteLedger(tmp_path / "a.ledger", "other", lambda _: True)
    take(other, Claim(account(), 1, 9))
    ledger = SqliteLedger(tmp_path / "a.ledger", "me", fails)
    with pytest.raises(OSError, match="too many"):
        take(ledger, Claim(account(), 1, 9))
    ledger._is_alive = lambda _: True
    take(ledger, Claim(account(), 1, 9))
    assert ledger.used(account(), None, NOW) == 2
    ledger.close()
    other.close()


def test_a_snapshot_reads_one_moment(tmp_path: Path) -> None:
    """What others write meanwhile is not seen, and they need not wait."""
    ledger, other = AgreedFile(tmp_path / "a.ledger"), ledger_in(tmp_path / "a.ledger")
    with ledger.snapshot() as connection:
        count = "SELECT count(*) FROM grants"
        assert connection.execute(count).fetchone() == (0,)
        other.reserve((Claim(account(), 1, 9),), NOW, NOW + HOUR)
        assert connection.execute(count).fetchone() == (0,)
    with ledger.snapshot() as connection:
        assert connection.execute(count).fetchone() == (1,)
    ledger.close()
    other.close()


def test_it_loads_little(tmp_path: Path) -> None:
    """To count in a file takes neither SQLAlchemy nor the store's own modules."""
    program = (
        "import sys; from pathlib import Path; from tachograph.store.ledger import open_ledger\n"
        "from tachograph.events.account import Account, Claim\n"
        f"ledger = open_ledger({'sqlite:' + str(tmp_path / 'a.db')!r}, Path('.'), 'me', lambda _: True)\n"
        "ledger.reserve((Claim(Account('tenant', 't', 'runs'), 1, 9),), 5, 9); ledger.close()\n"
        "heavy = ('sqlalchemy', 'alembic', 'tachograph.store.sqlite.store', 'tachograph.store.remote', 'asyncio')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3] / "src",
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "[]\n"
