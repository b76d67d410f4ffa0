from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tachograph.compose import admitter_for, scrubber_for
from tachograph.errors import NotResumable
from tachograph.events.content import inline
from tachograph.events.envelope import Event
from tachograph.events.note import Note
from tachograph.events.run import AUDIT, RunResumed, StepEnded
from tachograph.events.tool import ToolEnded
from tachograph.record import journal as journals
from tachograph.record.admit import Reach
from tachograph.record.after.take import Claim, Taken, take
from tachograph.record.clock import Clock
from tachograph.record.drain import LOCK
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Appended, Batch
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

NOW = BEGAN + 10**12
CLOCK = Clock(lambda: NOW, lambda: 77, bytes)
SETTINGS = Settings(store="memory:")
CLAIM = Claim("me")


def ended(status: str = "failed", **facts: Any) -> Tape:
    """A run that is over."""
    tape = Tape()
    tape.begin(**facts)
    tape.finish(status)
    return tape


def reaching(folder: Path, *tapes: Tape, store: Any = None) -> Reach:
    """A way to a store that holds some runs."""
    kept = store or MemoryStore()
    kept.append(batch(*(tape.events for tape in tapes)))
    return Reach(kept, admitter_for(SETTINGS, kept, scrubber_for(SETTINGS)), folder, lambda seconds: True)


def took(reach: Reach, tape: Tape, claim: Claim = CLAIM, seconds: float = 0.0) -> Taken:
    """The run of a tape, taken over."""
    return take(reach, tape.run, claim, CLOCK, seconds)


def refused(action: Callable[[], object]) -> tuple[str, str]:
    """What stood against it: how the run stands, and why."""
    with pytest.raises(NotResumable) as caught:
        action()
    return caught.value.status, caught.value.reason


@pytest.mark.parametrize("status", ["paused", "failed", "cancelled", "abandoned"])
def test_a_run_that_is_not_completed_is_taken_over(tmp_path: Path, status: str) -> None:
    """One event says so, at the end of its log, by its own clock; what comes back is all that going on needs."""
    tape = ended(status, owner="j1")
    reach = reaching(tmp_path, tape)
    taken = took(reach, tape, Claim("me", epoch=0, by="ann", limits=inline('"9 turns"')))
    last = tape.events[-1]
    body = RunResumed(owner="me", epoch=1, by="ann", limits=inline('"9 turns"'))
    new = Event(tape.run, 2, NOW, last.mono + NOW - last.at, 0, body)
    assert taken.log == [*tape.events, new] == list(reach.store.read(tape.run))
    assert (taken.new, taken.started, taken.past.ran_ns) == (1, tape.events[0].body, 1_000_000)
    assert (taken.state.status, taken.state.epoch, [step.step for step in taken.state.open]) == ("started", 1, [0])


@pytest.mark.parametrize(
    ("tape", "claim", "status", "reason"),
    [
        (ended("completed"), CLAIM, "completed", "it is completed; what comes next is a run of its own"),
        (ended(source="codex:a.jsonl"), CLAIM, "failed", "it is from codex:a.jsonl; only what was recorded here can"),
        (ended("completed", source=AUDIT), CLAIM, "completed", "it says what was done to the records; only what was"),
        (ended(), Claim("me", epoch=3), "failed", "it was taken over meanwhile: its epoch is 0"),
    ],
)
def test_what_cannot_go_on_is_refused(tmp_path: Path, tape: Tape, claim: Claim, status: str, reason: str) -> None:
    """The error says how the run stands and why; nothing is appended."""
    reach = reaching(tmp_path, tape)
    found = refused(lambda: took(reach, tape, claim))
    assert (found[0], found[1][: len(reason)]) == (status, reason)
    assert list(reach.store.read(tape.run)) == tape.events


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    """A run that the store does not know, and one whose start was lost."""
    assert refused(lambda: took(reaching(tmp_path), Tape())) == ("", "the store has no such run")
    lost = Tape()
    lost.add(Note(name="x"))
    lost.finish("failed")
    assert refused(lambda: took(reaching(tmp_path, lost), lost)) == ("failed", "its start was lost")


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    """Its process is alive, or nobody here can say; and it was resumed already."""
    tape = Tape()
    tape.begin(owner="j1")
    reach = reaching(tmp_path, tape)
    assert refused(lambda: took(reach, tape))[1].startswith("it goes on in a process on another machine; or its")
    (tmp_path / "j1").mkdir()
    journals._OWN.add(tmp_path / "j1")
    try:
        assert refused(lambda: took(reach, tape)) == (
            "started", "the process that it belongs to is alive: wait until it has ended there",
        )  # fmt: skip
    finally:
        journals._OWN.discard(tmp_path / "j1")


