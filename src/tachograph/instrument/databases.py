"""What a program has of its database → the URL of the store that its loggers record into.

Of a SQLAlchemy engine, connection, session or session maker, sync or async, only the URL is read. Nothing is imported,
connected, begun or flushed for that, and the program's transaction is never used: recording has a journal and a
connection of its own, since a log that goes with the caller's transaction is rolled back with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tachograph.errors import SettingsError
from tachograph.store.open import sqlite_path

WANTED = (
    "a store URL such as sqlite:agent-logs.db, nothing at all for the default store, or a SQLAlchemy engine or session "
    "whose database is a SQLite file"
)
_DRIVERS = ("", "pysqlite", "aiosqlite")
_SHARED = "?shared"
"""What the store URL of a database says that belongs to the program."""


def store_url(db: object) -> str | None:
    """The store URL behind what a logger was given, its path absolute; None for the process's own store.

    Raises SettingsError for what names no store, or one that this version cannot record into.
    """
    if db is None:
        return None
    if isinstance(db, os.PathLike):
        db = os.fspath(db)
    if isinstance(db, str):
        return _from_text(db)
    url = _url_of(db)
    if url is None:
        raise SettingsError("db", db, WANTED)
    return _from_engine(url)


def _from_text(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    kind, plus, driver = scheme.partition("+")
    if plus and kind == "sqlite" and driver in _DRIVERS:
        return _file(sqlite_path(f"sqlite:{rest}"))
    if colon and len(scheme) > 1 and scheme != "sqlite":
        return text
    path, asked, options = text.partition("?")
    return f"sqlite:{sqlite_path(path).absolute()}{asked}{options}"


def _from_engine(url: Any) -> str:
    """The store beside the tables of a SQLAlchemy engine."""
    backend, _, driver = str(url.drivername).partition("+")
    shown = url.render_as_string(hide_password=True)
    if backend != "sqlite" or driver not in _DRIVERS:
        raise SettingsError("db", shown, f"{WANTED}; with this database, let the loggers record into a store of theirs")
    name = url.database or ""
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    if name in ("", ":memory:") or "memory" in (url.query.get("mode"), url.query.get("vfs")):
        raise SettingsError("db", shown, "a database in a file, or a store URL: no other connection sees this one")
    return _file(Path(name))


def _file(path: Path) -> str:
    return f"sqlite:{path.absolute()}{_SHARED}"


def _url_of(db: object) -> Any:
    """The URL that an object of SQLAlchemy leads to; None for anything else."""
    if not any(kind.__module__.partition(".")[0] == "sqlalchemy" for kind in type(db).__mro__):
        return None
    if hasattr(db, "drivername"):
        return db
    bind = _bind_of(db)
    return getattr(getattr(bind, "engine", bind), "url", None)


def _bind_of(db: object) -> object:
    """What a session is bound to; an engine or a connection is that itself."""
    maker = getattr(db, "session_factory", db)  # a scoped session would make one of its own to be asked
    stated = getattr(maker, "kw", None)
    if isinstance(stated, dict):
        return stated.get("bind")
    bind = getattr(db, "bind", None)
    if bind is None and hasattr(db, "get_bind"):
        try:
            bind = db.get_bind()
        except Exception as problem:  # noqa: BLE001 - an error of SQLAlchemy, or of a program that routes its sessions
            raise SettingsError("db", db, f"an engine, or a session that is bound to one ({problem})") from None
    return db if bind is None else bind
