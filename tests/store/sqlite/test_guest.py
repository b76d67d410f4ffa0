"""Our tables in an application's file; and docs/migrations.md, done as it says with the real command lines."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine, text

import tachograph
from tachograph.errors import SchemaMismatch, StoreUnavailable
from tachograph.store.open import open_store
from tachograph.store.query import Query
from tachograph.store.sqlite import connections, guest
from tachograph.store.sqlite.connections import APPLICATION_ID
from tachograph.store.sqlite.store import SqliteStore
from tachograph.store.sqlite.upgrade import VERSION, upgrade
from tests.contracts.kept import call_run, dump
from tests.house.source import ROOT, environment
from tests.queries.kept import batch

DOCUMENT = (ROOT / "docs" / "migrations.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", re.DOTALL | re.MULTILINE)
ORDERS = "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)"


def application(path: Path, *statements: str, journal: str = "wal") -> Path:
    """The file of an application, with its marks and a table with a row."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(f"PRAGMA journal_mode = {journal}")
        file.execute("PRAGMA application_id = 4711")
        file.execute("PRAGMA user_version = 42")
        for statement in (ORDERS, "INSERT INTO orders VALUES (1, 'lamp')", *statements):
            file.execute(statement)
    return path


def marks(path: Path) -> tuple[object, ...]:
    """What the file says of itself, and the application's rows."""
    with closing(sqlite3.connect(path)) as file:
        names = ("application_id", "user_version", "journal_mode")
        pragmas = [file.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
        return (*pragmas, file.execute("SELECT * FROM orders").fetchall())


def noted(path: Path) -> list[tuple[str, str]]:
    """The rows of our version table."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT version_num, kept_by FROM tachograph_version").fetchall()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An application's file."""
    return application(tmp_path / "app.db")


def test_a_guest_keeps_what_a_store_of_its_own_keeps(file: Path, tmp_path: Path) -> None:
    """The same rows, a sound file, its own version; and the application's marks and rows as they were."""
    before = marks(file)
    own, shared = open_store(f"sqlite:{tmp_path / 'own.db'}"), open_store(f"sqlite:{file}?shared")
    for store in (own, shared):
        store.append(batch(call_run(session="s").events))
    assert dump(shared) == dump(own)
    assert shared.check() == []
    assert shared.rebuild() == own.rebuild()
    assert (shared.url, shared.facts()["schema"]) == (f"sqlite:{file}?shared", VERSION)
    own.close()
    shared.close()
    assert marks(file) == before
    assert noted(file) == [(f"{VERSION:04}", "tachograph")]


def test_a_file_that_is_somebody_elses_has_to_be_called_so(file: Path) -> None:
    """Without `?shared` it is refused, and nothing is written; the message says how to mean it."""
    before = file.read_bytes()
    with pytest.raises(SchemaMismatch, match=r"of another program.*\?shared"):
        SqliteStore(file).next_seq("r")
    assert file.read_bytes() == before


def test_a_file_of_our_own_stays_one(tmp_path: Path) -> None:
    """`?shared` allows a file to be somebody else's; it does not make it so."""
    path = tmp_path / "own.db"
    SqliteStore(path).next_seq("r")
    shared = SqliteStore(path, shared=True)
    shared.append(batch(call_run().events))
    shared.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_a_new_shared_file_is_the_applications(tmp_path: Path) -> None:
    """It does not say that it is ours, and is made for readers and a writer at once."""
    path = tmp_path / "new" / "app.db"
    store = SqliteStore(path, shared=True)
    store.append(batch(call_run().events))
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(ORDERS)
    assert marks(path) == (0, 0, "wal", [])
    assert SqliteStore(path, shared=True).find(Query("runs", limit=0, total=True)).total == 1
    with pytest.raises(SchemaMismatch, match="of another program"):
        SqliteStore(path).next_seq("r")


@pytest.mark.parametrize(
    ("statement", "name", "wrong"),
    [
        ("CREATE TABLE Sessions (id INTEGER)", "sessions", "has no column 'tenant'"),
        ("CREATE VIEW runs AS SELECT 1", "runs", "is the application's view"),
        ("CREATE TABLE execution_logs (id INTEGER)", "execution_logs", "is the application's table"),
        ("CREATE VIEW execution_logs AS SELECT 1", "execution_logs", "is the application's view"),
        ("CREATE INDEX prices_key ON orders (item)", "prices_key", "is the application's index"),
    ],
)
def test_a_name_that_is_taken_is_left_alone(tmp_path: Path, statement: str, name: str, wrong: str) -> None:
    """The error names it and says what to do; nothing in the file is changed."""
    path = application(tmp_path / "app.db", statement)
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match=f"{name!r} {wrong}.*rename it, or give tachograph a file") as caught:
        SqliteStore(path, shared=True).next_seq("r")
    assert caught.value.table == name
    assert path.read_bytes() == before


