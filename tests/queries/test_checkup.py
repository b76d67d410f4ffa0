from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.compose import System, journals_folder, open_store
from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded, RunStarted
from tachograph.queries.checkup import REMOTE, counted, examine, leftovers
from tachograph.queries.kept import Kept
from tachograph.record import scope
from tachograph.record.drain import REFUSED
from tachograph.record.run import run
from tachograph.settings import Settings
from tachograph.store.ports import Batch, Store
from tachograph.store.rows import JournalRow, LossRow
from tests.queries.kept import batch
from tests.strategies import Tape

RUN = "019a0000-0000-7000-8000-000000000000"
OWNER = "019a0000-0000-7000-9000-000000000000"
_MINUTE = 60_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A store of one's own, which nobody drains into."""
    return Settings(home=tmp_path, store=f"sqlite:{tmp_path / 'runs.db'}", drain=False)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """That store."""
    opened = open_store(settings)
    yield opened
    opened.close()


def test_nothing_is_wrong_with_an_empty_store(settings: Settings, store: Store) -> None:
    """A store without journals has no problems."""
    found = examine(settings, store)
    assert (found.journals, found.draining, found.problems) == ((), False, [])
    assert found.facts["runs"] == 0


def test_what_waits_in_a_journal_is_counted(settings: Settings, store: Store) -> None:
    """Events of a process that has left are counted one by one, and call for adoption."""
    system = System(settings)
    system.recorder.on_activity = None
    before = scope.use(lambda: system.recorder)
    with run("kept"):
        pass
    scope.use(before)
    system.recorder.close()
    found = examine(settings, store)
    journal = found.journals[0]
    assert (len(found.journals), journal.waiting, journal.alive, journal.damaged_bytes) == (1, 2, False, 0)
    assert journal.pid is not None
    assert 0 < journal.waiting_bytes < journal.disk_bytes
    assert found.problems == ["journals of processes that are gone: 1, with 2 events (--repair adopts them)"]


def test_damage_is_seen(settings: Settings, store: Store) -> None:
    """Bytes that are no record are counted."""
    system = System(settings)
    system.recorder.on_activity = None
    before = scope.use(lambda: system.recorder)
    with run("damaged"):
        pass
    scope.use(before)
    system.recorder.close()
    segment = next(journals_folder(settings).glob("*/*.seg"))
    data = bytearray(segment.read_bytes())
    data[530:540] = b"\xff" * 10
    segment.write_bytes(data)
    journal = examine(settings, store).journals[0]
    assert (journal.waiting, journal.damaged_bytes > 100) == (1, True)


def test_a_run_without_a_journal_is_stuck(settings: Settings, store: Store) -> None:
    """An open run whose owner left no journal will never end by itself."""
    body = RunStarted(name="lost", execution_id="exec_0_0", owner="gone")
    store.append(Batch([Event(RUN, 0, 1, 1, 0, body)]))
    found = examine(settings, store)
    assert found.stuck == (RUN,)
    assert found.problems == ["open runs whose journal is gone: 1 (--repair ends them)"]
    store.append(Batch([Event(RUN, 1, 1, 1, 0, RunEnded(status="paused", stop_reason="approval"))]))
    assert (examine(settings, store).stuck, examine(settings, store).problems) == ((), [])


def test_losses_and_leftovers_are_told(settings: Settings, store: Store) -> None:
    """What was lost outside any run, and folders that were never finished, are problems."""
    (journals_folder(settings) / ".019a-unnamed").mkdir(parents=True)
    store.note(LossRow(id=0, at=1, journal="j", reason="damage", events=0, bytes=100, detail="segment 1"))
    found = examine(settings, store)
    assert found.leftovers == (".019a-unnamed",)
    assert [loss["reason"] for loss in found.losses] == ["damage"]
    assert found.problems == ["unfinished journal folders: 1 (--repair removes them)", "losses outside any run: 1"]
    assert leftovers(journals_folder(settings) / "nothing") == []


@pytest.mark.parametrize("name", [OWNER, f"acme/{OWNER}"])
def test_a_run_of_another_machine_is_not_stuck(settings: Settings, store: Store, name: str) -> None:
    """Its journal lies where it was recorded, and who records it will end it."""
    store.append(Batch([Event(RUN, 0, 1, 1, 0, RunStarted(name="far", execution_id="exec_0_0", owner=OWNER))]))
    assert examine(settings, store).stuck == (RUN,)
    store.note(JournalRow(id=name, state=REMOTE, seen_at=1))
    assert (examine(settings, store).stuck, examine(settings, store).problems) == ((), [])


def test_a_journal_that_is_refused_says_why(settings: Settings, store: Store) -> None:
    """The drain leaves its reason in the folder."""
    folder = journals_folder(settings) / OWNER
    folder.mkdir(parents=True)
    (folder / REFUSED).write_text("store x refused it")
    found = examine(settings, store)
    assert found.journals[0].refused == "store x refused it"
    assert "journals that the store does not take: 1, because: store x refused it" in found.problems


def test_a_store_is_counted_again_when_something_comes_or_goes(store: Store) -> None:
    """The figures stand while nothing changes, for a minute at most, and are never those of another store."""
    kept = Kept()
    assert counted(store, 1, kept).facts["runs"] == 0
    tape = Tape("counted")
    tape.begin()
    store.append(batch(tape.events))
    come = counted(store, 2, kept)
    assert (come.at, come.facts["runs"], come.facts["open_runs"]) == (2, 1, 1)
    assert counted(store, 1 + _MINUTE, kept) is come
    assert counted(store, 2 + _MINUTE, kept).at == 2 + _MINUTE
    store.erase([tape.run], 3)
    gone = counted(store, 3 + _MINUTE, kept)
    assert (gone.at, gone.facts["runs"]) == (3 + _MINUTE, 0)
