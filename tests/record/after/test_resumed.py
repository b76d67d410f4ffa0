from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tachograph
from tachograph import LimitExceeded, LLMCall, ToolCall, Usage, run, step
from tachograph.compose import System
from tachograph.errors import NotResumable, SettingsError, WriteOnly
from tachograph.events.chat import Message
from tachograph.events.content import inline
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunEnded, RunResumed, StepEnded
from tachograph.fold.state import fold
from tachograph.limits.limit import Limits
from tachograph.limits.loops import Loops, Repeat
from tachograph.record import scope
from tachograph.record.after.resumed import resumed
from tachograph.record.clock import SYSTEM, Clock
from tachograph.record.drain import abandon
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Batch
from tachograph.testing import CountIds, TickClock, capture

SECOND = 1_000_000_000
QUIET = Loops(warn=None, block=None, skip=None, stop=None, errors=None, no_progress=None, cycle=None)


@contextlib.contextmanager
def recording(home: Path, url: str = "memory:", clock: Clock = SYSTEM) -> Iterator[System]:
    """A system that the door finds, without a worker: what is resumed moves journals into the store itself."""
    made = Settings(home=home, store=url, drain=False, segment_bytes=64 * 1024, journal_bytes=1 << 24)
    system = System(made, clock=clock)
    system.recorder.on_activity = None
    system.worker.flush = lambda timeout=0.0: False  # type: ignore[method-assign] # it knows of nothing that is recorded
    before = scope.use(lambda: system.recorder)
    try:
        yield system
    finally:
        scope.use(before)
        system.recorder.close()


