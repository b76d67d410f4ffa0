"""Brings a database file into shape before it is used: a new file gets the newest schema, an older one is upgraded.

One PRAGMA says whether anything is to be done; SQLAlchemy and Alembic are loaded only if it is. All of it happens in
one transaction, so several processes may open a new file at the same time, and an upgrade that fails leaves it as it
was.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import cast

from tachograph.errors import SchemaMismatch, StoreUnavailable
from tachograph.store.sqlite import views
from tachograph.store.sqlite.connections import APPLICATION_ID, BUSY_SECONDS, PAGE_SIZE, connect, translated

VERSION = 1
"""The schema this code knows: number of the newest file in `versions`. A database keeps its own in `user_version`."""
SCRIPTS = Path(__file__).parents[1] / "migrations"


def prepare(path: Path, url: str) -> None:
    """Make sure that the file has the schema of this version.

    Raises StoreUnavailable when it cannot be opened or created, SchemaMismatch when it is newer or not ours.
    """
    try:
        _create(path)
    except OSError as problem:
        raise StoreUnavailable(url, f"{problem.filename} cannot be made: {problem.strerror}") from problem
    with translated(url), contextlib.closing(connect(path)) as connection:
        if _version(connection, url) == VERSION:
            return
        _use_wal(connection)
    with translated(url):
        upgrade(path, url)


def _create(path: Path) -> None:
    """Make the file and its folder, if they are missing, for nobody else to read."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def upgrade(path: Path, url: str, revision: int = VERSION, scripts: Path = SCRIPTS) -> None:
    """Run Alembic up to a revision, in one transaction, unless another process has done it meanwhile.

    The views hold nothing, so they are made anew after every upgrade and need no migrations.
    """
    from alembic import command  # noqa: PLC0415 - a third of a second that only an upgrade is worth
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine, exc  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("path_separator", "os")
    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    try:
        with engine.connect() as shared:
            shared.exec_driver_sql("BEGIN IMMEDIATE")
            if _version(cast("sqlite3.Connection", shared.connection.dbapi_connection), url) < revision:
                config.attributes["connection"] = shared
                command.upgrade(config, f"{revision:04}")
                for statement in (*views.drops(), *views.statements()):
                    shared.exec_driver_sql(statement)
                shared.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
                shared.exec_driver_sql(f"PRAGMA user_version = {revision}")
                shared.commit()
    except exc.DBAPIError as problem:
        raise (problem.orig or problem) from problem


def _version(connection: sqlite3.Connection, url: str) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise SchemaMismatch(url, str(found), str(VERSION))
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise SchemaMismatch(url, "of another program", str(VERSION))
    return found


def _use_wal(connection: sqlite3.Connection) -> None:
    """Set page size and write-ahead logging. Another process that does the same makes it busy for a moment."""
    patience = time.monotonic() + BUSY_SECONDS
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.01)
