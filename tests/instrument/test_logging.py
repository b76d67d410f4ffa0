"""The loggers: ids, places, sync and async under one name, and a program that no fault of ours touches."""

# What the loggers return may be awaited, and need not be.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import asyncio
import gc
import re
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph import LimitExceeded
from tachograph.compose import System
from tachograph.events.call import CallEnded
from tachograph.events.envelope import ENDS, STARTS
from tachograph.events.run import RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.usage import Cost, Usage
from tachograph.instrument.llm_call_log import LLMCallLog
from tachograph.instrument.logging import ExecutionLogger, LLMCallLogger
from tachograph.limits.guard import Intent, Notice, Refused, Settled, Spent, Ticket
from tachograph.record import scope
from tachograph.settings import Settings
from tachograph.testing import Captured, capture, tick_clock
from tests.record.test_faults import PARTS, explode

MADE = re.compile(r"exec_[0-9a-f]{12}_\d{10}")


# ---- execution ids -------------------------------------------------------------------------------------------------


def test_independent_executions_have_ids_of_their_own(events: Captured) -> None:
    """One logger, two executions: nothing of the first is left for the second."""
    logger = ExecutionLogger()
    found = []
    for _ in range(2):
        assert (logger.execution_id, logger.get_current_execution_id()) == (None, None)
        with logger.log_execution("planner", "plan") as row:
            assert logger.execution_id == logger.get_current_execution_id() == row.execution_id
            found.append(row.execution_id)
    assert (len(set(found)), all(MADE.fullmatch(each or "") for each in found)) == (2, True)


def test_an_id_that_was_set_is_kept_until_it_is_changed(events: Captured) -> None:
    """By either setter; an id given for one execution is for that one only."""
    logger = ExecutionLogger()
    logger.set_execution_id("ticket 7")
    rows = [logger.log_observation("planner", number) for number in range(2)]
    rows.append(logger.log_observation("planner", 2, execution_id="ticket 8"))
    assert logger.execution_id == "ticket 7"
    logger.execution_id = None
    rows.append(logger.log_observation("planner", 3))
    assert [row.execution_id for row in rows[:3]] == ["ticket 7", "ticket 7", "ticket 8"]
    assert MADE.fullmatch(rows[3].execution_id or "")


def test_a_new_id_can_be_made(events: Captured) -> None:
    """In the form of ours, and not set."""
    logger = ExecutionLogger()
    made = {logger.generate_execution_id() for _ in range(50)}
    assert (len(made), all(map(MADE.fullmatch, made)), logger.execution_id) == (50, True, None)


def test_the_current_execution_can_be_asked_for(events: Captured) -> None:
    """The innermost of this logger that is around the caller, whatever else is."""
    logger, calls = ExecutionLogger(), LLMCallLogger()
    assert logger.get_current_execution_context() is None
    with logger.log_execution("main_agent", "main_execution", "agent_workflow") as main:
        with logger.log_execution("planner", "plan"), calls.log_llm_call("openai", "m"):
            assert logger.get_current_execution_context() == {
                "execution_id": main.execution_id, "agent_type": "planner", "execution_step": "plan",
                "action_type": None,
            }  # fmt: skip
            assert ExecutionLogger().get_current_execution_context() is None
        assert (logger.get_current_execution_context() or {})["agent_type"] == "main_agent"
    assert logger.get_current_execution_context() is None


# ---- places --------------------------------------------------------------------------------------------------------


def test_an_execution_started_by_hand_surrounds_what_follows(events: Captured) -> None:
    """Until it is ended, in the same task; calls link to it without being told."""
    logger, calls = ExecutionLogger(), LLMCallLogger()
    first = logger.start_execution("planner", "plan")
    with calls.log_llm_call("openai", "m") as call:
        pass
    logger.end_execution(first, output_data={"plan": []})
    with calls.log_llm_call("openai", "m") as alone:
        pass
    assert (call.execution_log_id, call.execution_id) == (first.id, first.execution_id)
    assert alone.run_id != first.run_id