@pytest.fixture(params=["memory:", "sqlite:{}/t.db"], ids=["memory", "sqlite"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    """One for the test, over each embedded kind of store."""
    with recording(tmp_path, request.param.format(tmp_path)) as made:
        yield made


def stored(system: System, run_id: str | None) -> list[Event]:
    """A run's events, when everything has been moved into the store."""
    reach = system.reach()
    drain = system.open_drain()
    assert drain.elected()
    drain.round()
    drain.resign()
    try:
        return list(reach.store.read(run_id or ""))
    finally:
        reach.store.close()


def waiting(**facts: Any) -> Any:
    """A run that waits for a person."""
    with run("desk", **facts) as desk:
        with step("look"):
            pass
        desk.stop("paused", "approval")
    return desk


def test_the_same_run_goes_on(system: System) -> None:
    """Its id, its place, what it was told: steps, notes, runs below it and its end stand where those of a run do."""
    first = waiting(session="s", user="ann", tenant="t", tags=["a"], refs={"report_id": "r"})
    with resumed(first.run_id, by="bob") as again:
        assert (again.run_id, again.execution_id, again.last_seq) == (first.run_id, first.execution_id, 4)
        assert (again.trigger.session, again.trigger.tenant, again.trigger.tags) == ("s", "t", ("a",))
        assert (again.epoch, [type(event.body) for event in again.log[-2:]]) == (1, [RunEnded, RunResumed])
        with step("pay") as pay, run("below") as below:
            pass
        again.note("seen", 1)
        again.output = "done"
    events = stored(system, first.run_id)
    assert [event.seq for event in events] == list(range(9))
    assert (events[5].body.name, pay.number, events[-1].body.output) == ("pay", 5, inline('"done"'))
    start = stored(system, below.run_id)[0].body
    assert (start.parent_run, start.parent_step, start.session, start.tenant) == (first.run_id, 5, "s", "default")
    state = fold(events)
    assert (state.status, state.epoch, state.owner) == ("completed", 1, system.recorder.journal.owner.journal)
    assert [event.mono for event in events] == sorted(event.mono for event in events)
    reach = system.reach()
    assert reach.store.check() == []
    reach.store.close()


def test_it_can_go_on_again_and_again(system: System) -> None:
    """Each time the epoch is one higher; what was said of it between two times comes too late."""
    handle = waiting()
    for time in (1, 2, 3):
        with resumed(handle.run_id, epoch=time - 1) as again:
            assert again.epoch == time
            again.fail("no")
        again.note("too late?")
        handle.note("too late")
    events = stored(system, handle.run_id)
    assert [event.body.epoch for event in events if isinstance(event.body, RunResumed)] == [1, 2, 3]
    assert [event.body.name for event in events if type(event.body).__name__ == "Note"] == ["too late?"] * 3
    assert system.recorder.health.lost == {"let_go": 3}


def test_what_is_refused_leaves_everything_as_it_was(system: System) -> None:
    """An unknown run, one that is completed, one that goes on here: the error says why, and nothing was recorded."""
    with run("done") as done:
        done.output = "x"
    with run("open") as still_open, pytest.raises(NotResumable, match="goes on in this very process"):
        resumed(still_open.run_id).take()
    before = stored(system, done.run_id)
    for name, status in ((done.run_id, "completed"), ("0197742f-d020-78b1-86bf-ee1200000000", "")):
        with pytest.raises(NotResumable) as caught, resumed(name):
            raise AssertionError("it must not begin")
        assert (caught.value.run, caught.value.status) == (name, status)
    done.note("afterwards")
    assert [type(event.body).__name__ for event in stored(system, done.run_id)[len(before) :]] == ["Note"]
    assert scope.current() is None


def test_limits_are_text_or_a_value_here_too() -> None:
    """Text that says nothing is refused when it is written."""
    with pytest.raises(SettingsError):
        resumed("r", limits="fifteen moons")


def test_where_nothing_is_recorded_nothing_goes_on() -> None:
    """Whoever asks is told so; elsewhere a program would run on unrecorded, and here it would do things twice."""
    before = scope.use(lambda: None)  # type: ignore[arg-type,return-value]
    try:
        with pytest.raises(NotResumable, match="nothing is recorded here"):
            resumed("r").take()
    finally:
        scope.use(before)


def test_another_server_cannot_be_asked(tmp_path: Path) -> None:
    """A store that only takes events in says so at once."""
    with recording(tmp_path, "http://127.0.0.1:9") as made:
        with run("far") as far:
            far.fail("no")
        with pytest.raises(WriteOnly, match="cannot be asked for runs"):
            resumed(far.run_id, seconds=0.1).take()
        assert made.recorder.find(far.run_id or "") is None


# ---- pauses ----------------------------------------------------------------------------------------------------------


def test_a_pause_closes_what_is_open_and_lets_go() -> None:
    """Steps end as paused, calls as cancelled, none with an error; what is still said of it is lost, and counted."""
    with capture() as events:
        recorder = scope.recorder()
        desk = run("desk").__enter__()
        held = [step(what) for what in ("outer", ToolCall("pay"), LLMCall("m"))]
        for each in held:
            each.enter(None)
        desk.stop("paused", "approval")
        desk.leave()
        desk.note("late")
        call = events[3].step
        assert [(type(event.body).__name__, event.step) for event in events[4:]] == [
            ("CallEnded", call), ("ToolEnded", 2), ("StepEnded", 1), ("RunEnded", 0),
        ]  # fmt: skip
        ends = [event.body for event in events[4:]]
        assert [getattr(body, "status", None) or body.state for body in ends] == [
            "cancelled", "cancelled", "paused", "paused",
        ]  # fmt: skip
        assert [body.error for body in ends] == [None] * 4
        assert recorder.health.lost == {"let_go": 1}


def test_a_step_can_say_that_it_waits() -> None:
    """It ends as its run will: neither well nor badly."""
    with capture() as events, run("desk") as desk:
        with step("iteration") as turn:
            turn.pause()
        desk.stop("paused", "approval")
    assert [event.body.status for event in events if isinstance(event.body, StepEnded | RunEnded)] == ["paused"] * 2


# ---- what it may still use -------------------------------------------------------------------------------------------


def test_limits_hold_over_the_whole_run(system: System) -> None:
    """What was used before counts, in runs below it too; limits that are stated now take the place of the old ones."""
    limits = Limits(tool_calls=3, llm_calls=2, loops=QUIET)
    with run("desk", limits=limits) as desk:
        with step(ToolCall("a")), run("below"), step(ToolCall("b")):
            pass
        with step(LLMCall("gpt-4o", max_output=10)) as call:
            call.usage = Usage(10, output=5, basis="provider")
        desk.fail("no")
    with resumed(desk.run_id, limits=limits) as again:
        left = again.remaining()
        assert (left["max_tool_calls"], left["max_llm_calls"]) == (1, 1)
        assert left["token_budget"] == 1_000_000 - 15
        with step(ToolCall("a")):
            pass
        with pytest.raises(LimitExceeded, match="3 used, 1 more asked for, 3 allowed"), step(ToolCall("a")):
            pass
        again.fail("no")
    with resumed(desk.run_id, limits="9 tool calls") as more:
        assert (more.remaining()["max_tool_calls"], more.log[-1].body.limits) == (6, inline('"9 tool calls"'))


def test_what_it_is_inside_bounds_it_too(system: System) -> None:
    """Resumed inside another run it draws from that one's limits as well, and stays where it was in the record."""
    with run("desk") as desk:
        desk.fail("no")
    with run("job", limits="1 tool call") as job:
        with resumed(desk.run_id) as again:
            with step(ToolCall("a")):
                pass
            with pytest.raises(LimitExceeded), step(ToolCall("b")):
                pass
        assert job.remaining()["max_tool_calls"] == 0
    assert (again.parent_id, stored(system, desk.run_id)[0].body.parent_run) == (None, None)


def test_a_child_knows_its_parent(system: System) -> None:
    """As its start says it."""
    with run("lead") as lead:
        with step("delegate") as at, run("worker") as worker:
            pass
        worker_id = worker.run_id
        lead.fail("no")
    with run("other") as other, pytest.raises(NotResumable):
        resumed(worker_id).take()
    assert other.run_id != at.run_id
    with run("lead") as lead, step("delegate") as at, run("worker") as worker:
        worker.fail("no")
    with resumed(worker.run_id) as again:
        assert again.parent_id == at.id


def test_time_counts_while_it_goes_on(tmp_path: Path) -> None:
    """A pause of a year takes nothing from the seconds of a run; what it took before does."""
    now, mono = TickClock(), TickClock(0)
    with recording(tmp_path, clock=Clock(now, mono, CountIds())):
        with run("desk", limits="60s") as desk:
            mono.at += 50 * SECOND
            now.at += 50 * SECOND
            desk.stop("paused", "approval")
        for clock in (now, mono):
            clock.at += 10**7 * SECOND
        with resumed(desk.run_id, limits="60s") as again:
            left = again.remaining()["deadline"]
            assert 9.5 < left < 10
            mono.at += 11 * SECOND
            with pytest.raises(LimitExceeded, match="deadline"), step("late"):
                pass


def test_its_own_clock_goes_on(tmp_path: Path) -> None:
    """Another process has another monotonic clock: a run's goes on by the wall clock, and its steps take their time."""
    now, mono = TickClock(tick=0), TickClock(0, tick=0)
    with recording(tmp_path, clock=Clock(now, mono, CountIds())) as made:
        desk = waiting()
        mono.at = -(10**15)
        now.at += 7 * SECOND
        with resumed(desk.run_id), step("x"):
            mono.at += 2 * SECOND
            now.at += 900 * SECOND
        events = stored(made, desk.run_id)
    first = events[0].mono
    assert [(event.mono - first) / SECOND for event in events] == [0, 0, 0, 0, 7, 7, 9, 9]


def test_loops_are_seen_across_it(system: System) -> None:
    """The third equal call of a run is refused, wherever the others were made; polls keep their distance."""
    loops = msgspec.structs.replace(QUIET, same_calls=3, tools={"poll": Repeat(poll=True, every=60)})
    with run("desk", limits=Limits(loops=loops)) as desk:
        for arguments in ({"q": 1, "page": 2}, {"page": 2, "q": 1}):
            with step(ToolCall("search", arguments)) as tool:
                tool.output = "nothing"
        with step(ToolCall("poll", {})):
            pass
        desk.fail("no")
    with resumed(desk.run_id, limits=Limits(loops=loops)):
        with pytest.raises(LimitExceeded, match="search"), step(ToolCall("search", {"q": 1, "page": 2})):
            pass
        with pytest.raises(LimitExceeded), step(ToolCall("poll", {})):
            pass
        with step(ToolCall("search", {"q": 2})):
            pass


def test_what_was_said_is_not_recorded_again(system: System) -> None:
    """A conversation that goes on adds its new messages alone, as mappings and as messages of ours."""
    long = "word " * 400
    said: list[Any] = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": long}]
    with run("desk") as desk:
        with step(LLMCall("m", said[:1], max_output=9)) as call:
            call.reply = said[1]
        desk.fail("no")
    with resumed(desk.run_id) as again:
        with step(LLMCall("m", [*said, {"role": "user", "content": "more"}])) as call:
            call.reply = "x"
        again.fail("no")
    mine = [Message("user", "hi"), Message("assistant", long), Message("user", "more"), Message("user", "and")]
    with resumed(desk.run_id), step(LLMCall("m", mine)):
        pass
    events = stored(system, desk.run_id)
    assert sum(isinstance(event.body, MessageAppended) for event in events) == 5


# ---- asyncio and threads ---------------------------------------------------------------------------------------------


def test_async_programs_wait_in_a_thread(tmp_path: Path) -> None:
    """The loop turns while the store is waited for; steps inside are below the run."""
    with recording(tmp_path) as made:
        desk = waiting()
        turned = []

        async def go_on() -> None:
            async def turn() -> None:
                while True:
                    turned.append(1)
                    await asyncio.sleep(0)

            other = asyncio.create_task(turn())
            async with resumed(desk.run_id) as again, step("inside"):
                assert scope.current() is not None
                assert again.number == 0
            other.cancel()

        asyncio.run(go_on())
        events = stored(made, desk.run_id)
    assert turned
    assert [type(event.body).__name__ for event in events[4:]] == ["RunResumed", "StepStarted", "StepEnded", "RunEnded"]


def test_a_run_nobody_waits_for_any_more_is_given_back(tmp_path: Path) -> None:
    """Called off while it was being taken over: it is ended as cancelled, and can be resumed again."""
    with recording(tmp_path) as made:
        desk = waiting()
        gate, reach, ends = threading.Event(), made.recorder.reach, list[Event]()
        made.recorder.feed.subscribe(lambda event: type(event.body) is RunEnded and not ends.append(event))  # type: ignore[func-returns-value]

        def slow() -> Any:
            gate.wait(10)
            return reach() if reach is not None else None

        made.recorder.reach = slow

        async def call_off() -> None:
            async def enter() -> None:
                async with resumed(desk.run_id):
                    raise AssertionError("nobody waits for it")

            entering = asyncio.create_task(enter())
            await asyncio.sleep(0.05)
            entering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await entering
            gate.set()
            for _ in range(1_000):
                if ends:
                    break
                await asyncio.sleep(0.01)

        asyncio.run(call_off())
        made.recorder.reach = reach
        state = fold(stored(made, desk.run_id))
        assert (state.status, state.stop_reason) == ("cancelled", "user_cancel")


def test_of_two_threads_one_gets_it(system: System) -> None:
    """The other is told that it goes on."""
    desk = waiting()
    said: list[str] = []
    both = threading.Barrier(2)

    def work() -> None:
        both.wait()
        try:
            with resumed(desk.run_id):
                both.wait(10)
            said.append("went on")
        except NotResumable as problem:
            said.append(problem.status)
            both.wait(10)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["started", "went on"]
    assert fold(stored(system, desk.run_id)).epoch == 1


# ---- no limit is exceeded, wherever it was cut -----------------------------------------------------------------------

_MOVES = st.lists(st.tuples(st.sampled_from("iltuehb"), st.integers(0, 2)), min_size=1, max_size=12)


class Script:
    """A program that does what it is told until a limit stands against it; what it really did is in `made`."""

    def __init__(self, moves: Sequence[tuple[str, int]]) -> None:
        self.moves = moves
        self.made: list[tuple[str, str | None, int | None]] = []

    def play(self) -> None:
        """All of it."""
        for what, pick in self.moves:
            with contextlib.suppress(LimitExceeded):
                self._do(what, pick)

    def _do(self, what: str, pick: int) -> None:
        match what:
            case "i":
                self._step("max_iterations", step("turn", kind="iteration"))
            case "h":
                self._step("max_handoffs", step("to a person", kind="handoff"))
            case "l":
                self._step("max_llm_calls", step(LLMCall("gpt-4o", [{"role": "user", "content": "x"}], max_output=1)))
            case "b":
                with run("below"):
                    self._step("max_tool_calls", step(ToolCall("deep", {"n": len(self.made)})))
            case "e":
                with contextlib.suppress(ValueError), step(ToolCall("fails", {"n": len(self.made)})) as tool:
                    self._note("max_tool_calls", tool)
                    raise ValueError
            case "t":
                self._step("max_tool_calls", step(ToolCall("unlike", {"n": len(self.made)})))
            case _:
                self._step(f"equal {pick}", step(ToolCall("equal", {"n": pick})))

    def _step(self, metric: str, entered: Any) -> None:
        with entered:
            self._note(metric, entered)

    def _note(self, metric: str, entered: Any) -> None:
        self.made.append((metric, entered.run_id, entered.number))


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)  # fmt: skip
@given(before=_MOVES, after=_MOVES, again=_MOVES, cuts=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_no_count_is_exceeded_wherever_it_was_cut(
    before: list[tuple[str, int]], after: list[tuple[str, int]], again: list[tuple[str, int]], cuts: tuple[int, int]
) -> None:
    """Killed at any event and resumed, twice: all together it did no more than one run may, and no call too often."""
    most = {"max_iterations": 3, "max_llm_calls": 3, "max_tool_calls": 6, "max_handoffs": 2}
    loops = msgspec.structs.replace(QUIET, same_calls=3)
    limits = Limits(iterations=3, llm_calls=3, tool_calls=6, handoffs=2, usd=None, loops=loops)
    store, done, name = MemoryStore(), list[tuple[str, str | None, int | None]](), ""
    for moves, cut in ((before, cuts[0]), (after, cuts[1]), (again, None)):
        script, events = Script(moves), list[Event]()
        with tempfile.TemporaryDirectory() as home, recording(Path(home)) as made:
            _over(made, store, events)
            with (
                contextlib.suppress(LimitExceeded),
                resumed(name, limits=limits) if name else run("desk", limits=limits) as desk,
            ):
                name = desk.run_id or ""
                script.play()
                desk.fail("not yet")
        first = 0 if name not in _known(store) else store.next_seq(name) - 1
        kept = events[: max(first == 0, cut % (len(events) + 1))] if cut is not None else events
        _killed(store, kept)
        places = {(event.run, event.seq) for event in kept}
        done += [each for each in script.made if (each[1], each[2]) in places]
    # A refused call may be cut before its end says so: what the program did is what it came to do.
    counts = Counter(what for what, _, _ in done)
    equal = [count for what, count in counts.items() if what.startswith("equal ")]
    counts["max_tool_calls"] += sum(equal)
    assert {metric: count for metric, count in most.items() if counts[metric] > count} == {}
    assert max(equal, default=0) <= 2


def _over(made: System, store: MemoryStore, events: list[Event]) -> None:
    """Record into memory that outlives the system, and remember what was recorded."""
    made.__dict__["_memory"] = store
    made.recorder.feed.subscribe(lambda event: events.append(event) or False)  # type: ignore[func-returns-value]


def _known(store: MemoryStore) -> set[str]:
    return set(store._tables.logs)


def _killed(store: MemoryStore, events: list[Event]) -> None:
    """What a process had recorded when it was killed is in the store, and what it left open is closed."""
    store.append(Batch(events))
    failure = StepEnded(status="abandoned").error or tachograph.events.run.Failure("ProcessDied")
    for row in [*store._tables.rows["runs"].values()]:
        if row.status == "started":
            steps = [step for step in store.open_steps(row.owner) if step.run == row.id]
            store.append(Batch(list(abandon(store, row.id, steps, failure))))
