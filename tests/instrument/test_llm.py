"""`LLM`: text from a model, wherever it is called, and a row of each call."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tachograph
from tachograph import LLM
from tachograph.errors import InvalidTranscript, ModelError, SettingsError
from tachograph.events.call import CallStarted
from tachograph.events.chat import Message, assistant
from tachograph.events.envelope import STARTS
from tachograph.events.note import Note
from tachograph.instrument.logging import ExecutionLogger, LLMCallLogger
from tachograph.limits.limit import Limits
from tachograph.providers.port import Delta, Finish, Params, ReasoningDelta, Reply, Request
from tachograph.providers.scripted import Call, Say, ScriptedModel, Silent
from tachograph.testing import Captured
from tests.instrument.asked import HOLD, USED, Model, ends, heard, messages, said
from tests.instrument.stored import calls, executions

# ---- what is logged ------------------------------------------------------------------------------------------------


def test_a_call_leaves_its_whole_row(database: Path) -> None:
    """Prompt, response, tokens, cost, links, times and why it ended, in the store."""
    model = Model("Artificial ", "intelligence.")
    llm = LLM(model=model, llm_call_logger=LLMCallLogger())
    text = llm.inference(
        prompt="What is AI?", execution_log_id="exec_123", report_id="report_456", completion_id="c7", metadata={"a": 1}
    )
    (row,) = calls(database)
    assert (text, llm.provider, llm.model_id, repr(llm)) == (
        "Artificial intelligence.", "openai", "gpt-4", "<LLM openai gpt-4>",
    )  # fmt: skip
    wanted = {
        "execution_id": "exec_123", "report_id": "report_456", "completion_id": "c7", "metadata": {"a": 1},
        "provider": "openai", "model_id": "gpt-4", "call_type": "inference", "status": "completed",
        "prompt": [{"role": "user", "content": "What is AI?"}],
        "response": [{"role": "assistant", "content": "Artificial intelligence."}],
        "input_tokens": 1500, "output_tokens": 500, "total_tokens": 2000, "input_cost": 0.045, "output_cost": 0.03,
        "total_cost": 0.075, "is_streaming": 0, "chunks_count": None, "error_message": None, "finish_reason": "stop",
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    assert (row["duration_ms"] >= 0, row["end_time"] >= row["start_time"]) == (True, True)


def test_a_stream_leaves_its_whole_row(database: Path) -> None:
    """The same, with the number of chunks; the pieces come as they were said."""
    llm = LLM(Model("One", " widget", "."), LLMCallLogger())
    pieces = asyncio.run(heard(llm, "Explain", execution_log_id="exec_123", report_id="r", completion_id="c"))
    (row,) = calls(database)
    wanted = {
        "execution_id": "exec_123", "report_id": "r", "completion_id": "c", "call_type": "inference_stream",
        "status": "completed", "response": [{"role": "assistant", "content": "One widget."}], "total_tokens": 2000,
        "total_cost": 0.075, "is_streaming": 1, "chunks_count": 3, "finish_reason": "stop",
    }  # fmt: skip
    assert (pieces, {name: row[name] for name in wanted}) == (["One", " widget", "."], wanted)


def test_without_a_logger_calls_work_and_are_recorded(events: Captured) -> None:
    """By the process's own recorder, below what surrounds them."""
    llm = LLM(Model("yes"))
    with tachograph.step("plan") as plan:
        assert (llm.inference("x"), asyncio.run(heard(llm))) == ("yes", ["yes"])
    assert [(end.status, end.usage) for end in ends(events)] == [("completed", USED)] * 2
    assert [event.body.parent for event in events.of(CallStarted)] == [plan.number] * 2


def test_a_logger_s_stated_prices_count(events: Captured) -> None:
    """An entry that the program changed prices the calls of exactly that model."""
    logger = LLMCallLogger()
    logger.token_prices["gpt-4"] = {"input": 1, "output": 2}
    LLM(Model("yes"), logger).inference("x")
    assert [end.cost.total for end in ends(events) if end.cost] == [2_500_000_000]


