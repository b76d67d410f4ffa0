"""Limits at the door: a program's own loop is stopped before what goes beyond them, and the record says so."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tachograph
from tachograph import LimitExceeded, LLMCall, ToolCall, Usage, compose, run, step
from tachograph.errors import SettingsError
from tachograph.events.account import Account
from tachograph.events.budget import Reservation
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunEnded, RunStarted, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.state import fold
from tachograph.limits.estimate import tokens_of
from tachograph.limits.limit import Limits
from tachograph.limits.loops import Loops
from tachograph.record.clock import Clock
from tachograph.record.step import CallStep
from tachograph.testing import Captured, CountIds, TickClock, capture
from tests.record.shapes import ends

QUIET = Loops(warn=None, block=None, skip=None, stop=None, errors=None, no_progress=None, cycle=None)


def hits(events: Captured) -> list[tuple[str, str, str | None, str | None]]:
    """What the record says of limits: metric, mode, kind and name of what was refused."""
    return [
        (body.metric, body.mode, body.refused_kind, body.refused_name) for body in (e.body for e in events.of(LimitHit))
    ]


def last(events: Captured) -> tuple[str, str]:
    """How the last run ended."""
    ended = events.of(RunEnded)[-1].body
    return ended.status, ended.stop_reason


def spin(times: int, what: Callable[[int], Any], made: list[int] | None = None) -> None:
    """A loop that has no end of its own: so many steps, one after the other."""
    for turn in range(times):
        with step(what(turn)):
            if made is not None:
                made.append(turn)


def repeat(action: Callable[[], None], times: int) -> None:
    """The same again and again."""
    for _ in range(times):
        action()


def test_a_loop_of_ones_own_is_stopped(events: Captured) -> None:
    """Three calls are made and the fourth is not; the run has failed, and says of which limit."""
    made: list[int] = []
    with (
        pytest.raises(LimitExceeded, match="3 used, 1 more asked for, 3 allowed"),
        run("desk", limits=Limits(llm_calls=3)),
    ):
        spin(99, lambda turn: LLMCall("gpt-4o", max_output=10), made)
    assert (made, hits(events), last(events)) == (
        [0, 1, 2], [("max_llm_calls", "stop", "llm", "gpt-4o")], ("failed", "max_llm_calls"),
    )  # fmt: skip


def test_an_async_loop_is_stopped_by_its_iterations(events: Captured) -> None:
    """Iterations are steps of that kind; steps of other kinds are not counted."""
    made = []

    async def loop() -> None:
        async with run("desk", limits=Limits(iterations=2)):
            for turn in range(99):
                async with step("iteration", kind="iteration", iteration=turn), step("think"):
                    made.append(turn)

    with pytest.raises(LimitExceeded) as caught:
        asyncio.run(loop())
    assert (made, caught.value.metric, caught.value.mode) == ([0, 1], "max_iterations", "stop")
    assert hits(events) == [("max_iterations", "stop", "iteration", "iteration")]
    assert [body.kind for body in (e.body for e in events.of(StepStarted))] == ["iteration", "custom"] * 2


def test_threads_of_a_run_share_its_limits(events: Captured) -> None:
    """In contexts of their own, and told by `below` where they belong: together not one too many."""
    made: list[int] = []

    def work(number: int, desk: Any) -> None:
        for turn in range(20):
            try:
                with step(ToolCall("t", {"n": number, "turn": turn}), below=desk):
                    made.append(number)
            except LimitExceeded:
                return

    with run("desk", limits=Limits(tool_calls=25, loops=QUIET)) as desk, ThreadPoolExecutor(4) as pool:
        context = contextvars.copy_context()
        inside = [pool.submit(context.copy().run, work, number, None) for number in range(2)]
        below = [pool.submit(work, number, desk) for number in (2, 3)]
        for job in (*inside, *below):
            job.result()
    assert (len(made), len(events.of(ToolStarted))) == (25, 25 + len(hits(events)))
    assert {metric for metric, *_ in hits(events)} == {"max_tool_calls"}


def test_threads_of_a_run_record_what_each_of_them_sent(events: Captured) -> None:
    """Conversations that grow side by side: no request is recorded with another's messages."""
    sent: dict[int, list[dict[str, str]]] = {}

    def talk(name: int) -> None:
        messages = [{"role": "system", "content": "short"}]
        for turn in range(100):
            messages.append({"role": "user", "content": f"{name}-{turn}"})
            with step(LLMCall("gpt-4o", list(messages), max_output=1), below=desk) as call:
                call.reply = {"role": "assistant", "content": f"no {name}-{turn}"}
            sent[call.number or 0] = list(messages)
            messages.append(call.reply)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with run("desk", limits=Limits(llm_calls=None, tokens=None, usd=None)) as desk, ThreadPoolExecutor(4) as pool:
            list(pool.map(talk, range(4)))
    finally:
        sys.setswitchinterval(before)
    known = {event.seq: event.body for event in events}

    def read(seq: int | None) -> Iterator[dict[str, str]]:
        while seq is not None:
            said = known[seq]
            assert isinstance(said, MessageAppended)
            yield json.loads(said.message.text or "")
            seq = said.parent

    starts = {event.seq: event.body.input for event in events if isinstance(event.body, CallStarted)}
    assert len(starts) == 400
    assert {seq: list(read(node))[::-1] for seq, node in starts.items()} == sent


