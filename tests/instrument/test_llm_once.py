"""One call of `LLM` is one request: whatever fails, wherever it is called, however it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tachograph
from tachograph import LLM, LimitExceeded
from tachograph.compose import System
from tachograph.errors import ModelError
from tachograph.instrument.logging import LLMCallLogger
from tachograph.limits.guard import Intent, Notice, Refused, Settled, Spent, Ticket
from tachograph.record import scope
from tachograph.settings import Settings
from tachograph.testing import Captured, capture, tick_clock
from tests.house.source import environment
from tests.instrument.asked import Model, ends, heard, models, raising
from tests.instrument.test_logging import LOGGER_PARTS
from tests.providers.replay_server import Answer, ReplayServer, serving
from tests.record.test_faults import PARTS, explode

# ---- one request a call --------------------------------------------------------------------------------------------


def program(good: Model, bad: Model, logger: LLMCallLogger | None) -> list[Any]:
    """Every way to call, each with an answer and with an error; what a user of it sees."""
    seen: list[Any] = []

    def plain(model: Model) -> None:
        try:
            seen.append(LLM(model, logger).inference("x", execution_log_id="exec_1", report_id="r", metadata=object()))
        except ModelError as error:
            seen.append(error.category)

    async def stream(model: Model, most: int = 9) -> None:
        try:
            async with contextlib.aclosing(LLM(model, logger).inference_stream("x", completion_id="c")) as pieces:
                async for piece in pieces:
                    seen.append(piece)
                    most -= 1
                    if not most:
                        break
        except ModelError as error:
            seen.append(error.category)

    async def inside() -> None:
        for model in (good, bad):
            plain(model)
            await stream(model)
        await stream(good, most=1)

    for model in (good, bad):
        plain(model)
    asyncio.run(inside())
    return seen


WANTED = ["ab", "overloaded", "ab", "a", "b", "overloaded", "a", "overloaded", "a"]
LLM_PARTS: dict[str, Any] = {
    **{name: lambda _, patch, path=path: patch.setattr(f"tachograph.{path}", explode) for name, path in {
        "log_llm_call": "instrument.logging.LLMCallLogger.log_llm_call",
        "begin": "instrument.llm_call_log.LLMCallLog.begin",
        "finish": "instrument.llm_call_log.LLMCallLog.finish",
        "add": "instrument.llm_call_log.LLMCallLog.add",
        "params": "providers.told.params_of",
        "replied": "providers.told.replied",
        "failed": "providers.told.failed",
    }.items()},
    "warning": lambda _, patch: patch.setattr(Model, "warning", property(explode)),
}  # fmt: skip
ALL_PARTS = {**PARTS, **LOGGER_PARTS, **LLM_PARTS}
ELSEWHERE = {"row", "results", "chunks", "heard"}
"""Parts of the loggers that these calls have nothing to do with."""


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


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("part", [part for part in ALL_PARTS if part not in ELSEWHERE])
def test_a_program_is_never_touched_by_what_records_it(
    part: str, logged: bool, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever part of us raises: the same texts and errors, each model asked once a call, and the loss counted."""
    good, bad = models()
    with monkeypatch.context() as patch:
        ALL_PARTS[part](system, patch)
        seen = program(good, bad, LLMCallLogger() if logged else None)
    assert (seen, good.asked, bad.asked) == (WANTED, 4, 3)
    assert (good.over, bad.over) == (4, 3)
    health = system.recorder.health
    if part not in ("recorder", "find"):
        assert sum(health.lost.values()) + sum(health.faults.values()) > 0


def test_the_program_of_these_tests_is_recorded_when_nothing_is_broken(events: Captured) -> None:
    """Else the tests above would prove nothing."""
    good, bad = models()
    assert (program(good, bad, LLMCallLogger()), good.asked, bad.asked) == (WANTED, 4, 3)
    states = ["completed", "failed", "completed", "completed", "failed", "failed", "cancelled"]
    assert [end.status for end in ends(events)] == states


@pytest.mark.parametrize("at", ["start", "no row", "begin", "add", "finish", "everywhere"])
def test_a_logger_that_fails_costs_no_second_request(events: Captured, at: str) -> None:
    """Where it gives no row, the call is recorded all the same."""
    good, bad = models()
    assert (program(good, bad, raising(at)), good.asked, bad.asked) == (WANTED, 4, 3)
    if at in ("start", "no row"):
        assert len(ends(events)) == 7


