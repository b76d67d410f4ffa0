from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.cli.asked import WIDTH, asked
from tachograph.cli.desk import shop
from tachograph.queries.runs import runs
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
    """The input of each run on one line, bare where it is a text, as JSON where it is not."""
    store = SqliteStore(filled)
    found = {run.name: asked(store, [run.id]).get(run.id) for run in runs(store).runs}
    assert asked(store, []) == {}
    store.close()
    assert found["evening-note"] == shop.QUESTIONS["evening"]
    assert found["refunds"] == '{"rental":"R-2198","complaint":"gears jammed twice, customers walked home"}'
    assert found["figures"] is None


def test_a_long_question_is_cut(store: SqliteStore) -> None:
    """An input that the store keeps apart is fetched, and shown as far as a line goes."""
    run = runs(store).runs[0].id
    text = asked(store, [run])[run]
    assert text.startswith("please⏎look closely ")
    assert (len(text), text[-1]) == (WIDTH, "…")
