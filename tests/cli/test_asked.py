from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.cli.asked import WIDTH, asked
from tachograph.cli.desk import shop
from tachograph.compose import System
from tachograph.queries.runs import runs
from tachograph.record import scope
from tachograph.record.run import run
from tachograph.settings import Settings
from tachograph.store.sqlite.store import SqliteStore
from tests.cli.conftest import Run
from tests.cli.logs import claude_turn, write


@pytest.fixture
def store(tmp_path: Path, cli: Run) -> Iterator[SqliteStore]:
    """A store with a run that was asked something long."""
    log = write(tmp_path / "a.jsonl", claude_turn(0, text="  please\nlook " + "closely " * 200))
    cli("import", str(log), store=tmp_path / "runs.db")
    opened = SqliteStore(tmp_path / "runs.db")
    yield opened
    opened.close()


def test_runs_are_told_by_what_they_were_asked(filled: Path) -> None:
    """The input of each run on one line."""
    store = SqliteStore(filled)
    found = {run.name: asked(store, [run.id]).get(run.id) for run in runs(store).runs}
    assert asked(store, []) == {}
    store.close()
    assert found["evening-note"] == shop.QUESTIONS["evening"]
    assert found["refunds"] == "R-2198: gears jammed twice, customers walked home"
    assert found["figures"] == "The day's book, please."


def test_what_is_no_text_is_told_as_json(tmp_path: Path) -> None:
    """A text is told bare, any other input as JSON, and a run without input has none."""
    system = System(Settings(home=tmp_path, store=f"sqlite:{tmp_path / 'runs.db'}"))
    before = scope.use(lambda: system.recorder)
    try:
        for given in ("R-2198: jammed", {"rental": "R-2198", "complaint": "jammed"}, None):
            with run(type(given).__name__, input=given):
                pass
        assert system.worker.flush()
    finally:
        scope.use(before)
        system.close()
    store = SqliteStore(tmp_path / "runs.db")
    found = {one.name: asked(store, [one.id]).get(one.id) for one in runs(store).runs}
    store.close()
    assert found == {"str": "R-2198: jammed", "dict": '{"rental":"R-2198","complaint":"jammed"}', "NoneType": None}


def test_a_long_question_is_cut(store: SqliteStore) -> None:
    """An input that the store keeps apart is fetched, and shown as far as a line goes."""
    long = runs(store).runs[0].id
    text = asked(store, [long])[long]
    assert text.startswith("please⏎look closely ")
    assert (len(text), text[-1]) == (WIDTH, "…")
