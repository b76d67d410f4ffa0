from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.errors import NotFound
from tachograph.events.content import inline
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.queries.heading import CHILDREN, heading
from tachograph.store.ports import Store
from tests.queries import errand
from tests.queries.errand import ASK, RUN, step_id
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape


def looping(mode: Any = "stop", **end: Any) -> Tape:
    """A run that asks for the same twice, and is stopped when it asks a third time."""
    tape = Tape("loop")
    tape.begin("desk")
    asked = []
    for _ in range(2):
        tool = tape.tool("track", "{}")
        tape.result(tool, '"nothing"')
        asked.append(tool)
    tape.add(
        LimitHit(
            metric="tool_loop", mode=mode, used=2, requested=1, threshold=3, reason="track was asked for 3 times",
            refused_kind="tool", refused_name="track", evidence=tuple(asked),
        )
    )  # fmt: skip
    tool = tape.tool("track", "{}")
    tape.result(tool, state="rejected")
    tape.finish(**{"status": "failed", "stop_reason": "tool_loop", **end})
    return tape


def person(state: str, **facts: Any) -> Note:
    """A note of a hand-off to a person."""
    said = {"kind": "person", "effect_id": "one", "cause": "limit", "attempts": 1, **facts}
    return Note(name=f"handoff_{state}", data=inline(msgspec.json.encode(said).decode()))


def test_what_stopped_a_run_comes_with_its_evidence(store: Store) -> None:
    """The limit, the calls that led to it, and the one that was refused."""
    tape = looping()
    store.append(batch(tape.events))
    found = heading(store, tape.run, BEGAN)
    assert found.run.id == tape.run
    assert found.stop is not None
    assert (found.stop.hit.metric, found.stop.hit.mode) == ("tool_loop", "stop")
    assert [(each.step, each.kind, each.name) for each in found.stop.evidence] == [
        (1, "tool", "track"), (3, "tool", "track"), (6, "tool", "track"),
    ]  # fmt: skip


def test_a_limit_that_did_not_end_the_run_is_no_stop(store: Store) -> None:
    """A warning is none, and neither is a limit of a run that came to its answer."""
    store.append(batch(looping("warn").events))
    assert heading(store, "last", BEGAN).stop is None
    other = Tape("fine")
    other.begin()
    other.add(LimitHit(metric="final_answer", mode="stop", used=1, threshold=1))
    other.finish(stop_reason="final_answer")
    store.append(batch(other.events))
    assert heading(store, other.run, BEGAN).stop is None


def test_a_run_that_was_handed_over(store: Store) -> None:
    """The way to a person stands beside the limit that led to it."""
    tape = Tape("given")
    tape.begin()
    tape.add(LimitHit(metric="cost_budget", mode="handoff", used=2, threshold=1))
    tape.add(person("requested", metric="cost_budget"))
    tape.add(person("applied", metric="cost_budget", text="A person will answer."))
    tape.finish(stop_reason="human_handoff")
    store.append(batch(tape.events))
    found = heading(store, tape.run, BEGAN)
    assert found.handing is not None
    assert (found.handing.state, found.handing.text) == ("applied", "A person will answer.")
    assert found.stop is not None
    assert (found.stop.hit.metric, found.stop.evidence) == ("cost_budget", ())


def test_who_is_above_and_below_a_run(store: Store) -> None:
    """A run knows the runs that it started, and the step that started it."""
    store.append(errand.kept())
    found = heading(store, RUN, BEGAN)
    assert ([run.name for run in found.children], found.child_count, found.parent) == (["figures"], 1, None)
    below = heading(store, found.children[0].id, BEGAN)
    assert below.parent is not None
    assert (below.parent.id, below.parent_step) == (RUN, step_id(ASK))


def test_many_runs_below_are_counted(store: Store) -> None:
    """Some runs that it started are named, all are counted."""
    tape = Tape("many")
    tape.begin()
    tape.finish()
    below = [Tape(f"below {number}", at=BEGAN + number) for number in range(CHILDREN + 3)]
    for each in below:
        each.begin(parent_run=tape.run, parent_step=0)
    store.append(batch(tape.events, *(each.events for each in below)))
    found = heading(store, tape.run, BEGAN)
    assert (len(found.children), found.child_count) == (CHILDREN, CHILDREN + 3)


def test_a_run_that_went_on(store: Store) -> None:
    """How often it was resumed, and what the end of its log says of that."""
    tape = Tape("again")
    tape.begin()
    tape.finish("abandoned", stop_reason="process_died")
    tape.resume(by="ada")
    store.append(batch(tape.events))
    found = heading(store, tape.run, BEGAN)
    assert (found.resumed, [each.by for each in found.resumptions]) == (1, ["ada"])


def test_a_run_that_is_not_there(store: Store) -> None:
    """An unknown name is not found."""
    with pytest.raises(NotFound):
        heading(store, "0197", BEGAN)