def test_time_is_checked_at_the_next_step() -> None:
    """By the monotonic clock: nothing begins once it is over, and what had begun ends as it does."""
    clock = Clock(TickClock(), TickClock(0, tick=1_000_000_000), CountIds())
    with capture(clock=clock) as events:
        with pytest.raises(LimitExceeded, match="deadline"), run("desk", limits="60s") as desk:
            spin(999, lambda turn: "work")
        begun = events[0].mono
        assert desk.deadline == begun + 59_000_000_000  # it was read once before the event
    assert (hits(events), last(events)) == ([("deadline", "stop", "custom", "work")], ("failed", "deadline"))
    assert 59 <= (events.of(LimitHit)[0].mono - begun) / 1e9 <= 64
    assert {status for _, status in ends(events)} == {"completed", "failed"}


def test_limits_are_text_or_a_value() -> None:
    """Text that says nothing is refused when it is written, not when it is needed."""
    with pytest.raises(SettingsError):
        run("desk", limits="fifteen moons")
    with pytest.raises(SettingsError):
        compose.configure(limits="fifteen moons")


def test_a_decorated_function_is_bounded_at_each_call(events: Captured) -> None:
    """Each call is a run with a budget of its own."""

    @run("desk", limits=Limits(tool_calls=1))
    def serve(times: int) -> None:
        spin(times, lambda turn: ToolCall("t", turn))

    serve(1)
    with pytest.raises(LimitExceeded):
        serve(2)
    assert [event.body.status for event in events.of(RunEnded)] == ["completed", "failed"]


def test_runs_inside_runs_draw_from_those_above(events: Captured) -> None:
    """A child without limits, one with its own, and a step that brings its own run."""
    with run("lead", limits=Limits(tool_calls=3, loops=QUIET)) as lead:
        with run("worker"), step(ToolCall("a")):
            pass
        with pytest.raises(LimitExceeded, match="1 allowed"), run("worker", limits=Limits(tool_calls=1)) as worker:
            spin(2, lambda turn: ToolCall("b", turn))
        assert worker.remaining()["max_tool_calls"] == 0
        with step(ToolCall("d")):
            pass
        assert lead.remaining()["max_tool_calls"] == 0
        with pytest.raises(LimitExceeded, match="3 allowed"), run("worker"), step(ToolCall("e")):
            pass
    assert [event.body.status for event in events.of(RunEnded)] == ["completed", "failed", "failed", "completed"]


def test_a_run_too_deep_is_recorded_and_refused(events: Captured) -> None:
    """It has a start, the limit it met and an end; the run above goes on."""
    with run("lead", limits=Limits(depth=1)) as lead:
        with pytest.raises(LimitExceeded) as caught, run("worker"):
            raise AssertionError("it must not begin")
        with step("goes on"):
            pass
    assert caught.value.metric == "max_depth"
    refused = [event for event in events if event.run != lead.run_id]
    assert [type(event.body) for event in refused] == [RunStarted, LimitHit, RunEnded]
    assert refused[0].body.parent_run == lead.run_id
    assert (refused[2].body.status, refused[2].body.stop_reason) == ("failed", "max_depth")
    assert last(events) == ("completed", "")


