"""URL → store. Backends are imported only here, and only the one that is asked for."""

from __future__ import annotations

from pathlib import Path

from tachograph.errors import SettingsError
from tachograph.store.ports import Store

URLS = "sqlite:PATH (also sqlite:///PATH, or a bare path) or memory:"
"""What this version can open."""


def open_store(url: str) -> Store:
    """The store behind a URL. Nothing is opened or created before its first use. Raises SettingsError."""
    if url == "memory:":
        from tachograph.store.memory import MemoryStore

        return MemoryStore()
    from tachograph.store.sqlite.store import SqliteStore

    return SqliteStore(sqlite_path(url))


def sqlite_path(url: str) -> Path:
    """The file of a SQLite store; `sqlite:///a` is relative, `sqlite:////a` absolute. Raises SettingsError."""
    scheme, colon, rest = url.partition(":")
    if not colon or len(scheme) == 1:  # a bare path; a single letter is a drive
        scheme, rest = "sqlite", url
    rest = rest.removeprefix("///")
    if scheme != "sqlite" or not rest or rest.startswith("//") or rest == ":memory:":
        raise SettingsError("store", url, URLS)
    return Path(rest).expanduser()
