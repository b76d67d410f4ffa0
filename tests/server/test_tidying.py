from __future__ import annotations

from pathlib import Path

from tachograph.errors import StoreUnavailable
from tachograph.server.tidying import Tidying
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.kept import call_run
from tests.queries.kept import batch
from tests.server.test_housekeeping import wait_for

MARK = "say nothing of the blue bicycle"


def test_what_was_erased_leaves_the_files(tmp_path: Path) -> None:
    """Soon after a deletion neither the database nor its write-ahead log has the text; the store goes on."""
    store = SqliteStore(tmp_path / "a.db")
    tape = call_run()
    tape.say("user", {"role": "user", "content": MARK})
    store.append(batch(tape.events))
    tidying = Tidying(store, pause=0.01)
    store.erase([tape.run], 1)
    assert present(tmp_path)
    tidying.ask()
    assert wait_for(lambda: not present(tmp_path))
    tidying.close()
    assert list(store.check()) == []
    store.close()


def test_a_store_that_is_busy_is_tidied_later() -> None:
    """When compacting fails it is tried again, until it is done."""

    class Busy:
        """A store that is locked twice."""

        tried = 0

        def compact(self) -> int:
            """Give back seven bytes, the third time."""
            self.tried += 1
            if self.tried < 3:
                raise StoreUnavailable("sqlite:a", "locked")
            return 7

    tidying = Tidying(Busy(), pause=0.01)  # type: ignore[arg-type]
    tidying.ask()
    assert wait_for(lambda: tidying.returned == 7)
    tidying.close()


def present(folder: Path) -> bool:
    """Whether any of the store's files has the text."""
    return any(MARK.encode() in file.read_bytes() for file in folder.iterdir())