def test_every_run_of_a_process_can_be_bounded() -> None:
    """What a run states itself holds inside that, and what it removes stays; a step outside any run is one, too."""
    with capture(limits=Limits(tool_calls=1, loops=QUIET)) as events:
        with pytest.raises(LimitExceeded), run("desk"):
            spin(2, lambda turn: ToolCall("a", turn))
        with pytest.raises(LimitExceeded), run("other", limits=Limits(tool_calls=2, iterations=None, loops=QUIET)):
            spin(2, lambda turn: ToolCall("a", turn))
        with step(ToolCall("alone")):
            pass
    assert (len(events.of(LimitHit)), last(events)) == (2, ("completed", ""))


def test_without_limits_there_is_no_budget(events: Captured) -> None:
    """Nothing is asked and nothing is known of what is left."""
    with run("desk") as desk, step(LLMCall("m")) as call:
        pass
    assert (desk.deadline, desk.remaining(), call.room(), call.notices) == (None, {}, None, ())
    assert events.of(CallStarted)[0].body.reserved is None


# ---- model requests --------------------------------------------------------------------------------------------------


def test_a_request_records_what_was_set_aside_for_it(events: Captured) -> None:
    """Input by the bytes of messages and tools, output as `params` say; the rest is left."""
    talk = [{"role": "user", "content": "x" * 1000}]
    tools = [{"type": "function", "function": {"name": "look"}}]
    with run("desk", limits=Limits(tokens=50_000)) as desk:
        with step(LLMCall("gpt-4o", talk, "openai", tools=tools, params={"max_tokens": 400})) as call:
            call.usage = Usage(300, 0, 0, 50, basis="provider")
        assert desk.remaining()["token_budget"] == 49_650
        assert step(LLMCall("gpt-4o", talk, "openai")).room() == 49_650 - tokens_of(1000 + 15 + 16, "gpt-4o")
    reserved = events.of(CallStarted)[0].body.reserved
    size = 1000 + 16 + len("role") + len("user") + len("content") + len(str(tools).replace(" ", ""))
    tokens = tokens_of(size, "gpt-4o", tools=True)
    assert reserved == Reservation(tokens, 400, tokens * 2500 + 400 * 10_000, "stated")


def test_a_long_conversation_is_measured_by_what_is_new(events: Captured) -> None:
    """Whatever came before is known, reply and all; another conversation is measured for itself."""
    talk: list[dict[str, str]] = []
    sizes = []
    with run("desk", limits=Limits(llm_calls=99, strict=True)):
        for turn in range(20):
            talk.append({"role": "user", "content": f"{turn:04}" * 25})
            with step(LLMCall("gpt-4o", talk, "openai", max_output=5)) as call:
                call.reply = {"role": "assistant", "content": "é" * 50}
                call.usage = Usage(1, 0, 0, 1)
            talk.append(call.reply)
            sizes.append(events.of(CallStarted)[-1].body.reserved.input)
        with step(LLMCall("gpt-4o", [{"role": "user", "content": "short"}], "openai", max_output=5)):
            pass
    asked, answered = 16 + 15 + 100, 16 + 20 + 100
    assert sizes == [tokens_of(asked * (n + 1) + answered * n, "gpt-4o", strict=True) for n in range(20)]
    assert events.of(CallStarted)[-1].body.reserved.input == tokens_of(16 + 15 + 5, "gpt-4o", strict=True)


def test_a_request_that_is_too_dear_does_not_leave(events: Captured) -> None:
    """$0.001 buys no 4,096 tokens of gpt-4o; fewer of them it does, as many as there is room for."""
    with run("desk", limits=Limits(usd=0.001)):
        with pytest.raises(LimitExceeded) as caught, step(LLMCall("gpt-4o", ["hi"], "openai")):
            raise AssertionError("it must not leave")
        most = step(LLMCall("gpt-4o", ["hi"], "openai")).room()
        assert most is not None
        with step(LLMCall("gpt-4o", ["hi"], "openai", max_output=most)):
            pass
    assert (caught.value.metric, 50 < most < 100) == ("cost_budget", True)
    assert len(events.of(CallStarted)) == 1