def test_everything_a_reply_and_a_request_say_is_recorded(events: Captured) -> None:
    """Parameters, tier, thinking, tool calls; whatever else came is not in the text."""
    answer = Say("a b", (Call("look"),), reasoning="hm", chunks=("a ", "b"), served_model="gpt-4-0613")
    llm = LLM(ScriptedModel([answer, answer]), LLMCallLogger())
    asked: dict[str, Any] = {"max_tokens": 9, "params": Params(temperature=0.5, tier="flex", headers={"k": "secret"})}
    assert (llm.inference("x", **asked), asyncio.run(heard(llm, **asked))) == ("a b", ["a ", "b"])
    for start in (event.body for event in events.of(CallStarted)):
        told = {"max_tokens": 9, "temperature": 0.5, "service_tier": "flex", "headers": ["k"]}
        assert (said(start.params), start.tier) == (told, "flex")
    whole, stream = ends(events)
    assert (whole.served_model, whole.finish_reason, whole.chunks, stream.chunks) == (
        "gpt-4-0613", "tool_calls", None, 4,
    )  # fmt: skip
    replies = [said(event.body.message) for event in events if getattr(event.body, "role", "") == "assistant"]
    assert [(reply["content"], reply["reasoning_content"], len(reply["tool_calls"])) for reply in replies] == [
        ("a b", "hm", 1), ("a b", "hm", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal"])
def test_why_a_reply_ended_is_in_its_row(events: Captured, finish: Finish) -> None:
    """The text is what came, cut or not."""
    llm = LLM(Model("cut o", finish=finish))
    assert (llm.inference("x"), asyncio.run(heard(llm))) == ("cut o", ["cut o"])
    assert [(end.status, end.finish_reason) for end in ends(events)] == [("completed", finish)] * 2


def test_a_conversation_is_a_prompt_too(events: Captured) -> None:
    """As values or as chat completions spell it, and each message is stored once."""
    model = ScriptedModel(["one", "two"])
    llm = LLM(model, LLMCallLogger())
    talk: list[Any] = [Message("system", "Be short."), {"role": "user", "content": "Hi."}]
    with tachograph.run("desk"):
        llm.inference(talk)
        llm.inference(iter([*talk, assistant("one"), Message("user", "And?")]))
    wanted = [("system", "Be short."), ("user", "Hi."), ("assistant", "one"), ("user", "And?")]
    assert [(message.role, message.text) for message in model.requests[1].messages] == wanted
    assert [(one["role"], one["content"]) for one in messages(events)] == [*wanted, ("assistant", "two")]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ([], "message 0: there is none"),
        (7, "message 0: a prompt is a text or a list of messages, not int"),
        ({"role": "user"}, "message 0: a prompt is a text or a list of messages, not dict"),
        ([{"role": "user", "content": "x"}, {"role": "bot"}], "message 1: a message's role is"),
        (["x"], "message 0: 'str' object has no attribute"),
    ],
)
def test_a_prompt_that_is_none_is_refused(events: Captured, prompt: Any, said: str) -> None:
    """Before anything is sent or recorded."""
    model = Model("x")
    with pytest.raises(InvalidTranscript) as plain:
        LLM(model).inference(prompt)
    with pytest.raises(InvalidTranscript) as stream:
        asyncio.run(heard(LLM(model), prompt))
    assert (str(plain.value)[: len(said)], str(stream.value)[: len(said)]) == (said, said)
    assert (model.asked, list(events)) == (0, [])


def test_a_doubtful_model_is_noted_once(events: Captured) -> None:
    """With its suggestions, at the first call."""
    model = Model("x")
    model.warning = {"model": "gpt-4", "suggestions": [{"id": "gpt-4o"}]}
    llm = LLM(model)
    for _ in range(2):
        llm.inference("x")
    notes = [(event.body.name, said(event.body.data)) for event in events.of(Note)]
    assert notes == [("model_lookup_warning", model.warning)]


# ---- wherever it is called -----------------------------------------------------------------------------------------


def test_calls_inside_a_running_loop_belong_where_they_are_made(database: Path) -> None:
    """Plain, streamed, in tasks at once and in worker threads: each row is below its own execution."""
    model = Model("a", "b")
    llm, executions_ = LLM(model, LLMCallLogger()), ExecutionLogger()

    async def work(name: str) -> None:
        async with executions_.log_execution(name, "plan"):
            assert llm.inference(f"{name} plain") == "ab"
            assert await heard(llm, f"{name} stream") == ["a", "b"]
            assert await asyncio.to_thread(llm.inference, f"{name} thread") == "ab"

    async def main() -> None:
        await asyncio.gather(*(work(f"agent {number}") for number in range(4)))

    asyncio.run(main())
    agents = {row["id"]: row["agent_type"] for row in executions(database)}
    placed = sorted((agents[row["execution_log_id"]], row["prompt"][0]["content"]) for row in calls(database))
    kinds = ("plain", "stream", "thread")
    assert placed == [(f"agent {n}", f"agent {n} {kind}") for n in range(4) for kind in kinds]
    assert model.asked == 12


