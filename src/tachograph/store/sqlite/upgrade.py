"""Brings a database file into shape before it is used: a new file gets the newest schema, an older one is upgraded.

One look says whether anything is to be done; SQLAlchemy and Alembic are loaded only if it is. All of it happens in
one transaction, so several processes may open a new file at the same time, and an upgrade that fails leaves it as it
was. A file of our own says by its application id that it is ours; in one of an application we are `guest`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tachograph.errors import SchemaMismatch, StoreUnavailable
from tachograph.store.sqlite import guest, views
from tachograph.store.sqlite.connections import APPLICATION_ID, BUSY_SECONDS, PAGE_SIZE, connect, translated

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION = 3
"""The schema this code knows: number of the newest file in `versions`. A file of our own says its in `user_version`."""
SCRIPTS = Path(__file__).parents[1] / "migrations"
_alembic = threading.Lock()
"""Alembic keeps what it is doing in globals: two stores of one process are upgraded one after the other."""


def prepare(path: Path, url: str, *, shared: bool = False) -> None:
    """Make sure that the file has the schema of this version. A `shared` one may be that of an application.

    Raises StoreUnavailable when it cannot be opened or created, SchemaMismatch when it is newer or not ours.
    """
    try:
        _create(path)
    except OSError as problem:
        raise StoreUnavailable(url, f"{problem.filename} cannot be made: {problem.strerror}") from problem
    with translated(url), contextlib.closing(connect(path)) as connection:
        if _version(connection, url, shared=shared) == VERSION:
            return
        if _is_own(connection) or _is_empty(connection):
            _lay_out(connection)
    with translated(url):
        upgrade(path, url, shared=shared)


def _create(path: Path) -> None:
    """Make the file and its folder, if they are missing, for nobody else to read."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def upgrade(path: Path, url: str, revision: int = VERSION, scripts: Path = SCRIPTS, *, shared: bool = False) -> None:
    """Run Alembic up to a revision, in one transaction, unless another process has done it meanwhile.

    The views hold nothing, so they are made anew after every upgrade and need no migrations.
    """
    from sqlalchemy import create_engine, exc  # noqa: PLC0415 - a third of a second that only an upgrade is worth
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            file = cast("sqlite3.Connection", connection.connection.dbapi_connection)
            if _version(file, url, shared=shared) < revision:
                empty = not shared and _is_empty(file)
                own = empty or _is_own(file)
                if empty and revision == VERSION:
                    _begin(connection, revision)
                elif own or not guest.adopt(connection, file, url, revision):
                    _migrate(connection, revision, scripts, own=own)
                for statement in (*views.drops(), *views.statements()):
                    file.execute(statement)
                if own:
                    file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    file.execute(f"PRAGMA user_version = {revision}")
                connection.commit()
    except exc.DBAPIError as problem:
        raise (problem.orig or problem) from problem


def _begin(connection: Connection, revision: int) -> None:
    """The newest schema in an empty file: what all migrations come to, without running them."""
    from tachograph.store import schema  # noqa: PLC0415 - as above

    schema.metadata.create_all(connection, checkfirst=False)
    connection.execute(schema.tachograph_version.insert().values(version_num=f"{revision:04}"))


def _migrate(connection: Connection, revision: int, scripts: Path, *, own: bool) -> None:
    from alembic import command  # noqa: PLC0415 - as above
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import inspect  # noqa: PLC0415

    from tachograph.store import schema  # noqa: PLC0415

    schema.tachograph_version.create(connection, checkfirst=True)
    if own and inspect(connection).has_table("alembic_version"):  # where files of our own had it before
        connection.exec_driver_sql(
            "INSERT INTO tachograph_version (version_num) SELECT version_num FROM alembic_version"
        )
        connection.exec_driver_sql("DROP TABLE alembic_version")
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, f"{revision:04}")


def _version(file: sqlite3.Connection, url: str, *, shared: bool) -> int:
    if _is_own(file):
        found: int = file.execute("PRAGMA user_version").fetchone()[0]
    elif _is_empty(file):
        found = 0
    elif shared:
        found = guest.version(file)
    else:
        advice = "name another store, or `sqlite:PATH?shared` to keep tachograph's tables beside those of that program"
        raise SchemaMismatch(url, "of another program", str(VERSION), advice=advice)
    if found > VERSION:
        raise SchemaMismatch(url, str(found), str(VERSION))
    return found


def _is_own(file: sqlite3.Connection) -> bool:
    return bool(file.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID)


def _is_empty(file: sqlite3.Connection) -> bool:
    return not file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _lay_out(connection: sqlite3.Connection) -> None:
    """Set page size, how free pages are given back (both of a new file only) and write-ahead logging.

    Another process that does the same makes it busy for a moment.
    """
    patience = time.monotonic() + BUSY_SECONDS
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.01)


def _forked() -> None:
    if _alembic.locked():  # by a thread that the child does not have
        _alembic.release()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)
