from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.errors import CodecError
from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import inline
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss
from tachograph.events.run import Failure, RunEnded, RunResumed, RunStarted, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold import totals, transcript
from tachograph.fold.state import Hit, RunState, SessionState, Snapshot, fold, from_json, to_json
from tachograph.fold.steps import Open
from tests.strategies import BEGAN, Tape, any_runs, batches, runs

MS = 1_000_000


def midway() -> Tape:
    """A run that waits for a tool, with a limit reached twice, something lost and two events missing."""
    tape = Tape()
    tape.begin("desk", session="s1")
    question = tape.say("user", {"role": "user", "content": "hi"})
    turn = tape.step("iteration 4", kind="iteration", iteration=4)
    call = tape.call(parent=turn, input=question)
    tape.reply(call, cost=Cost("priced", total=7))
    tape.say("assistant", {"role": "assistant"}, question)
    tape.add(LimitHit(metric="llm_calls", used=1, threshold=3, mode="warn"))
    tape.add(LimitHit(metric="llm_calls", used=2, threshold=3, mode="warn"))
    tape.add(Loss(reason="journal_full", events=5))
    tape.tool("search", "{}", parent=turn)
    tape.add(MessageAppended(role="user", parent=5, message=inline("{}"), ephemeral=True))
    return tape


def test_the_state_of_a_run_midway() -> None:
    """All that going on needs is in the snapshot: what is open, where the transcripts stand, what was reached."""
    tape = midway()
    events = [*tape.events[:6], *tape.events[7:]]
    assert fold(events) == Snapshot(
        run=tape.run,
        seq=10,
        gaps=1,
        began_at=BEGAN,
        at=BEGAN + 10 * MS,
        started=RunStarted(name="desk", session="s1", execution_id=ids.execution_id(BEGAN, tape.run)),
        status="started",
        iteration=4,
        totals=totals.fold(events),
        open=(
            Open(0, "run", "desk", None, BEGAN, 5_000 * MS, "run"),
            Open(2, "iteration", "iteration 4", 0, BEGAN + 2 * MS, 5_002 * MS),
            Open(9, "tool", "search", 2, BEGAN + 9 * MS, 5_009 * MS, "tool"),
        ),
        root=Open(0, "run", "desk", None, BEGAN, 5_000 * MS, "run"),
        costs=((3, "priced", 7),),
        usages=((3, Usage()),),
        tips=(5,),
        limits={"run/llm_calls/warn": Hit(1, 7, 2, 3)},
        lost=5,
    )
    assert fold(tape.events).limits == {"run/llm_calls/warn": Hit(2, 7, 2, 3)}


def test_the_state_before_anything_happened() -> None:
    """No events are a state too: a run that has not been heard of."""
    assert fold([]) == Snapshot()
    assert (Snapshot().seq, Snapshot().status, Snapshot().ended) == (-1, "started", False)


@pytest.mark.parametrize(
    ("status", "ended"),
    [("completed", True), ("failed", True), ("cancelled", True), ("abandoned", True), ("paused", False)],
)
def test_a_run_ends_once(status: str, ended: bool) -> None:
    """The first end of a run is its outcome, and a paused run has not ended."""
    tape = midway()
    tape.finish(status, stop_reason="because")
    tape.finish("completed", stop_reason="again")
    state = fold(tape.events)
    assert (state.status, state.stop_reason, state.ended, len(state.open)) == (status, "because", ended, 2)


@pytest.mark.parametrize("status", ["paused", "completed", "failed", "cancelled", "abandoned"])
def test_a_run_that_is_resumed_has_not_ended(status: str) -> None:
    """What its end said is gone, it is open as it was after its start, and its next end is its outcome."""
    tape = Tape()
    tape.begin(owner="one")
    tape.finish(status, stop_reason="because", error=Failure("E", "no"))
    tape.resume("two", 1)
    state = fold(tape.events)
    assert (state.status, state.stop_reason, state.error, state.owner, state.epoch) == ("started", "", None, "two", 1)
    assert state.open == (Open(0, "run", "desk", None, BEGAN, 5_000 * MS, "run"),)
    assert (state.totals.runs, state.totals.run_ends) == (1, {})
    tape.finish("completed", stop_reason="final_answer")
    state = fold(tape.events)
    assert (state.status, state.stop_reason, state.ended, state.open) == ("completed", "final_answer", True, ())
    assert (state.totals.run_ends, state.totals.run_ns) == ({"completed": 1}, 3 * MS)


def test_the_first_start_counts() -> None:
    """A second start of the run does not replace what the first said."""
    tape = midway()
    tape.begin("another name")
    assert fold(tape.events).started == tape.events[0].body


def test_events_of_another_run_are_refused() -> None:
    """A state holds one run: an event of another is a ValueError, and changes nothing."""
    state = RunState(fold(midway().events))
    before = state.snapshot()
    with pytest.raises(ValueError, match="in the state of run"):
        state.apply(Event("another", 99, 0, 0, 0, Loss(reason="damage")))
    assert state.snapshot() == before


