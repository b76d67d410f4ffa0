"""URL → the heads of that store's sessions, in a file of its own; it is opened only where there are sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tachograph.store.ledger import beside
from tachograph.store.sessions.heads import Heads
from tachograph.store.sessions.memory import MemoryCabinet
from tachograph.store.sessions.sqlite import SqliteCabinet


def open_heads(
    url: str, home: Path, owner: str = "", holder: str = "", is_alive: Callable[[str], bool] = lambda owner: True
) -> Heads:
    """The heads behind a URL. Nothing is opened or created before its first use. Raises SettingsError.

    `owner` names this process as a ledger's does, `holder` says the same to people. Who only looks needs neither.
    """
    path = heads_path(url, home)
    return Heads(MemoryCabinet() if path is None else SqliteCabinet(path), owner, holder, is_alive)


def heads_path(url: str, home: Path) -> Path | None:
    """Where the heads lie: beside a SQLite file; for a server in `home`, for this machine; None: in memory."""
    return beside(url, home, "sessions", "sessions")
