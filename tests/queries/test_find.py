from __future__ import annotations

import re

import pytest

from tachograph.errors import Ambiguous, NotFound
from tachograph.events import ids
from tachograph.events.note import Score
from tachograph.events.run import RunStarted
from tachograph.queries.find import find
from tachograph.record.after.feedback import About, feedback
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape


def _run(store: Store, source: str, at: int, parent: str | None = None) -> str:
    tape = Tape(source, at=at)
    tape.begin(source, parent_run=parent)
    store.append(batch(tape.events))
    return tape.run


def test_ways_to_name_a_run(store: Store) -> None:
    """A run is found by its id, the id of a step, its execution id, and first digits of either that are its own."""
    run = _run(store, "wanted", BEGAN)
    _run(store, "other", BEGAN + 10**15)
    execution = ids.execution_id(BEGAN, run)
    names = (
        run,
        run.upper(),
        ids.step_id(run, 7),
        run[:9],
        execution,
        execution[:12],
        execution.removeprefix("exec_")[:8],
        f" {execution} ",
    )
    assert {name: find(store, name).id for name in names} == dict.fromkeys(names, run)


@pytest.mark.parametrize("grouped", ["Ticket-7", "5b6e0a3e-0000-4000-8000-00000000abcd"])
def test_runs_that_a_program_groups_itself(store: Store, grouped: str) -> None:
    """A grouping id of the program's own is found as it is spelled; of several runs in it their ids are named."""
    made = []
    for number in range(2):
        tape = Tape(f"run {number}")
        tape.start(RunStarted(name="n", execution_id=grouped))
        store.append(batch(tape.events))
        made.append(tape.run)
        if number == 0:
            assert find(store, grouped).id == tape.run
    with pytest.raises(Ambiguous) as problem:
        find(store, grouped)
    assert sorted(problem.value.matches) == sorted(made)


def test_runs_that_hold_feedback(store: Store) -> None:
    """Feedback has the execution id of the run it is about, and is found by its own whole id alone."""
    run = _run(store, "wanted", BEGAN)
    execution = ids.execution_id(BEGAN, run)
    about = About(run=run, execution_id=execution, tenant="default", session=None)
    said = feedback(Score(name="thumbs"), about, at=BEGAN + 1, entropy=b"123456")
    store.append(batch(said))
    for name in (run, execution, execution[:12], run[:9], "last"):
        assert find(store, name).id == run
    assert find(store, said[0].run).id == said[0].run


def test_last(store: Store) -> None:
    """`last` is the run that started last, leaving out runs that another run started."""
    with pytest.raises(NotFound, match="no run has the id 'last'"):
        find(store, "last")
    first = _run(store, "first", BEGAN)
    newest = _run(store, "newest", BEGAN + 1_000)
    _run(store, "child", BEGAN + 2_000, parent=first)
    assert find(store, "last").id == newest


def test_names_of_several_runs(store: Store) -> None:
    """First digits that several runs share are refused, naming some of them."""
    runs = [_run(store, f"run {number}", BEGAN) for number in range(5)]
    with pytest.raises(Ambiguous, match=re.escape(f"more than one run begins with '{runs[0][:8]}': exec_")) as problem:
        find(store, runs[0][:8])
    assert len(problem.value.matches) == 3
    assert find(store, runs[3]).id == runs[3]


@pytest.mark.parametrize("name", ["", "zzz", "exec_", "0" * 36, "x" * 36], ids=["empty", "word", "bare", "id", "no-id"])
def test_names_of_nothing(store: Store, name: str) -> None:
    """A name that no run has is not found."""
    with pytest.raises(NotFound):
        find(store, name)


def test_a_bare_prefix_means_any(store: Store) -> None:
    """`exec_` alone begins every execution id: one run is found, two are too many."""
    run = _run(store, "one", BEGAN)
    assert find(store, "exec_").id == run
