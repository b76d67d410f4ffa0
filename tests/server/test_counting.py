from __future__ import annotations

from tachograph.server.counting import counted
from tachograph.server.service import Service
from tachograph.store.sqlite.store import SqliteStore
from tests.queries.kept import batch
from tests.strategies import Tape

MINUTE = 60_000_000_000


def test_a_store_is_counted_again_when_something_comes_or_goes(service: Service, store: SqliteStore) -> None:
    """The figures stand while nothing changes, for a minute at most, and are never those of another store."""
    assert counted(service, 1).facts["runs"] == 0
    tape = Tape("counted")
    tape.begin()
    store.append(batch(tape.events))
    come = counted(service, 2)
    assert (come.at, come.facts["runs"], come.facts["open_runs"]) == (2, 1, 1)
    assert counted(service, 1 + MINUTE) is come
    assert counted(service, 2 + MINUTE).at == 2 + MINUTE
    store.erase([tape.run], 3)
    gone = counted(service, 3 + MINUTE)
    assert (gone.at, gone.facts["runs"]) == (3 + MINUTE, 0)