def _fill(system: System) -> None:
    """Record until there is no room."""
    with tachograph.run("filler") as filler:
        for _ in range(5_000):
            filler.note("n", "x" * 500)
            if system.recorder.health.lost:
                return


@pytest.mark.parametrize("where", ["full", "no store"])
def test_nowhere_to_record_costs_no_second_request(tmp_path: Path, where: str) -> None:
    """A journal that is full, a store that cannot be opened."""
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    good, bad = models()
    settings: dict[str, Any] = {"home": tmp_path / "home", "drain": False}
    if where == "full":
        settings |= {"segment_bytes": 65_536, "journal_bytes": 65_536}
    made = tachograph.configure(**settings)
    logger = LLMCallLogger() if where == "full" else LLMCallLogger(f"sqlite:{blocked / 'x.db'}")
    try:
        if where == "full":
            _fill(made)
        assert (program(good, bad, logger), good.asked, bad.asked) == (WANTED, 4, 3)
        assert where != "full" or sum(made.recorder.health.lost.values()) > 0
    finally:
        made.close()


class Closed:
    """A guard that allows no model call."""

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
        """None."""
        return Refused("max_llm_calls", 0, 1, 0) if intent.kind == "llm" else Ticket()

    def settle(self, ticket: Ticket, settled: Settled, now: int) -> tuple[Notice, ...]:
        """Nothing."""
        return ()


@pytest.mark.parametrize("logger", [None, LLMCallLogger()])
def test_a_limit_refuses_before_the_request(logger: LLMCallLogger | None) -> None:
    """LimitExceeded is the one error of ours that comes out, and nothing was sent."""
    model = Model("x")
    with capture(Closed()):
        with pytest.raises(LimitExceeded):
            LLM(model, logger).inference("x")
        with pytest.raises(LimitExceeded):
            asyncio.run(heard(LLM(model, logger)))
    assert model.asked == 0


# ---- processes -----------------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, json, os, sys, threading
from tachograph import LLM
from tachograph.events.call import CallEnded
from tachograph.events.chat import assistant
from tachograph.providers.port import Reply
from tachograph.providers.scripted import ScriptedModel
from tachograph.testing import capture
"""


def run_program(text: str) -> subprocess.Popen[str]:
    """A program in a process of its own."""
    here = environment(PYTHONDONTWRITEBYTECODE="1", PYTHONWARNINGS="error")
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", PROGRAM + text], env=here, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def test_ctrl_c_ends_a_plain_call() -> None:
    """As cancelled, with the request let go of, and nothing left to say at the exit."""
    program = run_program("""
class Slow(ScriptedModel):
    async def ask(self, request):
        self.requests.append(request)
        try:
            print("asked\\n", end="", flush=True)
            await asyncio.sleep(60)
            yield
        finally:
            print("let go\\n", end="", flush=True)
with capture() as events:
    model = Slow([])
    try:
        LLM(model).inference("x")
    except KeyboardInterrupt:
        statuses = [event.body.status for event in events.of(CallEnded)]
        print(f"{statuses} {len(model.requests)}\\n", end="", flush=True)
""")
    assert program.stdout
    assert program.stdout.readline() == "asked\n"
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=20)
    assert (sorted(out.splitlines()), err, program.returncode) == (["['cancelled'] 1", "let go"], "", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_calls_by_itself() -> None:
    """The parent's thread is not there; it has one of its own, and both end cleanly."""
    program = run_program("""
model = ScriptedModel(["before", "after", "again"])
with capture():
    llm = LLM(model)
    assert llm.inference("x") == "before"
    child = os.fork()
    assert llm.inference("x") == "after"
    if child == 0:
        assert sum(thread.name == "tachograph-calls" for thread in threading.enumerate()) == 1
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert llm.inference("x") == "again"
    print("both")
""")
    out, err = program.communicate(timeout=20)
    assert (out, err, program.returncode) == ("both\n", "", 0)


def test_closing_lets_go_of_the_model_s_connections(events: Captured) -> None:
    """Those of plain calls; it may be used again."""
    model = Model("x")
    llm = LLM(model)
    llm.inference("x")
    llm.close()
    assert (llm.inference("x"), model.closed) == ("x", 1)


# ---- over HTTP -----------------------------------------------------------------------------------------------------

