from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.errors import SettingsError
from tachograph.store.heads import heads_path, open_heads
from tests.contracts.heads import KEY, taken


def test_the_heads_lie_beside_the_store(tmp_path: Path) -> None:
    """Beside a SQLite file; for a server in the data folder, for this machine; in memory for a store in memory."""
    assert heads_path(f"sqlite:{tmp_path}/a.db", tmp_path / "home") == tmp_path / "a.db.sessions"
    remote = heads_path("https://example.org/t", tmp_path / "home")
    assert remote is not None
    assert (remote.parent, remote.name[:14], remote.suffix) == (
        tmp_path / "home" / "sessions", "example-org-t-", ".sessions"
    )  # fmt: skip
    assert heads_path("memory:", tmp_path) is None
    with pytest.raises(SettingsError):
        heads_path("ftp://x", tmp_path)


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    """To open heads and to close them touches no file; to take a lease makes one."""
    heads = open_heads(f"sqlite:{tmp_path}/a.db", tmp_path)
    heads.close()
    assert list(tmp_path.iterdir()) == []
    assert taken(heads) == heads.get(KEY)
    heads.close()
    assert (tmp_path / "a.db.sessions").exists()
    assert taken(open_heads("memory:", tmp_path)).version == 0
