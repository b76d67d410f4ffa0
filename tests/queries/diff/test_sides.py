from __future__ import annotations

import pytest

from tachograph.events.content import inline
from tachograph.events.run import Failure
from tachograph.queries.diff import sides
from tachograph.queries.diff.sides import Origin, Side, head_of, runs_of, side
from tachograph.queries.find import find
from tachograph.store.ports import Store
from tests.queries.diff.scenes import FIND, PAY, kept, taped
from tests.strategies import BEGAN, Tape


def of(store: Store, run: str, after: int = -1) -> Side:
    """The side of a run."""
    found = find(store, run)
    return side(store, found, head_of(store, found), runs_of(store, found), after)


def told(found: Side) -> list[tuple[int, str, str]]:
    """Depth, kind and name of each step."""
    return [(entry.depth, entry.row["kind"], entry.row["name"]) for entry in found.entries]


def _family() -> tuple[Tape, Tape]:
    top, below = Tape("top", at=BEGAN), Tape("below", at=BEGAN + 1_000)
    top.begin("top")
    first = top.step("ask", kind="delegation")
    below.begin("below", parent_run=top.run, parent_step=first)
    inner = below.step("iteration 1", kind="iteration", iteration=1)
    below.reply(below.call(parent=inner))
    below.done(inner)
    below.finish()
    top.done(first)
    top.step("after")
    return top, below


def test_steps_stand_in_the_order_of_the_tree(store: Store) -> None:
    """Runs that were started stand where they were started; the run itself and iterations are no steps of it."""
    top, below = _family()
    kept(store, top, below)
    assert told(of(store, top.run)) == [
        (0, "delegation", "ask"), (1, "run", "below"), (2, "llm", "gpt-4o"), (0, "custom", "after"),
    ]  # fmt: skip
    assert told(of(store, below.run)) == [(0, "llm", "gpt-4o")]


def test_what_is_behind_an_event(store: Store) -> None:
    """Steps that began up to it are left out, with the runs that they started; they are counted."""
    top, below = _family()
    kept(store, top, below)
    found = of(store, top.run, after=1)
    assert (told(found), found.taken, [each.run.name for each in found.runs]) == ([(0, "custom", "after")], 3, ["top"])


def test_what_a_step_is_known_by(store: Store) -> None:
    """Model calls by what they ask for and whether they failed, tool calls by arguments, delegations by name."""
    left, right = taped("a", FIND, "Done."), taped("b", PAY, FIND, "Bye.")
    failed = Tape("c", at=BEGAN)
    failed.begin()
    failed.reply(failed.call(), "failed", error=Failure("TimeoutError", "late"))
    failed.step("x", kind="delegation", input=inline("1"))
    failed.step("x", kind="delegation", input=inline("2"))
    failed.step("x", kind="retrieval", input=inline("[1, 2]"))
    failed.step("x", kind="retrieval", input=inline("[1,2]"))
    failed.step("x", kind="retrieval", input=inline("[1]"))
    kept(store, left, right, failed)
    ours, theirs, third = (of(store, tape.run).known for tape in (left, right, failed))
    assert (ours[0], ours[1], ours[2]) == (theirs[2], theirs[3], theirs[4])
    assert (theirs[0].key == theirs[2].key, theirs[0].kin == theirs[2].kin) == (False, True)
    assert (third[0].key == ours[2].key, third[0].kin == ours[2].kin) == (False, True)
    assert (third[1] == third[2], third[3] == third[4], third[4].key == third[5].key) == (True, True, False)
    assert all(each.kin == other.kin for each in third for other in third if each.key == other.key)


def test_where_a_run_was_forked_from(store: Store) -> None:
    """Its metadata say it; other metadata say nothing."""
    tapes = [
        taped("a", "Done.", metadata=inline('{"forked_from": {"run": "r", "seq": 3}, "more": 1}')),
        taped("b", metadata=inline('{"forked_from": "elsewhere"}')),
        taped("c", metadata=inline("[1]")),
        taped("d"),
    ]
    kept(store, *tapes)
    heads = [head_of(store, find(store, tape.run)) for tape in tapes]
    assert [head.origin for head in heads] == [Origin("r", 3), None, None, None]
    assert heads[0].answer == '"Done."'


def test_a_side_has_its_bounds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many steps the first are compared, and it is said."""
    (run,) = kept(store, taped("a", FIND, PAY, "Done."))
    assert of(store, run).is_whole
    monkeypatch.setattr(sides, "STEPS", 3)
    found = of(store, run)
    assert (found.is_whole, len(found.entries) < 5) == (False, True)
    monkeypatch.setattr(sides, "RUNS", 1)
    top, below = _family()
    kept(store, top, below)
    assert [each.run.name for each in of(store, top.run).runs] == ["top"]


def test_runs_that_started_each_other(store: Store) -> None:
    """A circle, which only a broken import can make, is gone round once."""
    left, right = Tape("left"), Tape("right")
    left.begin("left", parent_run=right.run, parent_step=0)
    right.begin("right", parent_run=left.run, parent_step=0)
    kept(store, left, right)
    assert [each.run.name for each in of(store, left.run).runs] == ["left", "right"]
    assert told(of(store, left.run)) == [(0, "run", "right")]
