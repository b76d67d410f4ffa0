from __future__ import annotations

from pathlib import Path

from tachograph.store.memory import MemoryStore
from tests.server.serving import service_over


def test_live_views_look_at_the_service_s_own_store(tmp_path: Path) -> None:
    """Each service has its own store, its own readers and its own queue of writers."""
    one, two = (service_over(MemoryStore(), home=tmp_path) for _ in range(2))
    assert (one.live.store, two.live.store) == (one.store, two.store)
    assert one.live is not two.live
    assert one.turns is not two.turns


def test_the_token_is_not_shown(tmp_path: Path) -> None:
    """A service may stand in a traceback or a log."""
    assert "s3same" not in repr(service_over(home=tmp_path, token="s3same"))