def test_what_we_made_we_upgrade(file: Path) -> None:
    """An older schema that tachograph itself put there is brought up to date when the file is opened."""
    before = marks(file)
    upgrade(file, "u", 2, shared=True)
    assert noted(file) == [("0002", "tachograph")]
    store = SqliteStore(file, shared=True)
    store.append(batch(call_run().events))
    store.close()
    assert noted(file) == [(f"{VERSION:04}", "tachograph")]
    assert marks(file) == before


def test_a_newer_guest_is_refused(file: Path) -> None:
    """As in a file of its own."""
    SqliteStore(file, shared=True).next_seq("r")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE tachograph_version SET version_num = '0099'")
    with pytest.raises(SchemaMismatch, match="schema '99'"):
        SqliteStore(file, shared=True).next_seq("r")


def test_adopted_tables_are_left_to_the_application(file: Path) -> None:
    """What its migrations made is used, indexes that are missing are made; what is behind is for them to mend."""
    engine = create_engine(f"sqlite:///{file}")
    tachograph.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX steps_list"))
    store = SqliteStore(file, shared=True)
    store.append(batch(call_run().events))
    assert len(store.sql("SELECT * FROM execution_logs")) == 3
    store.close()
    assert noted(file) == [(f"{VERSION:04}", "application")]
    with engine.begin() as connection:
        connection.execute(text("UPDATE tachograph_version SET version_num = '0002'"))
    assert SqliteStore(file, shared=True).find(Query("steps", limit=0, total=True)).total == 3
    assert noted(file) == [(f"{VERSION:04}", "application")]
    with engine.begin() as connection:
        connection.execute(text("UPDATE tachograph_version SET version_num = '0002'"))
        connection.execute(text("ALTER TABLE steps DROP COLUMN refs"))
    with pytest.raises(SchemaMismatch, match=r"'steps' has no column 'refs'.*alembic revision --autogenerate"):
        SqliteStore(file, shared=True).next_seq("r")
    engine.dispose()


def test_migrations_of_the_application_leave_alone_what_we_made(file: Path) -> None:
    """Autogenerate finds nothing to do with tables, columns, indexes, views and version that tachograph put there."""
    SqliteStore(file, shared=True).next_seq("r")
    engine = create_engine(f"sqlite:///{file}")
    every = MetaData()
    every.reflect(engine, only=["orders"])
    for table in tachograph.metadata.tables.values():
        table.to_metadata(every)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), every) == []
    engine.dispose()


def test_half_a_migration_is_waited_for(file: Path) -> None:
    """Tables that are there in part are not completed: whoever makes them may be at it."""
    engine = create_engine(f"sqlite:///{file}")
    tachograph.metadata.tables["runs"].create(engine)
    engine.dispose()
    with pytest.raises(SchemaMismatch, match="is missing"):
        SqliteStore(file, shared=True).next_seq("r")
    with closing(sqlite3.connect(file)) as connection:
        assert guest.version(connection) == 0


def test_a_rollback_journal_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a reader in the middle of its work keeps writers out; when it is done, they get through."""
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    path = application(tmp_path / "app.db", journal="delete")
    store = SqliteStore(path, shared=True)
    store.append(batch(call_run("first").events))
    with closing(sqlite3.connect(path)) as reader:
        rows = reader.execute("SELECT * FROM steps")
        rows.fetchone()
        with pytest.raises(StoreUnavailable, match="locked"):
            store.append(batch(call_run("second").events))
        rows.close()
        assert store.append(batch(call_run("second").events)).stored > 0
    assert store.check() == []
    assert store.compact() >= 0
    store.close()
    assert marks(path) == (4711, 42, "delete", [(1, "lamp")])


def test_an_open_transaction_of_the_application_is_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it lasts our events wait in the journal; it commits what it wrote, and they arrive."""
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    system = tachograph.configure(store=f"sqlite:{file}?shared", drain_interval=0.02)
    try:
        with tachograph.run("before"):
            pass
        assert tachograph.flush()
        engine = create_engine(f"sqlite:///{file}")
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO orders VALUES (2, 'desk')"))
            with tachograph.run("meanwhile"), tachograph.step(tachograph.ToolCall("book", {"item": "desk"})) as call:
                call.output = "booked"
            assert not tachograph.flush(0.5)
            assert connection.execute(text("SELECT name FROM runs")).scalars().all() == ["before"]
            assert connection.in_transaction()
            connection.execute(text("INSERT INTO orders VALUES (3, 'chair')"))
            connection.commit()
        assert tachograph.flush()
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO orders VALUES (4, 'rug')"))
            connection.rollback()
            assert connection.execute(text("SELECT item FROM orders")).scalars().all() == ["lamp", "desk", "chair"]
            names = connection.execute(text("SELECT name FROM steps ORDER BY run, step")).scalars().all()
            assert names == ["before", "meanwhile", "book"]
        engine.dispose()
    finally:
        system.close()


