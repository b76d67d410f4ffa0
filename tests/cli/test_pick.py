from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.cli.pick import pick, short
from tachograph.errors import NotFound
from tachograph.queries.runs import runs
from tachograph.store.sqlite.store import SqliteStore


def test_a_run_has_many_names(desk: Path) -> None:
    """The eight digits of a list, the execution id, the id and the beginning of it all mean the same run."""
    store = SqliteStore(desk)
    run = runs(store).runs[2]
    names = (short(run), short(run)[:5], run.execution_id, run.id, run.id[:24])
    assert {pick(store, name).id for name in names} == {run.id}
    store.close()


def test_last_is_the_newest_run_that_nobody_started(desk: Path) -> None:
    """`last` passes over runs that are part of another one."""
    store = SqliteStore(desk)
    assert pick(store, "last").name == "evening-note"
    with pytest.raises(NotFound):
        pick(store, "beef")
    store.close()
