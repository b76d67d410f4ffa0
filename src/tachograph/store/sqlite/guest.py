"""Our tables as guests: in the database file of an application, beside its own tables.

Nothing there is taken for ours that is not. What the file says of itself (application id, user version, journal mode)
stays as the application has it; our version is a row of `tachograph_version`. Tables that migrations of the application
made are adopted, and from then on it is those migrations that change them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from tachograph.errors import SchemaMismatch
from tachograph.store.sqlite import views

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

_RENAME = "rename it, or give tachograph a file of its own (sqlite:PATH)"
_MIGRATE = (
    "if a migration of the application made it, run `alembic revision --autogenerate` and `alembic upgrade head`; "
    f"if it is the application's own, {_RENAME}"
)


class _Thing(NamedTuple):
    """A table, index or view of the file."""

    kind: str
    table: str
    sql: str | None


def version(connection: sqlite3.Connection) -> int:
    """The schema of our tables as it is noted; 0 when it is not."""
    return int(_noted(connection)[0])


def adopt(connection: Connection, file: sqlite3.Connection, url: str, revision: int) -> bool:
    """Take over tables that migrations of the application made; False when it is on us to make or upgrade them.

    `file` is the same connection, without SQLAlchemy around it. Raises SchemaMismatch when a table is not as the newest
    `revision` has it, or when a name that we need is taken.
    """
    from tachograph.store import schema  # noqa: PLC0415 - needs SQLAlchemy, which only an upgrade is worth

    tables = schema.metadata.sorted_tables
    known, kept_by = _noted(file)
    if kept_by == "tachograph":
        return False
    things = _things(file)
    if not kept_by:
        _refuse_taken(things, tables, url, revision)
        if not any(table.name in things for table in tables):
            return False
    for table in sorted(tables, key=lambda table: table.name not in things):
        if wrong := _difference(file, things, table):
            raise SchemaMismatch(url, wrong, str(revision), table=table.name, advice=_MIGRATE)
    for index in (index for table in tables for index in table.indexes):
        index.create(connection, checkfirst=True)
    file.execute("DELETE FROM tachograph_version WHERE version_num = ?", (known,))
    file.execute("INSERT INTO tachograph_version (version_num, kept_by) VALUES (?, 'application')", (f"{revision:04}",))
    return True


def _noted(file: sqlite3.Connection) -> tuple[str, str]:
    """Our version, and who makes the tables; ("0", "") when nothing is noted."""
    if "tachograph_version" not in _things(file):
        return "0", ""
    found: tuple[str, str] | None = file.execute("SELECT version_num, kept_by FROM tachograph_version").fetchone()
    return found or ("0", "")


def _things(file: sqlite3.Connection) -> Mapping[str, _Thing]:
    found = file.execute("SELECT lower(name), type, lower(tbl_name), sql FROM sqlite_master")
    return {name: _Thing(*rest) for name, *rest in found}


def _refuse_taken(things: Mapping[str, _Thing], tables: list[Table], url: str, revision: int) -> None:
    """Views and indexes that are in the way: they would be dropped, or could not be made."""
    ours = dict(zip(views.NAMES, views.statements(), strict=True))
    taken = {name for name in ours if name in things and things[name].sql != ours[name]}
    indexes = {str(index.name): table.name for table in tables for index in table.indexes}
    taken |= {name for name, table in indexes.items() if name in things and things[name].table != table}
    for name in sorted(taken):
        wrong = f"is the application's {things[name].kind}"
        raise SchemaMismatch(url, wrong, str(revision), table=name, advice=_RENAME)


def _difference(file: sqlite3.Connection, things: Mapping[str, _Thing], table: Table) -> str:
    """What is wrong with a table; '' when nothing is."""
    if table.name not in things:
        return "is missing"
    if things[table.name].kind != "table":
        return f"is the application's {things[table.name].kind}"
    wanted = [column.name for column in table.columns]
    found = [row[1] for row in file.execute(f'PRAGMA table_xinfo("{table.name}")')]
    for name in wanted:
        if name not in found:
            return f"has no column {name!r}"
    return next((f"has a column {name!r} more" for name in found if name not in wanted), "")
