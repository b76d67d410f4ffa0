from __future__ import annotations

import msgspec
import pytest

from tachograph.errors import NotFound
from tachograph.events.content import inline
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note, Score
from tachograph.events.usage import Cost, Usage
from tachograph.fold import receipt, repeats, totals
from tachograph.fold.handoffs import Handing, note_of
from tachograph.queries.run import RunDetail, run
from tachograph.queries.runs import runs
from tachograph.queries.steps import Step
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000


def _family() -> tuple[Tape, Tape, Tape]:
    """A run that delegates to another one, which delegates once more."""
    tapes = tuple(Tape(name, at=BEGAN + number * SECOND) for number, name in enumerate(("top", "middle", "leaf")))
    top, middle, leaf = tapes
    top.begin("top")
    delegation = top.step("ask the middle", kind="delegation")
    middle.begin("middle", parent_run=top.run, parent_step=delegation)
    inner = middle.step("ask the leaf", kind="delegation")
    leaf.begin("leaf", parent_run=middle.run, parent_step=inner)
    leaf.reply(leaf.call(), usage=Usage(10, 0, 0, 5, basis="provider"), cost=Cost("priced", total=70))
    leaf.finish()
    middle.done(inner)
    middle.reply(middle.call())
    middle.finish()
    top.add(LimitHit(metric="cost", mode="warn", used=70, threshold=50))
    top.done(delegation)
    top.finish()
    top.add(Score(name="reward", value=1.0))
    return top, middle, leaf


def test_a_run_and_all_it_started(store: Store) -> None:
    """A run shows the runs it started below the step that did, their sums beside its own, limits and scores."""
    top, middle, leaf = _family()
    store.append(batch(leaf.events, top.events, middle.events))
    found = run(store, top.run)
    rows = {each.id: each for each in runs(store).runs}
    assert [(step.depth, step.kind, step.name) for step in found.steps] == [
        (0, "run", "top"),
        (1, "delegation", "ask the middle"),
        (2, "run", "middle"),
        (3, "delegation", "ask the leaf"),
        (4, "run", "leaf"),
        (5, "llm", "gpt-4o"),
        (3, "llm", "gpt-4o"),
    ]
    own, below, deepest = (totals.fold(tape.events) for tape in (top, middle, leaf))
    assert found == RunDetail(
        run=rows[top.run],
        steps=found.steps,
        children=(rows[middle.run], rows[leaf.run]),
        totals=own,
        whole=own + below + deepest,
        repeats=repeats.Repeats(),
        receipt=receipt.fold(top.events, stored=len(top.events)),
        limits=(LimitHit(metric="cost", mode="warn", used=70, threshold=50),),
        scores=(Score(name="reward", value=1.0),),
    )
    assert (found.steps[0].below.cost, found.steps[0].below.llm_calls, found.steps[0].below.unpriced) == (70, 2, 1)
    assert msgspec.json.decode(msgspec.json.encode(found), type=RunDetail) == found


def test_a_child_is_shown_alone(store: Store) -> None:
    """A run that another one started can be shown too: then it is the root."""
    top, middle, leaf = _family()
    store.append(batch(top.events, middle.events, leaf.events))
    found = run(store, middle.run)
    assert [(step.depth, step.name) for step in found.steps] == [
        (0, "middle"), (1, "ask the leaf"), (2, "leaf"), (3, "gpt-4o"), (1, "gpt-4o"),
    ]  # fmt: skip
    assert [child.id for child in found.children] == [leaf.run]


def test_runs_that_name_each_other_as_parents(store: Store) -> None:
    """Damage that makes two runs each other's parent ends in an answer, not in a circle."""
    one, two = Tape("one"), Tape("two")
    one.begin("one", parent_run=two.run, parent_step=0)
    two.begin("two", parent_run=one.run, parent_step=0)
    store.append(batch(one.events, two.events))
    found = run(store, one.run)
    assert (found.steps[0].name, [child.id for child in found.children]) == ("one", [two.run])


def test_content_is_shown_up_to_a_length(store: Store) -> None:
    """Previews are cut at the length asked for, marked so; at 0 nothing is fetched and none is there."""
    tape = Tape("long")
    tape.begin()
    tape.result(tape.tool(arguments='"' + "a" * 700 + '"'), '"ok"')
    store.append(batch(tape.events))

    def tool(preview: int) -> Step:
        return run(store, tape.run, preview=preview).steps[1]

    assert (tool(5).input, tool(5).output) == ('"aaaa…', '"ok"')
    assert (tool(0).input, tool(0).output) == (None, None)


def test_no_such_run(store: Store) -> None:
    """A name that no run has is not found."""
    with pytest.raises(NotFound, match="no run has the id 'x'"):
        run(store, "x")


def test_a_run_of_ten_thousand_steps(store: Store) -> None:
    """Neither length nor depth is a bound: ten thousand steps, a thousand deep, are shown and encoded."""
    tape = Tape("deep")
    tape.begin()
    parent = 0
    for number in range(5_000):
        step = tape.step(f"step {number}", parent=parent)
        parent = step if number < 1_000 else parent
        tape.tool("search", f'{{"q":{number % 7}}}', parent=step)
    store.append(batch(tape.events))
    found = run(store, tape.run, preview=0)
    assert (len(found.steps), max(step.depth for step in found.steps)) == (10_001, 1_002)
    assert found.steps[0].below.tool_calls == 5_000
    assert len(msgspec.json.encode(found)) > 1_000_000


def test_a_run_that_went_on_and_was_given_to_a_person_says_so(store: Store) -> None:
    """When it went on, who wanted it, and what became of the hand-off, as its notes say it."""
    desk = Tape("desk")
    desk.begin()
    desk.finish("failed", stop_reason="tool_loop")
    at = desk.resume(by="ada")
    asked = Handing(effect_id="h", cause="limit", state="applied", text="Somebody comes.")
    desk.add(Note(name=note_of(asked), data=inline(msgspec.json.encode(asked.facts()).decode())))
    store.append(batch(desk.events))
    found = run(store, desk.run)
    assert found.handing == asked
    assert [(each.seq, each.by, each.status, each.stop_reason) for each in found.resumed] == [
        (at, "ada", "failed", "tool_loop")
    ]