@settings(max_examples=40)
@given(any_runs)
def test_the_live_state_is_the_fold_of_what_has_happened(events: list[Event]) -> None:
    """At every k the state that grew event by event equals the fold of the first k events."""
    live = RunState()
    for k, event in enumerate(events):
        live.apply(event)
        assert live.snapshot() == fold(events[: k + 1])


@settings(max_examples=40)
@given(any_runs, st.integers(0, 60))
def test_a_run_goes_on_from_a_snapshot(events: list[Event], place: int) -> None:
    """A state restored from its JSON at any k, and fed the rest, ends where the whole fold ends."""
    k = place % (len(events) + 1)
    restored = from_json(to_json(fold(events[:k])))
    assert restored == fold(events[:k])
    state = RunState(restored)
    for event in events[k:]:
        state.apply(event)
    assert state.snapshot() == fold(events)


@given(runs())
def test_the_state_agrees_with_the_events(events: list[Event]) -> None:
    """Open steps are the starts without an end, totals and tips are those of their folds, nothing is missing."""
    state = fold(events)
    starts = {
        event.step for event in events if isinstance(event.body, RunStarted | StepStarted | CallStarted | ToolStarted)
    }
    closed = {
        event.step
        for event in events
        if type(event.body).__name__ in ("RunEnded", "StepEnded", "CallEnded", "ToolEnded")
    }
    turns = [type(event.body) for event in events if isinstance(event.body, RunEnded | RunResumed)]
    goes_on = turns[-1:] != [RunEnded]
    assert {step.step for step in state.open} == starts - closed | ({0} if goes_on else set())
    assert (state.status == "started") is goes_on
    assert state.epoch == turns.count(RunResumed)
    assert (state.seq, state.gaps, state.at) == (len(events) - 1, 0, events[-1].at)
    assert state.totals == totals.fold(events)
    assert set(state.tips) == set(transcript.collect(events).tips)
    assert {step for step, _, _ in state.costs} == {event.step for event in events if isinstance(event.body, CallEnded)}


@given(any_runs)
def test_any_events_give_a_sound_state(events: list[Event]) -> None:
    """Whatever was lost or damaged, seen and missing events add up to the last seq, and attempts to their ends."""
    state = fold(events)
    seen = {event.seq for event in events}
    in_order = [
        event.seq for k, event in enumerate(events) if event.seq > max((each.seq for each in events[:k]), default=-1)
    ]
    assert state.seq == max(seen, default=-1)
    assert state.gaps + len(in_order) == state.seq + 1
    open_calls = sum(step.family == "call" for step in state.open)
    assert state.totals.attempts == open_calls + sum(state.totals.call_ends.values())
    open_tools = sum(step.family == "tool" for step in state.open)
    assert open_tools == state.totals.tool_calls - sum(state.totals.tool_ends.values())


def test_a_snapshot_of_another_version_is_refused() -> None:
    """A snapshot that this version cannot vouch for is a CodecError: the log gives the state again."""
    newer = to_json(msgspec.structs.replace(Snapshot(), version=99))
    with pytest.raises(CodecError, match="version 99"):
        from_json(newer)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"seq":"1"}', b"\xff", b"[" * 5000])
def test_other_bytes_are_no_snapshot(data: bytes) -> None:
    """Anything else is a CodecError."""
    with pytest.raises(CodecError, match="no snapshot"):
        from_json(data)


# --- sessions ---


@given(batches())
def test_a_session_is_the_sum_of_its_runs(events: list[Event]) -> None:
    """Events of a session's runs, in any interleaving, give each run its own state and the session their sum."""
    session = SessionState()
    for event in events:
        assert session.apply(event)
        assert not session.apply(event)
    by_run: dict[str, list[Event]] = {}
    for event in events:
        by_run.setdefault(event.run, []).append(event)
    assert {run: state.snapshot() for run, state in session.runs.items()} == {
        run: fold(each) for run, each in by_run.items()
    }
    assert session.totals == sum(map(totals.fold, by_run.values()), totals.Totals())
    assert session.at == max((event.at for event in (each[-1] for each in by_run.values())), default=None)


def test_a_session_is_handed_off_until_the_next_run_begins() -> None:
    """The run that began last decides: once it gave the conversation to a person, the session is handed off."""
    first, second = Tape("first"), Tape("second", at=BEGAN + 60_000 * MS)
    first.begin()
    first.finish("completed", stop_reason="human_handoff")
    second.begin()
    session = SessionState()
    statuses = [session.status]
    for event in (*first.events, *second.events, *first.events):
        session.apply(event)
        statuses.append(session.status)
    assert statuses == ["active", "active", "handed_off", "active", "active", "active"]


def test_a_state_reads_like_its_snapshot() -> None:
    """What a live state says of itself is what its snapshot says."""
    state = RunState(fold(midway().events))
    now = state.snapshot()
    assert (state.seq, state.status, state.stop_reason, state.began_at, state.at, state.totals) == (
        now.seq, now.status, now.stop_reason, now.began_at, now.at, now.totals,
    )  # fmt: skip
    assert tuple(state.open.values()) == now.open


def test_a_tool_that_ended_is_no_longer_open() -> None:
    """An end takes its step out of the open ones."""
    tape = midway()
    tape.add(ToolEnded(state="completed"), 9)
    assert [step.step for step in fold(tape.events).open] == [0, 2]