JSON = (("content-type", "application/json"), ("x-request-id", "req_1"))
STREAM = (("content-type", "text/event-stream"),)
COUNTS = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def _said(**choice: Any) -> dict[str, Any]:
    return {"id": "c1", "created": 1, "model": "gpt-4o-2024-08-06", "choices": [{"index": 0, **choice}]}


WHOLE = json.dumps(
    {
        **_said(message={"role": "assistant", "content": "Hi you."}, finish_reason="stop"),
        "object": "chat.completion", "usage": COUNTS,
    }
).encode()  # fmt: skip


def _event(**body: Any) -> bytes:
    return f"data: {json.dumps({'object': 'chat.completion.chunk', **body})}\n\n".encode()


CHUNKS = [
    _event(**_said(delta={"role": "assistant", "content": "Hi "}, finish_reason=None)),
    _event(**_said(delta={"content": "you."}, finish_reason=None)),
    _event(**_said(delta={}, finish_reason="stop")),
    _event(**{**_said(), "choices": []}, usage=COUNTS),
    b"data: [DONE]\n\n",
]
REFUSED = Answer([b'{"error": {"message": "no", "type": "server_error"}}'], 500, JSON)
BUSY = Answer([b'{"error": {"message": "no"}}'], 429, (*JSON, ("retry-after", "0")))


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    """A provider on loopback, asked once: loading its client counts as a part of the first request's time."""
    pytest.importorskip("pydantic_ai")
    with serving() as made:
        made.play("chat-first", Answer(CHUNKS, headers=STREAM))
        with capture():
            assert asyncio.run(heard(LLM("gpt-4o", provider="openai", base_url=made.url("chat-first")))) == [
                "Hi ",
                "you.",
            ]
        yield made


@pytest.mark.parametrize("logger", [LLMCallLogger(), raising("everywhere")])
@pytest.mark.parametrize(
    ("answer", "stream", "wanted"),
    [
        (Answer([WHOLE], headers=JSON), False, "Hi you."),
        (Answer(CHUNKS, headers=STREAM), True, "Hi you."),
        (REFUSED, False, "server_error"),
        (REFUSED, True, "server_error"),
        (BUSY, False, "rate_limit"),
        (BUSY, True, "rate_limit"),
        (Answer(CHUNKS[:2], headers=STREAM, end="cut"), True, "Hi you.network"),
        (Answer(CHUNKS[:2], headers=STREAM), True, "Hi you.network"),
        (Answer(CHUNKS[:2], headers=STREAM, end="open"), True, "Hi you.timeout"),
        (Answer([WHOLE[:20]], headers=JSON, end="open"), False, "timeout"),
    ],
)
def test_over_http_one_call_is_one_request(
    events: Captured, server: ReplayServer, logger: LLMCallLogger, answer: Answer, stream: bool, wanted: str
) -> None:
    """Whatever the provider answers, through the real client library, plain calls inside a running loop."""
    seen = server.play("chat-llm", answer, answer, answer)
    llm = LLM("gpt-4o", logger, provider="openai", base_url=server.url("chat-llm"), api_key="k", request_timeout=0.8)
    told: list[str] = []

    async def main() -> None:
        try:
            if stream:
                async for piece in llm.inference_stream("x"):
                    told.append(piece)  # noqa: PERF401 - what came before an error counts
            else:
                told.append(llm.inference("x"))
        except ModelError as error:
            told.append(error.category)

    asyncio.run(main())
    llm.close()
    assert ("".join(told), len(seen), seen[0].body.get("stream", False)) == (wanted, 1, stream)
    if type(logger) is LLMCallLogger:
        (end,) = ends(events)
        assert end.status == ("completed" if wanted == "Hi you." else "failed")
        used = (end.usage.input_total, end.usage.output, end.response_id, end.http_status)
        assert end.status == "failed" or used == (9, 2, "c1", 200)


def test_over_http_a_stream_left_early_is_one_request_that_ends(events: Captured, server: ReplayServer) -> None:
    """The server sees its client go."""
    seen = server.play("chat-left", Answer(CHUNKS[:1], headers=STREAM, end="open"))
    llm = LLM("gpt-4o", provider="openai", base_url=server.url("chat-left"), api_key="k")

    async def main() -> None:
        async for _ in llm.inference_stream("x"):
            break
        await asyncio.sleep(0.1)

    asyncio.run(main())
    assert (len(seen), seen[0].left.wait(5)) == (1, True)
    assert [(end.status, end.chunks) for end in ends(events)] == [("cancelled", 1)]