def test_a_generator_s_execution_is_not_around_its_consumer(events: Captured) -> None:
    """Whether it is a block or was started by hand."""
    logger = ExecutionLogger()

    def block() -> Iterator[int]:
        with logger.log_execution("a", "block"):
            yield 1

    def by_hand() -> Iterator[int]:
        row = logger.start_execution("a", "by hand")
        yield 1
        logger.end_execution(row)

    for each in (block, by_hand):
        for _ in each():
            with logger.log_execution("consumer", "consume"):
                pass
    assert {event.body.name for event in events.of(RunStarted)} == {"block", "by hand", "consume"}
    assert events.of(StepStarted) == []


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_generator_that_is_closed_early_cancels_its_execution(events: Captured, asynchronous: bool) -> None:
    """Its row does not stay started."""
    logger = ExecutionLogger()

    def plain() -> Iterator[int]:
        with logger.log_execution("a", "stream"):
            yield 1

    async def stream() -> AsyncIterator[int]:
        async with logger.log_execution("a", "stream"):
            yield 1

    async def use() -> None:
        source: Any = stream()
        await anext(source)
        await source.aclose()

    if asynchronous:
        asyncio.run(use())
    else:
        source: Any = plain()
        next(source)
        source.close()
    assert [event.body.status for event in events.of(RunEnded)] == ["cancelled"]


def test_a_task_that_is_cancelled_cancels_its_executions(events: Captured) -> None:
    """The execution, the one inside it and the call that was waiting."""
    logger, calls = ExecutionLogger(), LLMCallLogger()

    async def work() -> None:
        async with (
            logger.log_execution("main_agent", "main_execution"),
            logger.log_execution("planner", "plan"),
            calls.log_llm_call("openai", "m"),
        ):
            await asyncio.sleep(60)

    async def use() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(use())
    assert [events.of(kind)[0].body.status for kind in (CallEnded, StepEnded, RunEnded)] == ["cancelled"] * 3


def test_an_execution_that_nobody_ended_goes_with_its_logger(events: Captured) -> None:
    """While the logger lives it stays open, since its id may be in use; then it is cancelled."""
    logger = ExecutionLogger()
    name = logger.start_execution("planner", "plan").id
    gc.collect()
    with LLMCallLogger().log_llm_call("openai", "m", execution_log_id=name) as call:
        pass
    assert (call.execution_log_id, events.of(RunEnded)) == (name, [])
    del logger
    gc.collect()
    scope.recorder().settle_late()
    assert [event.body.status for event in events.of(RunEnded)] == ["cancelled"]


def test_tasks_of_one_logger_do_not_mix(events: Captured) -> None:
    """A hundred executions at once: each has its own id, its own call, and exactly one end."""
    logger, calls = ExecutionLogger(), LLMCallLogger()

    async def work(number: int) -> tuple[str | None, str | None]:
        async with logger.log_execution("agent", f"work {number}") as row:
            await asyncio.sleep(0)
            async with calls.log_llm_call("openai", "m", prompt=str(number)) as call:
                await asyncio.sleep(0)
            row.output_data = number
        return row.id, call.execution_log_id

    async def use() -> list[tuple[str | None, str | None]]:
        return await asyncio.gather(*map(work, range(100)))

    pairs = asyncio.run(use())
    assert all(row == link for row, link in pairs)
    assert len({row for row, _ in pairs}) == len(events.of(RunEnded)) == len(events.of(CallEnded)) == 100


