from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.errors import SettingsError
from tachograph.store.memory import MemoryStore
from tachograph.store.open import is_loopback, is_remote, open_store, remote_url, sqlite_path
from tachograph.store.sqlite.store import SqliteStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:/a/b.db", "/a/b.db"), ("sqlite:b.db", "b.db"), ("sqlite:///b.db", "b.db"),
        ("sqlite:////a/b.db", "/a/b.db"), ("/a/b.db", "/a/b.db"), ("runs.db", "runs.db"), ("c:/runs.db", "c:/runs.db"),
        ("sqlite:b.db?shared", "b.db"), ("sqlite:////a/b.db?shared", "/a/b.db"), ("b.db?shared", "b.db"),
    ],
)  # fmt: skip
def test_a_url_names_a_file(url: str, path: str) -> None:
    """With or without scheme, relative or absolute."""
    assert sqlite_path(url) == Path(path)


def test_a_home_is_found() -> None:
    """`~` is the user's."""
    assert sqlite_path("sqlite:~/a.db") == Path.home() / "a.db"


@pytest.mark.parametrize(
    "url",
    [
        "postgres://host/db",
        "sqlite:",
        "sqlite://host/db",
        "sqlite::memory:",
        "",
        "memory:x",
        "sqlite:?shared",
        "sqlite:a.db?mode=ro",
    ],
)
def test_what_cannot_be_opened_is_refused(url: str) -> None:
    """The error says what can be."""
    with pytest.raises(SettingsError, match="sqlite:PATH"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("https://key@Host.Example:443/", "https://host.example"), ("https://host:4319//", "https://host:4319"),
        ("http://localhost:80", "http://localhost"), ("http://[::1]:4319/base/", "http://[::1]:4319/base"),
        ("HTTPS://host", "https://host"),
    ],
)  # fmt: skip
def test_a_server_has_one_spelling(url: str, spelled: str) -> None:
    """Whatever names the same server names the same journals."""
    assert (remote_url(url), is_remote(url)) == (spelled, True)


@pytest.mark.parametrize("url", ["https://", "https:///path", "https://host:port", "https://host?a=b", "https://host#a",
                                 "http://[::1", "http:host", "http://host.example"])  # fmt: skip
def test_a_server_that_cannot_be_asked_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError):
        open_store(url, "tg_key")


@pytest.mark.parametrize(
    ("host", "near"),
    [("localhost", True), ("127.3.2.1", True), ("::1", True), ("0.0.0.0", False), ("localhost.example", False)],
)
def test_this_machine_is_known_by_its_names(host: str, near: bool) -> None:
    """Names that a resolver would have to be asked about are not."""
    assert is_loopback(host) is near


def test_opening_creates_nothing(tmp_path: Path) -> None:
    """A store comes into being with its first use."""
    store = open_store(f"sqlite:{tmp_path / 'a.db'}")
    assert isinstance(store, SqliteStore)
    store.close()
    assert list(tmp_path.iterdir()) == []
    assert isinstance(open_store("memory:"), MemoryStore)