def test_what_was_refused_or_never_sent_costs_nothing(events: Captured) -> None:
    """By the status of the answer or by the program's word; what may have been worked on was all used."""
    with run("desk", limits=Limits(tokens=10_000, llm_calls=9)) as desk:
        for status, sent in ((429, None), (None, False)):
            with step(LLMCall("gpt-4o", max_output=10)) as call:
                call.http_status, call.sent = status, sent
                call.fail("it was not taken")
        assert desk.remaining()["token_budget"] == 10_000
        with pytest.raises(TimeoutError), step(LLMCall("gpt-4o", max_output=10)):
            raise TimeoutError
        assert desk.remaining()["token_budget"] == 10_000 - 10 - tokens_of(0, "gpt-4o")
        assert desk.remaining()["max_llm_calls"] == 6


def test_an_error_of_ones_own_after_the_reply_gives_nothing_back(events: Captured) -> None:
    """A program may raise what has a status, a web framework's 404: what the provider metered was used."""

    class NotThere(Exception):
        status_code = 404

    def fail(say: Callable[[CallStep], object]) -> None:
        with step(LLMCall("gpt-4o", max_output=10)) as call:
            say(call)
            raise NotThere

    reserved, left = 10 + tokens_of(0, "gpt-4o"), 10_000
    with run("desk", limits=Limits(tokens=left)) as desk:
        for say, used in (
            (lambda call: call.meter(Usage(15, 0, 0, 5)), 20), (lambda call: call.add("half a rep"), reserved),
            (lambda call: None, 0),
        ):  # fmt: skip
            with pytest.raises(NotThere):
                fail(say)
            left -= used
            assert desk.remaining()["token_budget"] == left


def talks_on(request: LLMCall) -> CallStep:
    """A request whose provider does not stop where it was told to."""
    with step(request) as call:
        call.usage = Usage(1, 0, 0, 5_000, basis="provider")
    return call


def test_an_overrun_is_marked_and_the_next_request_refused(events: Captured) -> None:
    """The mark stands at the call that went too far, and refuses nothing by itself."""
    request = LLMCall("gpt-4o", provider="openai", max_output=10)
    with run("desk", limits=Limits()):
        call = talks_on(request)
        with pytest.raises(LimitExceeded, match="overrun"):
            spin(1, lambda turn: request)
    assert len(events.of(CallStarted)) == 1
    marks = [(event.step, event.body.metric, event.body.mode, event.body.scope) for event in events.of(LimitHit)]
    assert marks == [
        (call.number, "token_budget", "observe", "call"), (call.number, "cost_budget", "observe", "call"),
        (0, "token_budget", "stop", "run"),
    ]  # fmt: skip
    assert len(events.of(CallEnded)) == 1


# ---- tools -----------------------------------------------------------------------------------------------------------


def test_a_repeated_tool_call_is_warned_of_blocked_skipped_and_ends_the_run(events: Captured) -> None:
    """Each answer is recorded with the calls that led to it; blocked is rejected, skipped is skipped."""
    ran: list[int | None] = []
    notices: list[list[str]] = []
    modes: list[str] = []

    def look() -> None:
        try:
            with step(ToolCall("look", {"q": 1})) as call:
                ran.append(call.number)
                notices.append([notice.mode for notice in call.notices])
                call.output = "same"
        except LimitExceeded as error:
            modes.append(error.mode)
            if error.mode not in ("block", "skip"):
                raise

    with pytest.raises(LimitExceeded) as caught, run("desk", limits=Limits()):
        repeat(look, 9)
    assert (len(ran), notices, modes) == (2, [[], ["warn"]], ["block", "skip", "skip", "stop"])
    assert [event.body.state for event in events.of(ToolEnded)] == [
        "completed", "completed", "rejected", "skipped", "skipped", "rejected",
    ]  # fmt: skip
    found = [(body.mode, body.refused_kind, body.evidence[:2]) for body in (e.body for e in events.of(LimitHit))]
    assert found[:2] == [("warn", None, (ran[0],)), ("block", "tool", (ran[0], ran[1]))]
    assert (caught.value.metric, last(events)) == ("tool_loop", ("failed", "tool_loop"))
    assert fold(events).status == "failed"