def test_threads_of_one_logger_do_not_mix(events: Captured) -> None:
    """Each thread begins outside; one that is told an execution's id joins it."""
    logger, calls = ExecutionLogger(), LLMCallLogger()
    barrier, links = threading.Barrier(8), []

    def work(number: int, main: str | None) -> None:
        barrier.wait()
        for _ in range(20):
            with logger.log_execution("agent", f"{number}") as row, calls.log_llm_call("openai", "m") as call:
                pass
            assert call.execution_log_id == row.id
        with calls.log_llm_call("openai", "m", execution_log_id=main) as told:
            pass
        links.append(told.execution_log_id)

    with logger.log_execution("main_agent", "main_execution") as main:
        threads = [threading.Thread(target=work, args=(number, main.id)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert links == [main.id] * 8
    assert (len(events.of(RunEnded)), len(events.of(CallEnded))) == (1 + 8 * 20, 8 * 20 + 8)


moves = st.tuples(st.sampled_from(("execution", "call", "below", "end", "meter")), st.integers(0, 99))


@given(st.lists(moves, max_size=30))
def test_whatever_is_started_ends_once(played: list[tuple[str, int]]) -> None:
    """Rows started and ended in any order, twice or not at all: each has one end, and nothing of ours fails."""
    with capture() as events:
        executions, calls, rows = ExecutionLogger(), LLMCallLogger(), list[Any]()
        for move, pick in played:
            row = rows[pick % len(rows)] if rows else None
            if move == "execution":
                rows.append(executions.start_execution("agent", f"step {pick}"))
            elif move in ("call", "below"):
                rows.append(calls.start_llm_call("openai", "m", execution_log_id=row if move == "below" else None))
            elif isinstance(row, LLMCallLog):
                calls.update_token_usage(row, pick, pick) if move == "meter" else calls.end_llm_call(row)
            elif row is not None:
                executions.end_execution(row)
        for row in reversed(rows):
            row.finish()
        health = scope.recorder().health
    begun = [(event.run, event.step) for event in events if isinstance(event.body, STARTS)]
    over = [(event.run, event.step) for event in events if isinstance(event.body, ENDS)]
    assert (sorted(begun), len(set(over))) == (sorted(over), len(over))
    assert (health.faults, health.lost) == ({}, {})
    assert {row.status for row in rows} <= {"completed"}


def test_an_observation_is_over_at_once(events: Captured) -> None:
    """Inside an execution it is a step of it, outside a run of its own; never one that stays started."""
    logger = ExecutionLogger()
    with logger.log_execution("planner", "plan") as plan:
        inside = logger.log_observation("planner", {"widgets": 2}, report_id="r", metadata={"m": 1})
    outside = logger.log_observation("planner", {"widgets": 3})
    assert [(row.status, row.execution_step, row.action_type) for row in (inside, outside)] == [
        ("completed", "observe", "observation")
    ] * 2
    assert (inside.parent_id, outside.parent_id) == (plan.id, None)
    started = events.of(StepStarted)[0].body
    assert (started.kind, started.input.text, started.refs) == ("observe", '{"widgets":2}', {"report_id": "r"})
    assert [event.body.status for event in (*events.of(StepEnded), *events.of(RunEnded))] == ["completed"] * 3


# ---- prices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "total"), [("gpt-4-turbo", 0.030), ("gpt-4", 0.075), ("custom-model", 0.0025), ("unheard-of", None)]
)
def test_what_1500_and_500_tokens_cost(events: Captured, model: str, total: float | None) -> None:
    """By the price list of the day, by the program's own entry, or not known: never by a name that merely fits."""
    calls = LLMCallLogger()
    calls.token_prices["custom-model"] = {"input": 0.001, "output": 0.002}
    with calls.log_llm_call("openai", model) as call:
        call.input_tokens, call.output_tokens = 1500, 500
    assert call.total_cost == total


def test_the_table_can_be_replaced(events: Captured) -> None:
    """By a subclass, as a program may be used to; an entry like the usual one states nothing."""

    class Priced(LLMCallLogger):
        def __init__(self) -> None:
            super().__init__()
            self.token_prices = {"gpt-4": {"input": 0.03, "output": 0.06}, "mine": {"input": 1, "output": 1}}

    calls = Priced()
    for model in ("gpt-4", "mine"):
        with calls.log_llm_call("openai", model) as call:
            call.usage = Usage(1000, output=0, basis="provider")
    costs = [event.body.cost for event in events.of(CallEnded)]
    assert costs == [
        None,
        Cost("priced", 10**9, 0, 10**9, price_id="program:override:mine", price_date="2023-11-14"),
    ]


# ---- a program is never touched ------------------------------------------------------------------------------------


class Provider:
    """Counts its calls; every third fails."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, prompt: str) -> str:
        """An answer, or an error."""
        self.calls += 1
        if self.calls % 3 == 0:
            raise ConnectionError(prompt)
        return f"answer to {prompt}"

    def stream(self, prompt: str) -> Iterator[str]:
        """The same in pieces."""
        yield from self(prompt).split()


def program(provider: Provider, executions: ExecutionLogger, calls: LLMCallLogger) -> list[Any]:
    """An agent that logs all it does, every way there is; what a user of it sees."""
    seen: list[Any] = []
    calls.token_prices["m"] = {"input": 1, "output": 1}
    with executions.log_execution("agent", "work", input_data=object(), metadata={"a": 1}) as row:
        for number in range(6):
            try:
                with calls.log_llm_call("openai", "gpt-4", prompt=str(number)) as call:
                    call.response = provider(str(number))
                    call.input_tokens, call.output_tokens = 1, 1
                    seen.append(call.response)
            except ConnectionError as error:
                seen.append(f"failed {error}")
        plan = executions.start_execution("planner", "plan")
        by_hand = calls.start_llm_call("mine", "m", execution_log_id=plan.id)
        calls.end_llm_call(by_hand, response=provider("by hand"), input_tokens=1, output_tokens=1)
        calls.update_token_usage(by_hand, 2, 2)
        seen.append(by_hand.status)
        seen.extend(calls.log_streaming_call("openai", "m", "x", provider.stream("x y"), execution_log_id="exec_1"))
        try:
            list(calls.log_streaming_call("openai", "m", "x", provider.stream("z")))
        except ConnectionError as error:
            executions.end_execution(plan, "failed", error_message=str(error))
        executions.log_observation("planner", {1, 2})
        executions.generate_execution_id()
        executions.get_current_execution_context()
        seen.extend((plan.status, plan.error_message is not None, row.status))
        row.output_data = seen
    seen.extend((row.status, isinstance(row.duration_ms, int)))
    return seen


WANTED = [
    "answer to 0", "answer to 1", "failed 2", "answer to 3", "answer to 4", "failed 5", "completed", "answer", "to",
    "x", "y", "failed", True, "started", "completed", True,
]  # fmt: skip


@pytest.fixture
def system() -> Iterator[System]:
    """A recorder of its own, without a worker."""
    with tempfile.TemporaryDirectory() as home:
        made = System(Settings(home=Path(home), drain=False), clock=tick_clock())
        made.recorder.on_activity = None
        before = scope.use(lambda: made.recorder)
        yield made
        scope.use(before)
        made.recorder.close()


def _our_part(name: str) -> Any:
    return lambda _, patch: patch.setattr(f"tachograph.instrument.{name}", explode)


LOGGER_PARTS: dict[str, Any] = {
    "find": lambda system, patch: patch.setattr(system.recorder, "find", explode),
    "row": _our_part("execution_log.ExecutionLog._made"),
    "call": _our_part("llm_call_log.LLMCallLog._made"),
    "results": _our_part("execution_log.ExecutionLog._say_results"),
    "call results": _our_part("llm_call_log.LLMCallLog._say_results"),
    "status": _our_part("log_row.LogRow._say_status"),
    "error": _our_part("log_row.failure_of"),
    "chunks": _our_part("streams.text_of"),
    "heard": _our_part("streams.Heard.hear"),
    "prices": _our_part("token_prices.Stated.cost"),
    "tokens": _our_part("llm_call_log.LLMCallLog._used"),
}


@pytest.mark.parametrize("part", [*PARTS, *LOGGER_PARTS])
def test_a_program_is_never_touched_by_a_broken_logger(
    part: str, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever part of us raises: the same answers and errors, and as many provider calls as without us."""
    provider, executions, calls = Provider(), ExecutionLogger(), LLMCallLogger()
    with monkeypatch.context() as patch:
        {**PARTS, **LOGGER_PARTS}[part](system, patch)
        seen = program(provider, executions, calls)
    told = {"status": [*WANTED[:12], False, *WANTED[13:]]}
    assert (provider.calls, seen) == (9, told.get(part, WANTED))
    health = system.recorder.health
    if part != "recorder":
        assert sum(health.lost.values()) + sum(health.faults.values()) > 0


def test_the_program_of_these_tests_is_logged_when_nothing_is_broken(system: System) -> None:
    """Else the tests above would prove nothing."""
    provider = Provider()
    assert program(provider, ExecutionLogger(), LLMCallLogger()) == WANTED
    assert (provider.calls, system.recorder.health.lost, system.recorder.health.faults) == (9, {}, {})
    assert system.recorder.recorded > 30


class Closed:
    """A guard that allows no model call."""

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
        """None."""
        return Refused("max_llm_calls", 0, 1, 0) if intent.kind == "llm" else Ticket()

    def settle(self, ticket: Ticket, settled: Settled, now: int) -> tuple[Notice, ...]:
        """Nothing."""
        return ()


def test_a_refusal_is_the_one_error_that_loggers_raise() -> None:
    """Before the provider is called; the execution around it failed by it."""
    provider = Provider()
    with capture(Closed()) as events:
        executions, calls = ExecutionLogger(), LLMCallLogger()
        with pytest.raises(LimitExceeded), executions.log_execution("a", "b"), calls.log_llm_call("openai", "m"):
            provider("x")
        with pytest.raises(LimitExceeded):
            calls.start_llm_call("openai", "m")
    assert (provider.calls, events.of(CallEnded)) == (0, [])
    assert [event.body.stop_reason for event in events.of(RunEnded)] == ["max_llm_calls"] * 2