# ---- the document ----------------------------------------------------------------------------------------------------


class Newcomer:
    """Somebody who does what the document says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.here = environment(TACHOGRAPH_HOME=str(folder / "home"), PYTHONWARNINGS="error")

    def do(self, kind: str, name: str, body: str) -> str:
        """One block: commands, a new file, or a change of one. Returns what the commands printed."""
        if kind == "sh":
            return "".join(self.run(line) for line in body.splitlines())
        target = self.folder / name
        if kind == "diff":
            old, new = ("".join(f"{line[1:]}\n" for line in body.splitlines() if line[0] == sign) for sign in "-+")
            found = target.read_text(encoding="utf-8")
            assert found.count(old) == 1
            body = found.replace(old, new)
        target.write_text(body, encoding="utf-8")
        return ""

    def run(self, line: str) -> str:
        """A command line, with this interpreter. Returns what it printed, log included."""
        program, *arguments = shlex.split(line)
        command = [sys.executable, *(() if program == "python" else ("-m", program)), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.here, timeout=60, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Warning" not in done.stderr
        return done.stdout + done.stderr

    @property
    def store(self) -> SqliteStore:
        """The store in the application's file."""
        return SqliteStore(self.folder / "app.db", shared=True)

    @property
    def newest(self) -> str:
        """The migration that was written last."""
        written = (self.folder / "migrations" / "versions").glob("*.py")
        return max(written, key=lambda path: path.stat().st_mtime_ns).read_text(encoding="utf-8")


PARTS = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)
"""The document, section by section."""


def blocks(title: str) -> list[tuple[str, str, str]]:
    """The blocks of a section: (language, file, text)."""
    found: list[tuple[str, str, str]] = BLOCK.findall(next(part for part in PARTS if part.startswith(title)))
    return found


NOTHING_TO_DO = "No new upgrade operations detected"


def test_the_document_works(tmp_path: Path) -> None:
    """An application's Alembic makes our tables, the store adopts them, and Alembic finds no difference ever after."""
    newcomer = Newcomer(tmp_path)
    told = [newcomer.do(*block) for block in blocks("With Alembic")]
    assert told[-2].splitlines() == ["clerk sell completed", "clerk tool completed"]
    assert NOTHING_TO_DO in told[-1]
    assert noted(tmp_path / "app.db") == [(f"{VERSION:04}", "application")]
    assert newcomer.store.check() == []


OLDER = """
import tachograph
from sqlalchemy import Index, MetaData

metadata = MetaData()
for table in tachograph.metadata.tables.values():
    table.to_metadata(metadata)
payloads, calls = metadata.tables["payloads"], metadata.tables["calls"]
payloads.indexes.clear()
payloads._columns.remove(payloads.c.prefix)
calls.indexes.clear()
Index("calls_started", calls.c.started_at)
metadata.remove(metadata.tables["feed"])
"""
"""The tables of an older version: a column, a table and indexes are still to come."""


def test_the_document_works_after_an_upgrade_of_tachograph(tmp_path: Path) -> None:
    """Migrations of the application bring our tables up to date; until then events wait in the journal."""
    newcomer = Newcomer(tmp_path)
    (tmp_path / "older.py").write_text(OLDER, encoding="utf-8")
    env, app = tmp_path / "migrations" / "env.py", tmp_path / "app.py"
    for kind, name, body in blocks("With Alembic")[:-2]:
        older = body.replace("tachograph.metadata", "older.metadata").replace("+import tachograph", "+import older")
        newcomer.do(kind, name, older)
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection, connection:
        connection.execute("INSERT INTO tachograph_version VALUES ('0002', 'application')")
    program = app.read_text(encoding="utf-8")
    waits = program.replace("tachograph.flush()", "assert not tachograph.flush(1)").partition("with engine")[0]
    app.write_text(waits, encoding="utf-8")
    said = newcomer.run("python app.py")
    assert "they wait in the journal: store sqlite:app.db?shared: 'payloads' has no column 'prefix'" in said
    env.write_text(env.read_text().replace("older", "tachograph"))
    for block in blocks("After an upgrade"):
        newcomer.do(*block)
    assert "add_column('payloads'" in newcomer.newest
    app.write_text(program, encoding="utf-8")
    told = [newcomer.do(*block) for block in blocks("With Alembic")[-2:]]
    assert "clerk sell completed" in told[0]
    assert NOTHING_TO_DO in told[1]
    assert noted(tmp_path / "app.db") == [(f"{VERSION:04}", "application")]
    assert newcomer.store.find(Query("runs", limit=0, total=True)).total == 2
    assert newcomer.store.check() == []
