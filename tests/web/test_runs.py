from __future__ import annotations

from typing import Any

import pytest

from tachograph.queries.answers.runs import RunOverview, overview
from tachograph.queries.runs import runs
from tachograph.store.memory import MemoryStore
from tachograph.web.runs import longest_of, rows
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000


def _run(seconds: int | None, status: str = "completed", **facts: Any) -> RunOverview:
    store, tape = MemoryStore(), Tape()
    tape.begin()
    if seconds is not None:
        tape.wait(seconds * SECOND - tape.tick)
        tape.finish(status, **facts)
    store.append(batch(tape.events))
    return overview(runs(store).runs[0])


def test_bars_are_drawn_against_the_longest() -> None:
    """The longest run of a page has a full bar; an open one has lasted until now."""
    made = rows([_run(4), _run(1), _run(None)], BEGAN + 2 * SECOND)
    assert [(row.lasted, row.share) for row in made] == [(4_000, 1.0), (1_000, 0.25), (2_000, 0.5)]
    assert [row.is_open for row in made] == [False, False, True]


def test_rows_that_come_later_keep_the_measure() -> None:
    """Against a known length a bar is never more than full; before its time nothing has lasted."""
    assert [row.share for row in rows([_run(4), _run(1)], BEGAN, 2_000)] == [1.0, 0.5]
    assert [row.lasted for row in rows([_run(None)], BEGAN - SECOND)] == [0]


@pytest.mark.parametrize(("lasted", "longest"), [([], 1), ([None], 1), ([0], 1), ([None, 7, 3], 7)], ids=str)
def test_there_is_always_a_measure(lasted: list[int | None], longest: int) -> None:
    """Nothing is divided by nothing."""
    assert longest_of(lasted) == longest