def test_a_tool_that_is_given_up_says_so(events: Captured) -> None:
    """Abandoned, or cancelled: two of the six ends."""
    with run("desk"):
        with step(ToolCall("slow")) as call:
            call.give_up("nobody waited")
        with step(ToolCall("slow")) as call:
            call.give_up("called off", cancelled=True)
    assert [(event.body.state, event.body.reason) for event in events.of(ToolEnded)] == [
        ("abandoned", "nobody waited"), ("cancelled", "called off"),
    ]  # fmt: skip


# ---- when recording fails --------------------------------------------------------------------------------------------


@contextmanager
def broken_disk(events_home: compose.System) -> Iterator[None]:
    """A journal that takes nothing."""

    def refuse(data: bytes, now: int) -> None:
        raise OSError("no space left")

    journal = events_home.recorder.journal
    journal.append = refuse  # type: ignore[assignment,method-assign]
    yield


@pytest.mark.parametrize("begun", [False, True])
def test_limits_hold_when_nothing_can_be_recorded(tmp_path: Path, begun: bool) -> None:
    """With a full disk, from the start or in the middle: as many calls as are allowed, and their usage counts."""
    system = compose.configure(home=tmp_path, drain=False)
    made = 0
    desk = run("desk", limits=Limits(llm_calls=3, tokens=50_000))

    def ask_on() -> None:
        nonlocal made
        for _ in range(99):
            with step(LLMCall("gpt-4o", max_output=10), below=desk) as call:
                made += 1
                call.usage = Usage(1_000, 0, 0, 1, basis="provider")

    try:
        if begun:
            desk.enter(None)
        with broken_disk(system):
            if not begun:
                desk.enter(None)
            with pytest.raises(LimitExceeded, match="3 allowed"):
                ask_on()
            assert (made, desk.remaining()["token_budget"]) == (3, 50_000 - 3 * 1_001)
            with pytest.raises(LimitExceeded, match="3 allowed"), run("child"), step(LLMCall("gpt-4o")):
                made += 1
            desk.leave()
        assert made == 3
        assert system.recorder.health.faults == {}
    finally:
        system.close()


ODD: Any = object()
ITERATOR: Any = iter(["hello"])
LIST: Any = []


@pytest.mark.parametrize(
    "what",
    [
        LLMCall(ODD), LLMCall("gpt-4o", ODD), LLMCall("gpt-4o", ITERATOR), LLMCall("gpt-4o", provider=ODD),
        LLMCall("gpt-4o", tools=ODD), LLMCall("gpt-4o", operation=LIST), LLMCall("gpt-4o", reminders=ODD),
        LLMCall("gpt-4o", tier=ODD), ToolCall(ODD), ToolCall("t", ODD), ToolCall("t", refs=ODD),
    ],
)  # fmt: skip
def test_what_cannot_be_described_is_bounded_all_the_same(events: Captured, what: Any) -> None:
    """Facts of the wrong type may not be recorded; they are no way past a limit."""
    made: list[int] = []
    refused = 0
    with run("desk", limits=Limits(llm_calls=3, tool_calls=3, loops=QUIET)):
        for _ in range(9):
            try:
                spin(1, lambda turn: what, made)
            except LimitExceeded:
                refused += 1
    assert (len(made), refused) == (3, 6)
    assert len([hit for hit in hits(events) if hit[2] is not None]) == 6


@pytest.mark.parametrize("facts", [{"tags": None}, {"refs": ODD}, {"traceparent": ODD}, {"metadata": ODD}])
def test_a_run_that_cannot_be_described_is_begun_and_bounded(events: Captured, facts: dict[str, Any]) -> None:
    """It is recorded without what could not be read."""
    made: list[int] = []
    with pytest.raises(LimitExceeded), run("desk", session="s", limits=Limits(tool_calls=2, loops=QUIET), **facts):
        spin(9, lambda turn: ToolCall("t", turn), made)
    assert (made, last(events)) == ([0, 1], ("failed", "max_tool_calls"))
    assert [(event.body.name, event.body.session) for event in events.of(RunStarted)] == [("desk", "s")]