def test_a_dead_process_is_waited_for(tmp_path: Path) -> None:
    """Whoever drains its journal may be another process, so for a while it is asked again; then it is refused."""
    tape = Tape()
    tape.begin(owner="j1")
    reach = reaching(tmp_path, tape)
    (tmp_path / "j1").mkdir()
    held = journals.hold(tmp_path / LOCK)
    assert held is not None
    try:
        status, reason = refused(lambda: took(reach, tape, seconds=0.12))
    finally:
        journals.let_go(tmp_path / LOCK, held)
    assert (status, reason.partition(":")[0]) == (
        "started", "what was recorded of it is not in the store yet",
    )  # fmt: skip
    assert took(reach, tape, seconds=10).state.epoch == 1
    assert not (tmp_path / "j1").exists()


def test_steps_that_damage_left_open_are_closed_first(tmp_path: Path) -> None:
    """The innermost first, as abandoned: no step hangs in a run that goes on."""
    tape = Tape()
    tape.begin()
    outer = tape.step("outer")
    tool = tape.tool(parent=outer)
    tape.finish("failed")
    taken = took(reaching(tmp_path, tape), tape)
    assert [(type(event.body), event.step) for event in taken.log[-taken.new :]] == [
        (ToolEnded, tool), (StepEnded, outer), (RunResumed, 0),
    ]  # fmt: skip
    assert [step.step for step in taken.state.open] == [0]


def test_what_the_runs_below_used_is_used(tmp_path: Path) -> None:
    """At any depth; what was said of a run afterwards is no work."""
    lead = ended()
    lead.events[-1:] = []
    lead.call()
    lead.finish("failed")
    child, grandchild, feedback = Tape("child"), Tape("grandchild"), Tape("feedback")
    child.begin(parent_run=lead.run)
    child.tool()
    grandchild.begin(parent_run=child.run)
    grandchild.call()
    feedback.begin(parent_run=lead.run, source=AUDIT)
    feedback.call()
    taken = took(reaching(tmp_path, lead, child, grandchild, feedback), lead)
    assert (taken.past.counts["max_llm_calls"], taken.past.counts["max_tool_calls"]) == (2, 1)


def test_what_it_said_is_at_hand(tmp_path: Path) -> None:
    """Messages and what tools were asked and answered, where the store keeps them by hash."""
    tape = Tape()
    tape.begin()
    tape.say("user", {"role": "user", "content": "hello"})
    tape.result(tape.tool("look", f'"{"q" * 900}"'), f'"{"r" * 900}"')
    tape.add(Note(name="other", data=inline(f'"{"n" * 900}"')))
    tape.finish("failed")
    texts = took(reaching(tmp_path, tape), tape).texts.values()
    assert sorted(text[:9] for text in texts) == [b'"qqqqqqqq', b'"rrrrrrrr', b'{"role":"']


class Raced:
    """A store into which others append just before we do."""

    def __init__(self, *streams: Sequence[Event]) -> None:
        self._store, self._streams = MemoryStore(), list(streams)

    def append(self, given: Batch) -> Appended:
        """The others' events first."""
        if given.expect and self._streams:
            self._store.append(Batch(self._streams.pop(0)))
        return self._store.append(given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_whoever_comes_second_is_told(tmp_path: Path) -> None:
    """Another process took the run over between our look and our append."""
    tape = ended()
    theirs = Tape()
    theirs.events = [*tape.events]
    theirs.resume("other")
    reach = reaching(tmp_path, tape, store=Raced(theirs.events[2:]))
    assert refused(lambda: took(reach, tape)) == ("started", "another process was faster, and goes on with it")
    assert list(reach.store.read(tape.run)) == theirs.events


def test_a_late_note_does_not_keep_it(tmp_path: Path) -> None:
    """What came between is part of the log that is taken over."""
    tape = ended()
    late = msgspec.structs.replace(tape.events[-1], seq=2, body=Note(name="late"))
    reach = reaching(tmp_path, tape, store=Raced([late]))
    assert [type(event.body) for event in took(reach, tape).log[2:]] == [Note, RunResumed]
