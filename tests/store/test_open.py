from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.errors import SettingsError
from tachograph.store.memory import MemoryStore
from tachograph.store.open import open_store, sqlite_path
from tachograph.store.sqlite.store import SqliteStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:/a/b.db", "/a/b.db"), ("sqlite:b.db", "b.db"), ("sqlite:///b.db", "b.db"),
        ("sqlite:////a/b.db", "/a/b.db"), ("/a/b.db", "/a/b.db"), ("runs.db", "runs.db"), ("c:/runs.db", "c:/runs.db"),
    ],
)  # fmt: skip
def test_a_url_names_a_file(url: str, path: str) -> None:
    """With or without scheme, relative or absolute."""
    assert sqlite_path(url) == Path(path)


def test_a_home_is_found() -> None:
    """`~` is the user's."""
    assert sqlite_path("sqlite:~/a.db") == Path.home() / "a.db"


@pytest.mark.parametrize(
    "url", ["postgres://host/db", "sqlite:", "sqlite://host/db", "sqlite::memory:", "", "memory:x"]
)
def test_what_cannot_be_opened_is_refused(url: str) -> None:
    """The error says what can be."""
    with pytest.raises(SettingsError, match="sqlite:PATH"):
        open_store(url)


def test_opening_creates_nothing(tmp_path: Path) -> None:
    """A store comes into being with its first use."""
    store = open_store(f"sqlite:{tmp_path / 'a.db'}")
    assert isinstance(store, SqliteStore)
    store.close()
    assert list(tmp_path.iterdir()) == []
    assert isinstance(open_store("memory:"), MemoryStore)
