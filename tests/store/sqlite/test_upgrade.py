from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Barrier, Thread

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
from tests.contracts.kept import call_run, dump
from tests.queries.kept import batch

NEXT = VERSION + 1
LATER = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{NEXT:04}", "{VERSION:04}"


def upgrade():
    op.add_column("runs", sa.Column("colour", sa.Text))
    FAIL
"""


def made(path: Path) -> dict[str, str]:
    """Tables, indexes and views of a file, as they are spelled there but for white space."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
        return {name: " ".join(sql.split()) for name, sql in connection.execute(query)}


def pragma(path: Path, name: str) -> object:
    """A setting of the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """Our migrations and one more."""
    folder = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "v9999_later.py").write_text(LATER.replace("FAIL", "pass"))
    return folder


def test_an_upgraded_file_is_as_a_new_one(tmp_path: Path) -> None:
    """What the migrations make of the first version is what a new file gets at once, to the letter."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    upgrade(old, "u", 1)
    assert pragma(old, "user_version") == 1
    for path in (old, new):
        prepare(path, "u")
        assert pragma(path, "user_version") == VERSION
    assert made(old) == made(new)


def test_a_new_file_is_what_the_schema_says(tmp_path: Path) -> None:
    """A new file has the tables of `schema` and the views of `views`, to the letter."""
    prepare(tmp_path / "new.db", "u")
    engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        for statement in views.statements():
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert made(tmp_path / "new.db") == made(tmp_path / "declared.db")


def test_a_new_file_is_marked_as_ours(tmp_path: Path) -> None:
    """With version, owner, page size, write-ahead logging and room given back; preparing it again changes nothing."""
    path = tmp_path / "a.db"
    prepare(path, "u")
    names = ("user_version", "application_id", "page_size", "journal_mode", "auto_vacuum")
    assert {name: pragma(path, name) for name in names} == {
        "user_version": VERSION, "application_id": APPLICATION_ID, "page_size": PAGE_SIZE, "journal_mode": "wal",
        "auto_vacuum": 2,
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
    monkeypatch.setattr(upgrading, "VERSION", NEXT)
    upgrade(store.path, store.url, NEXT, scripts)
    assert pragma(store.path, "user_version") == NEXT
    assert "colour TEXT" in made(store.path)["runs"]
    assert dump(store) == before
    store.close()
    monkeypatch.undo()
    with pytest.raises(SchemaMismatch):
        store.find(Query("runs"))


def test_the_version_moves_to_a_table_of_our_name(tmp_path: Path) -> None:
    """A file of before, where Alembic kept it under its own name, reads the same as a new one."""
    path = tmp_path / "a.db"
    upgrade(path, "u", 2)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version SELECT version_num FROM tachograph_version")
        connection.execute("DROP TABLE tachograph_version")
    prepare(path, "u")
    prepare(tmp_path / "new.db", "u")
    assert made(path) == made(tmp_path / "new.db")
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert connection.execute("SELECT * FROM tachograph_version").fetchall() == [(f"{VERSION:04}", "tachograph")]
    assert "alembic_version" not in names


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction; the error is that of the database."""
    path = tmp_path / "a.db"
    prepare(path, "u")
    before = made(path)
    (scripts / "versions" / "v9999_later.py").write_text(LATER.replace("FAIL", "op.execute('DROP TABLE absent')"))
    monkeypatch.setattr(upgrading, "VERSION", NEXT)
    with pytest.raises(sqlite3.OperationalError, match="no such table: absent"):
        upgrade(path, "u", NEXT, scripts)
    assert made(path) == before
    assert pragma(path, "user_version") == VERSION


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


def test_stores_of_one_process_are_upgraded_one_after_the_other(tmp_path: Path) -> None:
    """Alembic works with globals: threads that open new files at the same time do not meet in them."""
    paths, failed, ready = [tmp_path / f"{number}.db" for number in range(4)], list[Exception](), Barrier(4)

    def opened(path: Path) -> None:
        ready.wait()
        try:
            prepare(path, f"sqlite:{path}")
        except Exception as problem:  # noqa: BLE001 - whatever it is, the test says it
            failed.append(problem)

    threads = [Thread(target=opened, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [made(path) == made(paths[0]) for path in paths] == [True] * 4
