"""What a program has of its database, and the store that it means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tachograph.errors import SettingsError
from tachograph.instrument.databases import store_url
from tests.house.source import environment


@pytest.fixture
def engine(tmp_path: Path) -> sqlalchemy.Engine:
    """An engine on a file that does not exist yet."""
    return sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'app.db'}")


def test_a_url_or_a_path_stays_and_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a program may change its folder later; other stores' URLs stay as they are."""
    monkeypatch.chdir(tmp_path)
    wanted = f"sqlite:{tmp_path / 'a.db'}"
    assert [
        store_url(db) for db in ("a.db", Path("a.db"), "sqlite:a.db", "sqlite:///a.db", f"sqlite:///{tmp_path}/a.db")
    ] == [wanted] * 5
    assert store_url("sqlite:a.db?shared") == f"{wanted}?shared"
    assert store_url("sqlite+aiosqlite:///a.db") == store_url("sqlite+pysqlite:///a.db") == f"{wanted}?shared"
    assert (store_url("memory:"), store_url("https://logs.example"), store_url(None)) == (
        "memory:", "https://logs.example", None,
    )  # fmt: skip


WAYS: dict[str, Callable[[sqlalchemy.Engine], Any]] = {
    "engine": lambda engine: engine,
    "url": lambda engine: engine.url,
    "connection": lambda engine: engine.connect(),
    "session": Session,
    "session of a connection": lambda engine: Session(engine.connect()),
    "maker": sessionmaker,
    "session of a maker": lambda engine: sessionmaker(engine)(),
    "scoped session": lambda engine: scoped_session(sessionmaker(engine)),
    "subclass": type("AppSession", (Session,), {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_of_sqlalchemy_only_the_url_is_read(way: str, engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    """Whatever leads to an engine is enough, and no transaction is begun for it."""
    given = WAYS[way](engine)
    began: list[Any] = []
    sqlalchemy.event.listen(engine, "begin", began.append)
    assert store_url(given) == f"sqlite:{tmp_path / 'app.db'}?shared"
    assert began == []
    for open_one in (given, getattr(given, "bind", None)):
        if hasattr(open_one, "close"):
            open_one.close()
    engine.dispose()


def test_async_engines_and_sessions_lead_there_too(tmp_path: Path) -> None:
    """The engine, its session, and what makes sessions."""
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine

    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
    maker = async_sessionmaker(engine)
    scoped = async_scoped_session(maker, scopefunc=lambda: 1)
    for given in (engine, AsyncSession(engine), maker, maker(), scoped, engine.connect()):
        assert store_url(given) == f"sqlite:{tmp_path / 'app.db'}?shared"


def test_an_async_session_is_read_without_its_driver(tmp_path: Path) -> None:
    """Only the URL behind its bind matters: here of an engine whose driver is not installed."""
    asynchronous = type("AsyncSession", (), {"__module__": "sqlalchemy.ext.asyncio.session"})()
    asynchronous.bind = SimpleNamespace(url=sqlalchemy.make_url(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"))
    assert store_url(asynchronous) == f"sqlite:{tmp_path / 'app.db'}?shared"


def test_a_session_that_routes_is_asked_for_its_bind(engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    """Without a bind of its own a session may still know; one that does not is refused with advice."""

    class Routed(Session):
        def get_bind(self, *_: Any, **__: Any) -> Any:
            return engine

    assert store_url(Routed()) == f"sqlite:{tmp_path / 'app.db'}?shared"
    with pytest.raises(SettingsError, match="an engine, or a session that is bound to one"):
        store_url(Session())
    with pytest.raises(SettingsError, match="a store URL such as"):
        store_url(sessionmaker())


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("sqlite://", "a database in a file"),
        ("sqlite:///:memory:", "a database in a file"),
        ("sqlite:///file:mine?mode=memory&uri=true", "a database in a file"),
        ("postgresql+psycopg://user:secret@host/app", "a store URL such as sqlite:agent-logs.db, nothing at all"),
        ("mysql://user:secret@host/app", "let the loggers record into a store of theirs"),
        ("sqlite+pysqlcipher://:secret@/app.db", "let the loggers record into a store of theirs"),
    ],
)
def test_what_cannot_be_recorded_into_is_refused(url: str, wanted: str) -> None:
    """The message says what to hand over instead, and shows no password."""
    with pytest.raises(SettingsError, match=wanted) as problem:
        store_url(sqlalchemy.make_url(url))
    assert "secret" not in str(problem.value)


def test_the_file_of_a_sqlite_uri_is_found(tmp_path: Path) -> None:
    """As SQLite's own URI names it."""
    url = sqlalchemy.make_url(f"sqlite:///file:{tmp_path}/my%20app.db?mode=rw&uri=true")
    assert store_url(url) == f"sqlite:{tmp_path}/my app.db?shared"


@pytest.mark.parametrize("db", [1, object(), SimpleNamespace(bind=1, url="sqlite:///x.db"), b"sqlite:x.db"])
def test_anything_else_is_refused(db: object) -> None:
    """With what may be handed over."""
    with pytest.raises(SettingsError, match="a SQLAlchemy engine or session"):
        store_url(db)


def test_sqlalchemy_is_not_loaded_for_a_url() -> None:
    """A program that has none of it does not get it by logging."""
    code = (
        "import sys\nfrom tachograph.instrument.logging import ExecutionLogger\n"
        "ExecutionLogger('a.db'); ExecutionLogger()\nprint('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == "False\n"
