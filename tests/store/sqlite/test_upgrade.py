from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tachograph.errors import SchemaMismatch, StoreUnavailable
from tachograph.store import schema
from tachograph.store.query import Query
from tachograph.store.sqlite import upgrade as upgrading
from tachograph.store.sqlite import views
from tachograph.store.sqlite.connections import APPLICATION_ID, PAGE_SIZE
from tachograph.store.sqlite.store import SqliteStore
from tachograph.store.sqlite.upgrade import SCRIPTS, VERSION, prepare, upgrade
from tests.contracts.store import call_run, dump
from tests.queries.kept import batch

SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.add_column("runs", sa.Column("colour", sa.Text))
    FAIL
"""


def made(path: Path) -> dict[str, str]:
    """Tables, indexes and views of a file, as they are spelled there."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
        return dict(connection.execute(query).fetchall())


def pragma(path: Path, name: str) -> object:
    """A setting of the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """Our migrations and one more."""
    folder = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "v0002_second.py").write_text(SECOND.replace("FAIL", "pass"))
    return folder


def test_migrating_gives_the_schema(tmp_path: Path) -> None:
    """What the migrations make from nothing is what `schema` and `views` say, to the letter."""
    prepare(tmp_path / "migrated.db", "u")
    engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        for statement in views.statements():
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert made(tmp_path / "migrated.db") == made(tmp_path / "declared.db")


def test_a_new_file_is_marked_as_ours(tmp_path: Path) -> None:
    """With version, owner, page size and write-ahead logging; preparing it again changes nothing."""
    path = tmp_path / "a.db"
    prepare(path, "u")
    settings = {name: pragma(path, name) for name in ("user_version", "application_id", "page_size", "journal_mode")}
    assert settings == {
        "user_version": VERSION, "application_id": APPLICATION_ID, "page_size": PAGE_SIZE, "journal_mode": "wal",
    }  # fmt: skip
    before = path.read_bytes()
    prepare(path, "u")
    assert path.read_bytes() == before


def test_the_version_is_that_of_the_newest_migration() -> None:
    """Every migration raises it."""
    newest = max(int(path.name[1:5]) for path in (SCRIPTS / "versions").glob("v*.py"))
    assert newest == VERSION


def test_an_older_file_is_upgraded(tmp_path: Path, scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything that is in it, and its views made anew; the older program then refuses it."""
    store = SqliteStore(tmp_path / "a.db")
    store.append(batch(call_run(session="s").events))
    before = dump(store)
    store.close()
    monkeypatch.setattr(upgrading, "VERSION", 2)
    upgrade(store.path, store.url, 2, scripts)
    assert pragma(store.path, "user_version") == 2
    assert "colour TEXT" in made(store.path)["runs"]
    assert dump(store) == before
    store.close()
    monkeypatch.undo()
    with pytest.raises(SchemaMismatch):
        store.find(Query("runs"))


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction; the error is that of the database."""
    path = tmp_path / "a.db"
    prepare(path, "u")
    before = made(path)
    (scripts / "versions" / "v0002_second.py").write_text(SECOND.replace("FAIL", "op.execute('DROP TABLE absent')"))
    monkeypatch.setattr(upgrading, "VERSION", 2)
    with pytest.raises(sqlite3.OperationalError, match="no such table: absent"):
        upgrade(path, "u", 2, scripts)
    assert made(path) == before
    assert pragma(path, "user_version") == 1


def test_whoever_comes_second_finds_it_done(tmp_path: Path) -> None:
    """An upgrade that another process has made meanwhile is not made again."""
    path = tmp_path / "a.db"
    prepare(path, "u")
    before = path.read_bytes()
    upgrade(path, "u")
    assert path.read_bytes() == before


def test_a_busy_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a time; then it is unavailable."""
    monkeypatch.setattr(upgrading, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr("tachograph.store.sqlite.connections.BUSY_SECONDS", 0.05)
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked"):
            prepare(path, "u")
    prepare(path, "u")
    assert pragma(path, "user_version") == VERSION
