"""URL → the ledger of that store, in a file of its own; it is opened only for limits on sessions and tenants."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from tachograph.store.ledgers.memory import MemoryLedger
from tachograph.store.ledgers.sqlite import SqliteLedger
from tachograph.store.open import is_remote, remote_url, sqlite_path

AnyLedger = MemoryLedger | SqliteLedger
"""What counts: each is a `limits.ledger.Ledger`, and can be asked how an account stands."""


def open_ledger(url: str, home: Path, owner: str, is_alive: Callable[[str], bool]) -> AnyLedger:
    """The ledger of the store behind a URL. Nothing is opened or created before its first use. Raises SettingsError.

    `owner` names this process, and `is_alive` says of such a name whether its process still lives: hold a lock file
    before the first grant. What an owner left open that is dead counts as used. In a forked child open another one.
    """
    path = ledger_path(url, home)
    return MemoryLedger() if path is None else SqliteLedger(path, owner, is_alive)


def ledger_path(url: str, home: Path) -> Path | None:
    """Where the ledger lies: beside a SQLite file; for a server in `home`, for this machine; None: in memory."""
    return beside(url, home, "ledgers", "ledger")


def beside(url: str, home: Path, folder: str, ending: str) -> Path | None:
    """Where a file lies that belongs to a store, as the ledger does: with this ending, for a server in this folder."""
    if url == "memory:":
        return None
    if is_remote(url):
        address = remote_url(url)
        name = "".join(letter if letter.isalnum() else "-" for letter in address.partition("://")[2])[:60]
        return home / folder / f"{name}-{blake2b(address.encode(), digest_size=8).hexdigest()}.{ending}"
    path = sqlite_path(url)
    return path.with_name(f"{path.name}.{ending}")