def test_threads_share_one_loop(events: Captured) -> None:
    """Many plain calls at once need one thread between them, not one each, and wait at the same time."""
    arrived = threading.Barrier(4, timeout=10)
    loops: set[int] = set()

    class Meeting(Model):
        async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
            loops.add(threading.get_ident())
            await asyncio.to_thread(arrived.wait)
            yield Reply(message=assistant("met"), finish="stop")

    llm, found = LLM(Meeting()), list[str]()
    threads = [threading.Thread(target=lambda: found.append(llm.inference("x"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (found, len(loops)) == (["met"] * 4, 1)
    assert [end.status for end in ends(events)] == ["completed"] * 4


def test_what_a_model_records_itself_is_below_the_call(events: Captured) -> None:
    """A model made of other calls and steps, a plain call among them, which would wait for its own loop."""
    inner = LLM(Model("inner"), LLMCallLogger())

    class Outer(Model):
        async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
            with tachograph.step("look up"):
                text = inner.inference("x")
            yield Reply(message=assistant(text), finish="stop")

    assert LLM(Outer(), LLMCallLogger()).inference("y") == "inner"
    places = [(event.seq, event.body.parent) for event in events if isinstance(event.body, STARTS) and event.seq]
    assert [parent for _, parent in places] == [0, *(number for number, _ in places[:-1])]


# ---- how it ends ---------------------------------------------------------------------------------------------------


def test_an_error_of_the_model_passes_as_it_is(events: Captured) -> None:
    """Its row has what came before, what that used, and how the provider answered."""
    partly = Reply(message=assistant("half"), finish="length", usage=USED)
    error = ModelError("rate_limit", "slow down", status=429, partial=partly)
    model = Model(error=error)
    with pytest.raises(ModelError) as plain:
        LLM(model).inference("x")
    with pytest.raises(ModelError) as stream:
        asyncio.run(heard(LLM(model)))
    assert plain.value is stream.value is error
    found = [(end.status, end.usage, end.http_status, end.error.type, end.error.message) for end in ends(events)]
    assert found == [("failed", USED, 429, "tachograph.errors.ModelError", str(error))] * 2
    replies = [said(event.body.message) for event in events if getattr(event.body, "role", "") == "assistant"]
    assert replies == [{"role": "assistant", "content": "half"}] * 2


def test_other_errors_pass_too(events: Captured) -> None:
    """A fault of a model's own is not dressed up; what had come is in the row."""
    model = Model("a ", "b", error=TimeoutError("mine"))
    with pytest.raises(TimeoutError, match="mine"):
        LLM(model).inference("x")
    with pytest.raises(TimeoutError, match="mine"):
        asyncio.run(heard(LLM(model)))
    assert [(end.status, end.error.type, end.chunks) for end in ends(events)] == [
        ("failed", "TimeoutError", None), ("failed", "TimeoutError", 2),
    ]  # fmt: skip
    assert messages(events)[-1]["content"] == "a b"


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_says_nothing_ends_with_its_time(events: Captured, stream: bool) -> None:
    """Also one that does not look at the clock itself."""
    llm = LLM(ScriptedModel([Silent("so far", heeds=False)]))
    with pytest.raises(ModelError) as raised:
        asyncio.run(heard(llm, timeout=0.05)) if stream else llm.inference("x", timeout=0.05)
    assert raised.value.category == "timeout"
    assert [end.status for end in ends(events)] == ["failed"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_s_deadline_is_the_call_s_too(tmp_path: Path, stream: bool) -> None:
    """Control is back when the run's time is over, however long the model may take by itself."""
    system = tachograph.configure(home=tmp_path / "home", drain=False)
    llm = LLM(ScriptedModel([Silent("so far", heeds=False)]))
    since = time.monotonic()
    try:
        with pytest.raises(ModelError) as raised, tachograph.run("desk", limits=Limits(seconds=0.3)):
            asyncio.run(heard(llm)) if stream else llm.inference("x")
    finally:
        system.close()
    assert raised.value.category == "timeout"
    assert 0.25 < time.monotonic() - since < 5


def test_a_run_s_budget_bounds_the_output(tmp_path: Path) -> None:
    """To what is left, or what is usual; where there is no budget the provider decides."""
    model = Model("x")
    llm = LLM(model, LLMCallLogger())
    system = tachograph.configure(home=tmp_path / "home", drain=False)
    try:
        llm.inference("x")
        with tachograph.run("desk", limits=Limits(tokens=10_000, usd=None)):
            llm.inference("x")
            llm.inference("x", max_tokens=50)
        with tachograph.run("desk", limits=Limits(tokens=3_000, usd=None)):
            asyncio.run(heard(llm))
            llm.inference("x")
    finally:
        system.close()
    assert [request.max_tokens for request in model.requests][:3] == [None, 4096, 50]
    assert 2_500 < (model.requests[3].max_tokens or 0) < 3_000
    assert 500 < (model.requests[4].max_tokens or 0) < 1_000


def test_a_model_that_does_not_stream_says_it_all_at_once(events: Captured) -> None:
    """And thinking is no text of the reply."""

    class Blunt(Model):
        async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
            yield ReasoningDelta("hm")
            yield Reply(message=assistant("all of it"), finish="stop")

    assert asyncio.run(heard(LLM(Blunt()))) == ["all of it"]
    assert [(end.status, end.chunks) for end in ends(events)] == [("completed", 2)]


async def _closed(pieces: Any) -> None:
    await anext(pieces)
    await pieces.aclose()


async def _dropped(pieces: Any) -> None:
    async for _ in pieces:
        break
    del pieces
    gc.collect()
    await asyncio.sleep(0.05)


async def _cancelled(pieces: Any) -> None:
    async def read() -> None:
        async for _ in pieces:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _thrown(pieces: Any) -> None:
    await anext(pieces)
    with pytest.raises(asyncio.CancelledError):
        await pieces.athrow(asyncio.CancelledError())


async def _left(pieces: Any) -> None:
    await anext(pieces)  # and the event loop ends


@pytest.mark.parametrize("leave", [_closed, _dropped, _cancelled, _thrown, _left])
def test_a_stream_that_is_left_early_is_cancelled(events: Captured, leave: Callable[[Any], Any]) -> None:
    """Its row ends, its request ends, and what came is kept."""
    model = Model("a", HOLD)
    llm = LLM(model, LLMCallLogger())

    async def main() -> None:
        await leave(llm.inference_stream("x"))

    asyncio.run(main())
    assert [(end.status, end.chunks) for end in ends(events)] == [("cancelled", 1)]
    assert (model.asked, model.over) == (1, 1)


def test_a_stream_that_nobody_reads_asks_nobody(events: Captured) -> None:
    """It begins with its first piece."""
    model = Model("a")

    async def main() -> None:
        await LLM(model).inference_stream("x").aclose()

    asyncio.run(main())
    assert (model.asked, list(events)) == (0, [])


def test_a_model_that_is_called_off_ends_its_row_as_cancelled(events: Captured) -> None:
    """A plain call then raises an ordinary error: nobody cancelled its caller."""
    with pytest.raises(ModelError) as raised:
        LLM(Model(error=asyncio.CancelledError())).inference("x")
    assert raised.value.category == "cancelled"
    assert [end.status for end in ends(events)] == ["cancelled"]


# ---- which model ---------------------------------------------------------------------------------------------------


class Row:
    """A model as an application keeps it."""

    def __init__(self, provider: object, **facts: object) -> None:
        self.provider, self.model_id = provider, "gpt-4o"
        for name, value in facts.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("model", "config", "provider", "url"),
    [
        ("gpt-4o", {"api_key": "k"}, "openai", "https://api.openai.com/v1"),
        ("anthropic:claude-sonnet-4-5", {"api_key": "k"}, "anthropic", "https://api.anthropic.com"),
        (Row("openai", api_key="k"), {}, "openai", "https://api.openai.com/v1"),
        (Row(SimpleNamespace(provider_type="openai")), {"api_key": "k"}, "openai", "https://api.openai.com/v1"),
        (Row("vllm", base_url="http://localhost:9/v1"), {}, "vllm", "http://localhost:9/v1"),
        (Row("vllm", base_url="http://a:9/v1", api_key="k"), {"base_url": "http://b:9/v1"}, "vllm", "http://b:9/v1"),
    ],
)
def test_a_model_is_a_name_or_an_object_that_names_one(model: Any, config: Any, provider: str, url: str) -> None:
    """With the application's key and address; what the program says itself counts before them."""
    llm = LLM(model, None, **config)
    assert (llm.provider, llm.model.config.url) == (provider, url)  # type: ignore[attr-defined]
    assert llm.model_id in ("gpt-4o", "claude-sonnet-4-5")


@pytest.mark.parametrize(
    ("arguments", "config", "said"),
    [
        ((object(),), {}, "model='object' cannot be used: a name such as"),
        ((Row("nobody"),), {"api_key": "k"}, "provider='nobody' cannot be used"),
        ((Model(), ExecutionLogger()), {}, "llm_call_logger='ExecutionLogger' cannot be used: an LLMCallLogger"),
        ((Model(),), {"temperature": 1}, "temperature=1 cannot be used: a setting of a named model"),
        (("gpt-4o",), {"temprature": 1, "api_key": "k"}, "temprature=1 cannot be used: no such setting"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: Any, config: Any, said: str) -> None:
    """When it is handed over, with what to hand over instead."""
    with pytest.raises(SettingsError) as raised:
        LLM(*arguments, **config)
    assert str(raised.value).startswith(said)
