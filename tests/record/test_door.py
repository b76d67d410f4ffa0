"""The door: admitted before, ended once, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph import LimitExceeded, LLMCall, ToolCall, Usage, run, step
from tachograph.events import codec
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.envelope import ENDS, STARTS
from tachograph.events.limit import LimitHit
from tachograph.events.run import RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded
from tachograph.fold.tree import grow
from tachograph.limits.guard import Intent, Notice, Refused, Settled, Spent, Ticket
from tachograph.record import scope
from tachograph.record.intent import Trigger
from tachograph.testing import Captured, capture
from tests.record.shapes import ends, shapes


class Stingy:
    """A guard that allows one model call and no tool named `rm`, and remembers what it settled."""

    def __init__(self) -> None:
        self.settled: list[Usage | None] = []

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
        """One model call, no rm."""
        if intent.kind == "llm" and spent.llm_calls >= 1:
            return Refused("max_llm_calls", 1, 1, 1)
        if intent.name == "rm":
            return Refused("denied_tool", 0, 1, 0, reason="rm is not allowed", evidence=(0,))
        return Ticket()

    def settle(self, ticket: Ticket, settled: Settled, now: int) -> tuple[Notice, ...]:
        """Remember."""
        self.settled.append(settled.usage)
        return ()


def test_a_refusal_is_recorded_and_raised_before_the_effect() -> None:
    """One LimitHit per refusal, the body never runs, a refused tool ends as rejected, tickets are settled."""
    guard, ran = Stingy(), []
    with capture(guard) as events, run("desk"):
        with step(LLMCall("m")) as call:
            call.usage = Usage(1, 0, 0, 1, basis="provider")
        with pytest.raises(LimitExceeded, match="max_llm_calls"), step(LLMCall("m")):
            ran.append("llm")
        with pytest.raises(LimitExceeded, match="rm is not allowed"), step(ToolCall("rm")):
            ran.append("rm")
    hits = [(event.body.metric, event.body.refused_kind, event.body.refused_name) for event in events.of(LimitHit)]
    assert (hits, ran) == ([("max_llm_calls", "llm", "m"), ("denied_tool", "tool", "rm")], [])
    assert [(event.body.state, event.body.reason) for event in events.of(ToolEnded)] == [
        ("rejected", "rm is not allowed")
    ]
    assert guard.settled == [Usage(1, 0, 0, 1, basis="provider")]
    assert events.of(RunEnded)[0].body.status == "completed"


def test_a_guard_that_breaks_does_not_stop_the_program() -> None:
    """Its failure is a fault of ours: the effect happens once."""

    class Broken(Stingy):
        def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
            raise RuntimeError("guard")

    ran = []
    with capture(Broken()) as events, step(LLMCall("m")):
        ran.append(1)
    assert (ran, [event.body.status for event in events.of(CallEnded)]) == ([1], ["completed"])


def test_every_way_out_ends_a_step_once(events: Captured) -> None:
    """Return, exception, generator close, an abandoned stream, cancellation, interrupt, exit."""

    def stream() -> Generator[int, None, None]:
        with step("stream"):
            yield 1
            yield 2

    async def sleeper() -> None:
        async with step("sleeper"):
            await asyncio.sleep(10)

    async def cancelled() -> None:
        task = asyncio.create_task(sleeper())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with run("all"):
        list(stream())
        closed = stream()
        next(closed)
        closed.close()
        dropped = stream()
        next(dropped)
        del dropped
        gc.collect()
        asyncio.run(cancelled())
        for error in (KeyboardInterrupt, SystemExit, RuntimeError):
            with pytest.raises(error), step("raises"):
                raise error
    assert [status for _, status in ends(events)] == [
        "completed", "cancelled", "cancelled", "cancelled", "cancelled", "cancelled", "failed", "completed",
    ]  # fmt: skip
    assert len({number for number, _ in ends(events)}) == len(ends(events))


def test_a_step_that_is_never_left_ends_when_it_is_collected(events: Captured) -> None:
    """A stream object that was dropped ends with the next event, not in its finaliser."""
    with run("desk") as desk:
        held = step("forgotten").__enter__()
        del held
        gc.collect()
        desk.note("later")
    assert [type(event.body).__name__ for event in events] == [
        "RunStarted", "StepStarted", "Note", "StepEnded", "RunEnded",
    ]  # fmt: skip
    assert events.of(StepEnded)[0].body.status == "cancelled"


def test_a_step_outside_any_run_brings_its_own(events: Captured) -> None:
    """Nothing is dropped for lack of a run."""
    with step("alone"):
        pass
    assert shapes(events) == [("RunStarted", 0), ("StepStarted", 1), ("StepEnded", 1), ("RunEnded", 0)]


def test_a_thousand_concurrent_runs_and_32_threads_do_not_cross(events: Captured) -> None:
    """Each run has exactly its own steps, calls and usage."""

    async def one(number: int) -> None:
        async with run(f"run-{number}"):
            for turn in range(3):
                async with step(LLMCall(f"model-{number}", [{"role": "user", "content": f"{number}/{turn}"}])) as call:
                    await asyncio.sleep(0)
                    call.usage = Usage(number, 0, 0, turn, basis="provider")

    async def many() -> None:
        await asyncio.gather(*(one(number) for number in range(1000)))

    asyncio.run(many())
    threads = [threading.Thread(target=lambda n=number: asyncio.run(one(n))) for number in range(1000, 1032)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    by_run: dict[str, list[Any]] = {}
    for event in events:
        by_run.setdefault(event.run, []).append(event)
    assert len(by_run) == 1032
    for found in by_run.values():
        number = int(found[0].body.name.removeprefix("run-"))
        bodies = [event.body for event in found]
        assert [event.seq for event in found] == list(range(len(found)))
        assert {body.model for body in bodies if isinstance(body, CallStarted)} == {f"model-{number}"}
        usages = [body.usage for body in bodies if isinstance(body, CallEnded)]
        assert usages == [Usage(number, 0, 0, turn, basis="provider") for turn in range(3)]


def test_a_run_of_ten_thousand_steps(events: Captured) -> None:
    """Long runs keep their order and their parents."""
    with run("long"):
        for number in range(5_000):
            with step("outer"), step(f"inner-{number}"):
                pass
    assert len(events) == 20_002
    assert all(event.body.parent == event.seq - 1 for event in events.of(StepStarted)[1::2])


KINDS: dict[str, Any] = {
    "run": lambda: run("r"),
    "work": lambda: step("w"),
    "llm": lambda: step(LLMCall("m", [{"role": "user", "content": "hi"}])),
    "tool": lambda: step(ToolCall("t", {"a": 1})),
}
WAYS = ("return", "raise", "generator", "dropped", "open")
Program = list[tuple[str, str, Any]]
programs: st.SearchStrategy[Any] = st.recursive(
    st.just([]),
    lambda inner: st.lists(st.tuples(st.sampled_from(list(KINDS)), st.sampled_from(WAYS), inner), max_size=4),
    max_leaves=12,
)


def perform(program: Program, held: list[Any]) -> None:
    """Enter and leave as the program says; `held` keeps what is never left."""
    for kind, way, inner in program:
        if way in ("generator", "dropped"):

            def stream(kind: str = kind, inner: Program = inner) -> Generator[None, None, None]:
                with KINDS[kind]():
                    perform(inner, held)
                    yield
                    yield

            running = stream()
            next(running)
            if way == "generator":
                running.close()
            del running
        elif way == "open":
            held.append(KINDS[kind]().__enter__())
            perform(inner, held)
        else:
            with contextlib.suppress(KeyError), KINDS[kind]():
                perform(inner, held)
                if way == "raise":
                    raise KeyError


@given(programs)
def test_any_nesting_of_steps_closes_well(program: Program) -> None:
    """However steps are nested and left: no gap, one end for each start, parents that were there first."""
    held: list[Any] = []
    with capture() as events:
        perform(program, held)
        while held:
            held.pop().__exit__(None, None, None)
        scope.recorder().settle_late()
    scope._current.set(None)
    by_run: dict[str, list[Any]] = {}
    for event in events:
        by_run.setdefault(event.run, []).append(event)
    for found in by_run.values():
        assert [event.seq for event in found] == list(range(len(found)))
        starts = [event for event in found if isinstance(event.body, STARTS)]
        ended = [event.step for event in found if isinstance(event.body, ENDS)]
        assert sorted(ended) == [event.seq for event in starts]
        assert all(event.body.parent < event.seq for event in starts[1:])
        assert isinstance(found[-1].body, RunEnded)
        assert not any(node.orphan for node in grow(found).nodes.values())


def test_limits_are_exact_between_threads() -> None:
    """Thirty-two threads ask for the last five places of one run: five get in."""

    class Five(Stingy):
        def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
            return Ticket() if spent.llm_calls < 5 else Refused("max_llm_calls", 5, 1, 5)

    ran: list[int] = []
    with capture(Five()) as events, run("desk"):
        context = contextvars.copy_context()

        def ask() -> None:
            with contextlib.suppress(LimitExceeded), step(LLMCall("m")):
                ran.append(1)

        threads = [threading.Thread(target=context.copy().run, args=(ask,)) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(ran), len(events.of(CallStarted)), len(events.of(LimitHit))) == (5, 5, 27)


def test_values_of_the_wrong_type_lose_no_event(events: Captured) -> None:
    """What a web program will write: numbers as ids, words that are on no list, amounts that are none."""
    with run("desk", user=42, session=7, tags=[1]) as desk:  # type: ignore[arg-type, list-item]
        with step("w", kind="bogus", iteration="1", refs={"report_id": 5}) as work:
            work.score("s", 1, kind="human")
        with step(LLMCall("m", iteration="x")) as call:  # type: ignore[arg-type]
            call.reported_cost, call.usage = "NaN", {"input": 1}  # type: ignore[assignment]
        desk.stop("done", "because")  # type: ignore[arg-type]
    assert [codec.decode(codec.encode(event)) for event in events] == list(events)
    started, work_started = events[0].body, events[1].body
    assert (started.user, started.session, started.tags) == ("42", "7", ("1",))
    assert (work_started.kind, work_started.iteration, work_started.refs) == ("custom", 1, {"report_id": "5"})
    assert (events.of(CallEnded)[0].body.usage, events[-1].body.status) == (Usage(), "completed")


def test_every_short_text_is_masked(events: Captured) -> None:
    """A key in any name, id, tag, reason or label never reaches the journal."""
    key = "sk-proj-" + "a1B2c3D4" * 6
    with run(key, session=key, user=key, tenant=key, tags=[key], version=key, environment=key, platform=key) as desk:
        with step(key, agent_type=key, action_type=key, refs={"report_id": key}) as work:
            work.note(key, key)
            work.score(key, label=key, comment=key, author=key)
        with step(LLMCall(key, [key], key, key, purpose=key, tier=key)) as call:
            call.finish_reason = call.request_id = call.response_id = call.served_model = key
        with step(ToolCall(key, {key: key}, call_id=key, classification=key)) as tool:
            tool.skip(key)
        desk.output = key
    assert [event for event in events if "a1B2c3D4" in codec.to_json(event).decode()] == []


def test_a_step_can_belong_below_one_that_does_not_surround_it(events: Captured) -> None:
    """By handle or by id, from another thread as well; what it then surrounds belongs below it."""

    def elsewhere(below: str | None) -> None:
        with step("by id", below=below), step("inside"):
            pass

    with run("desk"), step("outer") as outer, step("inner"):
        with step("by handle", below=outer):
            pass
        thread = threading.Thread(target=elsewhere, args=(outer.id,))
        thread.start()
        thread.join()
    started = {event.body.name: (event.seq, event.body.parent) for event in events.of(StepStarted)}
    assert started["by handle"][1] == started["by id"][1] == outer.number
    assert started["inside"][1] == started["by id"][0]
    assert len(events.of(RunEnded)) == 1


@pytest.mark.parametrize("below", ["exec_123", "no uuid", "01977420-dc7b-7010-8304-050600000001", ""])
def test_a_place_that_is_not_open_here_is_ignored(events: Captured, below: str) -> None:
    """The step belongs where it is entered, or brings a run of its own."""
    with run("desk"), step("inside", below=below):
        pass
    with step("alone", below=below):
        pass
    assert [event.body.name for event in events if event.step == 0 and hasattr(event.body, "name")] == ["desk", "alone"]
    assert [event.body.parent for event in events.of(StepStarted)] == [0, 0]


def test_a_step_below_one_that_has_ended_keeps_its_place_while_the_run_is_open(events: Captured) -> None:
    """The link is a fact even when the parent was quicker; with the run it ends."""
    with run("desk"):
        with step("first") as first:
            pass
        with step("second", below=first):
            pass
    with step("third", below=first):
        pass
    assert [event.body.parent for event in events.of(StepStarted)] == [0, first.number, 0]
    assert len(events.of(RunEnded)) == 2


def test_a_step_with_a_trigger_brings_its_run_wherever_it_is(events: Captured) -> None:
    """The run is a child of the current step and ends with it."""
    with run("desk") as desk:
        apart = step(LLMCall("m"))
        apart.trigger = Trigger("apart", execution_id="exec_123")
        with apart:
            pass
    child = events.of(RunStarted)[1].body
    assert (child.name, child.execution_id, child.parent_run, child.parent_step) == (
        "apart",
        "exec_123",
        desk.run_id,
        0,
    )
    assert [event.body.status for event in events.of(RunEnded)] == ["completed", "completed"]


def test_a_step_can_have_a_recorder_of_its_own(events: Captured) -> None:
    """Steps of two recorders nest in each other without joining each other's runs."""
    mine = scope.recorder()
    with capture() as other, run("theirs"):
        inner = step("mine")
        inner.source = lambda: mine
        with inner, step("theirs again"), step("mine again") as again:
            again.note("n")
    assert [name for name, _ in shapes(events)] == ["RunStarted", "StepStarted", "StepEnded", "RunEnded"]
    assert [(name, number) for name, number in shapes(other)] == [
        ("RunStarted", 0), ("StepStarted", 1), ("StepStarted", 2), ("Note", 2), ("StepEnded", 2), ("StepEnded", 1),
        ("RunEnded", 0),
    ]  # fmt: skip
    assert [event.body.parent for event in other.of(StepStarted)] == [0, 1]


def test_what_is_called_off_is_cancelled(events: Captured) -> None:
    """Without an exception; a run then has no stop reason of an error."""
    with run("desk") as desk:
        with step("work") as work:
            work.cancel("not needed")
        desk.cancel("enough")
    step_end, run_end = events.of(StepEnded)[0].body, events.of(RunEnded)[0].body
    assert (step_end.status, step_end.error.message) == ("cancelled", "not needed")
    assert (run_end.status, run_end.stop_reason, run_end.error.message) == ("cancelled", "", "enough")