def test_a_forked_child_settles_nothing_of_its_parent(tmp_path: Path) -> None:
    """What the parent has in flight stays set aside, whatever becomes of the step in the child."""

    class Refusal(Exception):
        status_code = 400

    system = compose.configure(home=tmp_path, drain=False)
    account = Account.of_session("default", "s", "tokens")
    with run("desk", session="s", limits=Limits(session_tokens=10_000)):
        with step(LLMCall("gpt-4o", max_output=5_000)) as call:
            held = system.ledger.used(account, None, 1)
            child = os.fork()
            if child == 0:
                call.__exit__(Refusal, Refusal(), None)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert system.ledger.used(account, None, 1) == held == 5_000 + tokens_of(0, "gpt-4o")
            call.usage = Usage(1_000, 0, 0, 3_000)
        assert system.ledger.used(account, None, 1) == 4_000
    system.close()


def test_a_forked_child_keeps_the_limits_it_was_forked_with(tmp_path: Path) -> None:
    """Its steps are runs of their own, below the step it was forked in, and draw from a copy of that run's budget."""
    system = compose.configure(home=tmp_path, drain=False)
    with run("desk", limits=Limits(tool_calls=3, loops=QUIET)):
        with step(ToolCall("first")):
            pass
        child = os.fork()
        if child == 0:
            made = 0
            try:
                for turn in range(9):
                    with step(ToolCall("inside", turn)):
                        made += 1
            except LimitExceeded:
                os._exit(made)
            os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    system.close()


def test_a_run_recorded_elsewhere_bounds_what_is_inside_it(tmp_path: Path) -> None:
    """A step that goes into another store is still inside the run."""
    compose.configure(home=tmp_path, drain=False)
    other = compose.system_for(f"sqlite:{tmp_path / 'other.db'}")
    made: list[int] = []

    def record_there() -> None:
        for turn in range(9):
            call = step(ToolCall("t", turn))
            call.source = lambda: other.recorder
            with call:
                made.append(turn)

    with pytest.raises(LimitExceeded, match="2 allowed"), run("desk", limits=Limits(tool_calls=2, loops=QUIET)):
        record_there()
    assert made == [0, 1]
    for system in (compose.current(), other):
        system.close()


# ---- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_has_so_many_runs_whatever_came_of_them(tmp_path: Path) -> None:
    """Two runs that failed are two runs; the third is refused, is recorded as that, and another session goes on."""
    system = compose.configure(home=tmp_path, limits=Limits(session_runs=2))
    seen: list[Event] = []
    subscription = system.recorder.feed.subscribe(lambda event: seen.append(event) or False)  # type: ignore[func-returns-value]
    for _ in range(2):
        with pytest.raises(TimeoutError), run("desk", session="s"):
            raise TimeoutError
    with pytest.raises(LimitExceeded) as caught, run("desk", session="s"):
        raise AssertionError("it must not begin")
    with run("desk", session="t"):
        pass
    subscription.close()
    assert (caught.value.metric, caught.value.scope) == ("session_limit", "session")
    refused = [event.body for event in seen if event.run == next(e.run for e in seen if isinstance(e.body, LimitHit))]
    assert [type(body) for body in refused] == [RunStarted, LimitHit, RunEnded]
    assert (refused[2].status, refused[2].stop_reason) == ("failed", "session_limit")
    assert tachograph.flush()
    system.close()


def test_ends_are_recorded_once_whatever_is_refused(events: Captured) -> None:
    """Every start of a step has one end, among threads and refusals alike."""
    with run("desk", limits=Limits(llm_calls=5, tool_calls=5, loops=QUIET, tokens=30_000)) as desk:

        def work(number: int) -> None:
            for turn in range(5):
                for what in (LLMCall("gpt-4o", max_output=10), ToolCall("t", (number, turn))):
                    try:
                        with step(what, below=desk):
                            pass
                    except LimitExceeded:
                        continue

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(events.of(CallStarted)), len(events.of(CallEnded))) == (5, 5)
    assert (len(events.of(ToolStarted)), len(events.of(ToolEnded))) == (20, 20)
    assert sorted(event.step for event in events.of(ToolEnded)) == sorted(e.seq for e in events.of(ToolStarted))
