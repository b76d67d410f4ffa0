"""docs/compatibility.md, "Execution and LLM call logging": programs written for the interface it describes, run."""

# What the loggers return may be awaited, and need not be.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.orm import Session, sessionmaker

import tachograph
from tachograph import compose
from tachograph.instrument.logging import ExecutionLogger, LLMCallLogger
from tachograph.settings import Settings
from tests.instrument.stored import SOON, calls, executions

WATCHED = ("connect", "checkout", "begin", "commit", "rollback", "before_cursor_execute")


@pytest.fixture
def app_file(tmp_path: Path) -> Iterator[Path]:
    """The application's database, with a table of its own."""
    path = tmp_path / "app.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")
    engine.dispose()
    compose.configure(home=tmp_path / "home", drain_interval=0.02)
    yield path
    for system in compose._systems():
        system.close()


def watched(engine: sqlalchemy.Engine) -> list[str]:
    """Everything that happens on an engine's connections from now on."""
    seen: list[str] = []
    for name in WATCHED:
        sqlalchemy.event.listen(engine, name, lambda *_, name=name: seen.append(name))
    return seen


# ---- an application with a language model and an agent -------------------------------------------------------------


class Provider:
    """A model behind an API: counts requests, and may fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.requests, self.fails = 0, fails

    def ask(self, prompt: str) -> tuple[str, int, int]:
        """An answer with its tokens."""
        self.requests += 1
        if self.fails:
            raise ConnectionError("no answer")
        return f"answer to {prompt}", 1500, 500

    async def stream(self, prompt: str) -> AsyncIterator[Any]:
        """An answer in chunks, the tokens in the last one."""
        answer, given, made = self.ask(prompt)
        for word in answer.split():
            yield {"choices": [{"delta": {"content": word}}]}
        yield {"choices": [], "usage": {"prompt_tokens": given, "completion_tokens": made}}


class LLM:
    """The application's own class around its provider, which logs when it has a logger."""

    def __init__(self, provider: Provider, llm_call_logger: LLMCallLogger | None = None) -> None:
        self.provider, self.logger = provider, llm_call_logger

    def inference(self, prompt: str, **links: Any) -> str:
        """A plain call; also from inside a running event loop."""
        if self.logger is None:
            return self.provider.ask(prompt)[0]
        with self.logger.log_llm_call(provider="openai", model_id="gpt-4", prompt=prompt, **links) as call:
            answer, call.input_tokens, call.output_tokens = self.provider.ask(prompt)
            call.response = answer
            return answer

    def inference_stream(self, prompt: str, **links: Any) -> AsyncIterator[Any]:
        """A streamed call."""
        stream = self.provider.stream(prompt)
        if self.logger is None:
            return stream
        return self.logger.log_streaming_call("openai", "gpt-4", prompt, stream, **links)


class Agent:
    """The application's agent: it has loggers when it has a database session."""

    def __init__(self, db: object, provider: Provider) -> None:
        self.execution_logger = ExecutionLogger(db)
        self.llm_call_logger = LLMCallLogger(db)
        self.llm = LLM(provider, self.llm_call_logger)

    async def main_execution(self, prompt: str, report_id: str) -> str:
        """Plan, execute, observe."""
        async with self.execution_logger.log_execution(
            agent_type="main_agent", execution_step="main_execution", action_type="agent_workflow", report_id=report_id
        ) as main:
            async with self.execution_logger.log_execution(agent_type="planner", execution_step="plan") as plan:
                plan.output_data = {"plan": self.llm.inference(prompt)}
            async with self.execution_logger.log_execution(agent_type="coder", execution_step="execute"):
                words = [chunk async for chunk in self.llm.inference_stream(prompt)]
            await self.execution_logger.log_observation("main_agent", {"chunks": len(words)})
            main.output_data = {"result": "done"}
        return "done"


# ---- its snippets --------------------------------------------------------------------------------------------------


def use_async(work: Any) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


def test_the_agent_s_whole_workflow_is_logged(app_file: Path) -> None:
    """One run for the workflow, a step for each part, each call at its step; all found by one execution id."""
    engine = sqlalchemy.create_engine(f"sqlite:///{app_file}")
    provider = Provider()
    with Session(engine) as db_session:
        agent = Agent(db_session, provider)
        assert use_async(agent.main_execution("Create a sales dashboard", "report_456")) == "done"
    rows, made = executions(app_file), calls(app_file)
    assert [(row["agent_type"], row["execution_step"], row["action_type"], row["status"]) for row in rows] == [
        ("main_agent", "main_execution", "agent_workflow", "completed"),
        ("planner", "plan", None, "completed"),
        ("coder", "execute", None, "completed"),
        ("main_agent", "observe", "observation", "completed"),
    ]
    assert len({row["execution_id"] for row in (*rows, *made)}) == 1
    assert [row["parent_id"] for row in rows] == [None, *[rows[0]["id"]] * 3]
    assert [call["execution_log_id"] for call in made] == [rows[1]["id"], rows[2]["id"]]
    assert [(call["call_type"], call["total_cost"], call["chunks_count"]) for call in made] == [
        ("inference", 0.075, None), ("inference_stream", 0.075, 7),
    ]  # fmt: skip
    assert made[1]["response"] == [{"role": "assistant", "content": "answertoCreateasalesdashboard"}]
    assert (rows[0]["report_id"], rows[3]["input_data"], provider.requests) == ("report_456", {"chunks": 7}, 2)


def test_the_context_manager(app_file: Path) -> None:
    """`async with`, output and metadata set inside."""
    execution_logger = ExecutionLogger(f"sqlite:{app_file}?shared")

    async def work() -> None:
        async with execution_logger.log_execution(
            agent_type="custom_agent", execution_step="custom_task", input_data={"param": "value"}
        ) as log_context:
            log_context.output_data = {"result": 1}
            log_context.metadata = {"additional": "info"}

    use_async(work())
    (row,) = executions(app_file)
    assert (row["agent_type"], row["execution_step"], row["input_data"], row["output_data"], row["metadata"]) == (
        "custom_agent", "custom_task", {"param": "value"}, {"result": 1}, {"additional": "info"},
    )  # fmt: skip


@pytest.mark.parametrize("error", [None, ValueError("no plan")])
def test_executions_by_hand(app_file: Path, error: Exception | None) -> None:
    """Started, then ended as completed or failed; awaited as the program is used to."""
    execution_logger = ExecutionLogger(f"sqlite:{app_file}?shared")

    async def generate_plan() -> list[str]:
        if error is not None:
            raise error
        return ["create_widget"]

    async def work() -> None:
        execution_log = await execution_logger.start_execution(
            agent_type="planner",
            execution_step="plan",
            action_type="generate_plan",
            input_data={"schemas": "…", "prompt": "Create a sales dashboard"},
            report_id=uuid.UUID(int=1),
            completion_id=uuid.UUID(int=2),
        )
        try:
            plan = await generate_plan()
            await execution_logger.end_execution(execution_log, status="completed", output_data={"plan": plan})
        except ValueError as e:
            await execution_logger.end_execution(execution_log, status="failed", error_message=str(e))

    use_async(work())
    (row,) = executions(app_file)
    assert (row["action_type"], row["report_id"], row["completion_id"]) == (
        "generate_plan", str(uuid.UUID(int=1)), str(uuid.UUID(int=2)),
    )  # fmt: skip
    assert (row["status"], row["output_data"], row["error_message"], row["error_type"]) == (
        ("completed", {"plan": ["create_widget"]}, None, None)
        if error is None
        else ("failed", None, "no plan", "ValueError")
    )


def test_calls_that_name_an_execution_and_a_report(app_file: Path) -> None:
    """A text that is no execution of this process groups the call; a plain call works inside a running loop."""
    provider = Provider()
    llm = LLM(provider, llm_call_logger=LLMCallLogger(f"sqlite:{app_file}?shared"))

    async def work() -> None:
        llm.inference(prompt="What is AI?", execution_log_id="exec_123", report_id="report_456")
        async for _ in llm.inference_stream(prompt="Explain machine learning", execution_log_id="exec_123"):
            pass

    use_async(work())
    plain, stream = calls(app_file)
    assert (plain["execution_id"], plain["report_id"], plain["status"]) == ("exec_123", "report_456", "completed")
    assert (stream["execution_id"], stream["input_tokens"], stream["output_tokens"], stream["chunks_count"]) == (
        "exec_123", 1500, 500, 6,
    )  # fmt: skip
    assert (plain["input_cost"], plain["output_cost"], plain["total_cost"], provider.requests) == (
        0.045, 0.03, 0.075, 2,
    )  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("logger", ["none", "works", "no store", "ends badly"])
def test_the_provider_is_asked_once_in_every_failure_mode(
    app_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logger: str, fails: bool
) -> None:
    """With or without a logger, whether the provider, the store or the logger itself fails."""
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    target = f"sqlite:{blocked / 'x.db' if logger == 'no store' else app_file}"
    made = None if logger == "none" else LLMCallLogger(target)
    provider = Provider(fails=fails)
    llm = LLM(provider, made)
    if logger == "ends badly":
        monkeypatch.setattr("tachograph.instrument.llm_call_log.LLMCallLog._say_results", lambda *_: 1 // 0)

    async def both() -> list[Any]:
        seen: list[Any] = []
        try:
            seen.append(llm.inference("x"))
        except ConnectionError as error:
            seen.append(str(error))
        try:
            seen.append(len([chunk async for chunk in llm.inference_stream("x")]))
        except ConnectionError as error:
            seen.append(str(error))
        return seen

    assert use_async(both()) == (["no answer"] * 2 if fails else ["answer to x", 4])
    assert provider.requests == 2


# ---- sessions ------------------------------------------------------------------------------------------------------


def test_a_session_s_transaction_is_never_touched(app_file: Path) -> None:
    """Nothing happens on its connection, its rows are rolled back as it says, and the log is kept."""
    engine = sqlalchemy.create_engine(f"sqlite:///{app_file}")
    with sessionmaker(engine)() as session:
        session.execute(sqlalchemy.text("INSERT INTO orders (item) VALUES ('bicycle')"))
        seen = watched(engine)
        executions_, calls_ = ExecutionLogger(session), LLMCallLogger(session)
        with executions_.log_execution("planner", "plan") as row:
            with calls_.log_llm_call("openai", "gpt-4", prompt="hi") as call:
                call.response = "yo"
            row.output_data = 1
        time.sleep(0.1)
        assert (seen, session.in_transaction(), session.new, session.dirty) == ([], True, session.new, session.dirty)
        session.rollback()
        assert seen == ["rollback"]
        assert session.scalar(sqlalchemy.text("SELECT count(*) FROM orders")) == 0
    engine.dispose()
    assert [row["execution_step"] for row in executions(app_file)] == ["plan"]
    assert len(calls(app_file)) == 1


def test_an_async_session_s_transaction_is_never_touched(app_file: Path) -> None:
    """The same of an `AsyncSession`."""
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    async def work() -> list[str]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{app_file}")
        async with AsyncSession(engine) as session:
            await session.execute(sqlalchemy.text("INSERT INTO orders (item) VALUES ('bicycle')"))
            seen = watched(engine.sync_engine)
            logger = ExecutionLogger(session)
            async with logger.log_execution("planner", "plan") as row:
                await logger.log_observation("planner", {"x": 1})
                row.output_data = 1
            await asyncio.sleep(0.1)
            assert (seen, session.in_transaction()) == ([], True)
            await session.rollback()
            assert await session.scalar(sqlalchemy.text("SELECT count(*) FROM orders")) == 0
        await engine.dispose()
        return seen

    assert use_async(work())[0] == "rollback"
    assert [row["execution_step"] for row in executions(app_file)] == ["plan", "observe"]


# ---- what may be handed over, and what may go wrong ----------------------------------------------------------------


def test_any_data_is_stored_and_bounded(app_file: Path) -> None:
    """What JSON has no word for, what poisons readers, what never ends and what is very large."""
    loop: dict[str, Any] = {"name": "loop"}
    loop["self"] = loop
    data = {
        "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "id": uuid.UUID(int=5), "bytes": b"\x00\xff",
        "nan": float("nan"), "surrogate": "a\ud800b", "nul": "a\x00b", "loop": loop, "set": {1},
    }  # fmt: skip
    logger = ExecutionLogger(f"sqlite:{app_file}?shared")
    with logger.log_execution("agent", "odd", input_data=data, metadata=data) as row:
        row.output_data = data
    with logger.log_execution("agent", "large", input_data="x" * 10_000_000) as row:
        row.output_data = ["y" * 100] * 200_000
    odd, large = executions(app_file)
    assert [set(odd[name]) for name in ("input_data", "output_data", "metadata")] == [set(data)] * 3
    assert odd["input_data"]["when"].startswith("2026-01-02T00:00:00")
    assert (odd["input_data"]["id"], odd["input_data"]["nul"]) == (str(uuid.UUID(int=5)), "a\x00b")
    assert odd["input_data"]["surrogate"] == "a\ufffdb"
    assert all(len(str(large[name])) <= 9_000_000 for name in ("input_data", "output_data"))
    assert large["input_data"].startswith("x" * 1_000_000)


def test_a_store_that_takes_nothing_changes_no_result(tmp_path: Path) -> None:
    """The folder cannot be written: the agent's result is the same, and the loss is counted."""
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    compose.configure(home=tmp_path / "home")
    provider = Provider()
    agent = Agent(f"sqlite:{blocked / 'x.db'}", provider)
    assert use_async(agent.main_execution("x", "r")) == "done"
    lost = compose.system_for(f"sqlite:{blocked / 'x.db'}").recorder.health.lost
    assert (provider.requests, lost["journal_write"] > 0) == (2, True)
    for system in compose._systems():
        system.close()


KILLED = """
import os, signal, sys
from tachograph.instrument.logging import ExecutionLogger, LLMCallLogger
executions, calls = ExecutionLogger(sys.argv[1]), LLMCallLogger(sys.argv[1])
done = executions.start_execution("planner", "done")
executions.end_execution(done, output_data=1)
row = executions.start_execution("planner", "plan", report_id="r")
call = calls.start_llm_call("openai", "gpt-4", prompt="hi", execution_log_id=row.id)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_rows_of_a_killed_process_do_not_stay_started(tmp_path: Path) -> None:
    """`kill -9` in the middle: what was logged is there, what was open is abandoned."""
    store = tmp_path / "logs.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(store)], env=environment, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    recovered(store)
    assert [(row["execution_step"], row["status"], row["report_id"]) for row in executions(store)] == [
        ("done", "completed", None), ("plan", "abandoned", "r"),
    ]  # fmt: skip
    (call,) = calls(store)
    assert (call["status"], call["prompt"]) == ("abandoned", [{"role": "user", "content": "hi"}])


def recovered(path: Path) -> None:
    """Move into a store what processes that are gone have left."""
    settings = Settings(home=path.parent / "home", store=f"sqlite:{path}")
    drain = compose.drain_for(settings, compose.scrubber_for(settings))
    assert drain.elected()
    drain.round()
    drain.close()


TERMINATED = """
import os, signal, sys, time, tachograph
from tachograph.instrument.logging import ExecutionLogger
loggers = [ExecutionLogger(path) for path in sys.argv[1:]]
with tachograph.run("own"):
    rows = [logger.start_execution("planner", "plan") for logger in loggers]
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
"""


def test_a_signal_ends_the_rows_of_every_store(tmp_path: Path) -> None:
    """SIGTERM: the executions of all loggers are cancelled before the process goes."""
    paths = [tmp_path / "one.db", tmp_path / "two.db"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", TERMINATED, *map(str, paths)], env=environment, check=False, timeout=60
    )
    assert ended.returncode == -signal.SIGTERM
    paths.append(Path(os.environ["TACHOGRAPH_HOME"]) / "tachograph.db")
    for path in paths:
        recovered(path)
    assert [[row["status"] for row in executions(path)] for path in paths] == [["cancelled"]] * 3


FORKED = """
import os, sys, tachograph
from tachograph.instrument.logging import ExecutionLogger
logger = ExecutionLogger(sys.argv[1])
with logger.log_execution("agent", "parent") as row:
    pid = os.fork()
    if pid == 0:
        with logger.log_execution("agent", "child") as inner:
            pass
        row.output_data = "not yours"
        logger.end_execution(row)
        tachograph.flush(20)
        os._exit(0)
    os.waitpid(pid, 0)
    row.output_data = "mine"
"""


def test_a_fork_has_its_own_rows(tmp_path: Path) -> None:
    """What the child logs is an execution below the parent's; the parent's row stays the parent's."""
    store = tmp_path / "logs.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(store)], env=environment, check=False, timeout=60, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    rows = {row["execution_step"]: row for row in executions(store)}
    assert {name: (row["status"], row["output_data"]) for name, row in rows.items()} == {
        "parent": ("completed", "mine"), "child": ("completed", None),
    }  # fmt: skip
    assert rows["parent"]["run_id"] != rows["child"]["run_id"]


def test_loggers_of_one_store_share_their_recorder(database: Path, tmp_path: Path) -> None:
    """And nest in what the program records there otherwise; in another store they do not."""
    mine, other = ExecutionLogger(database), ExecutionLogger(tmp_path / "other.db")
    with (
        tachograph.run("desk") as desk,
        mine.log_execution("planner", "plan") as row,
        other.log_execution("planner", "apart") as apart,
    ):
        pass
    assert (row.run_id, row.parent_id, apart.parent_id) == (desk.run_id, desk.id, None)
    assert [row["execution_step"] for row in executions(database)] == ["desk", "plan"]
    assert [row["execution_step"] for row in executions(tmp_path / "other.db")] == ["apart"]


def test_late_tokens_reach_the_stored_row(database: Path) -> None:
    """Tokens and cost of a call that was ended, and stored, without them."""
    logger = LLMCallLogger()
    logger.token_prices["custom-model"] = {"input": 0.001, "output": 0.002}
    rows = [
        logger.end_llm_call(logger.start_llm_call("openai", model), response="ok")
        for model in ("gpt-4", "custom-model")
    ]
    assert [(call["total_tokens"], call["total_cost"]) for call in calls(database)] == [(None, None)] * 2
    for row in rows:
        logger.update_token_usage(row, 1500, 500)
    found = calls(database)
    assert [(call["total_tokens"], call["total_cost"], call["price_id"].partition("@")[0]) for call in found] == [
        (2000, 0.075, "openai/gpt-4"), (2000, 0.0025, "program:override:custom-model"),
    ]  # fmt: skip
    assert [call["total_cost"] for call in found] == [row.total_cost for row in rows]


def test_a_row_says_what_is_stored(database: Path) -> None:
    """Every column of both tables, but for how a prompt is spelled."""
    execution, call_logger = ExecutionLogger(), LLMCallLogger()
    with execution.log_execution("planner", "plan", "generate_plan", {"a": 1}, report_id="r", external_platform="slack",
                                 external_user_id="U1", metadata={"m": 1}) as row:  # fmt: skip
        row.output_data = {"plan": []}
        with call_logger.log_llm_call("openai", "gpt-4", prompt="hi", report_id="r", metadata={"m": 1}) as call:
            call.response, call.input_tokens, call.output_tokens = "yo", 1500, 500
    (stored,), (stored_call,) = executions(database), calls(database)
    assert {name: stored[name] for name in row.COLUMNS} == _spelled(row.as_dict())
    said = {**call.as_dict(), "prompt": [{"role": "user", "content": "hi"}],
            "response": [{"role": "assistant", "content": "yo"}]}  # fmt: skip
    assert {name: stored_call[name] for name in call.COLUMNS} == _spelled(said)


def _spelled(row: dict[str, Any]) -> dict[str, Any]:
    """Times as the views spell them."""
    stamp = "%Y-%m-%dT%H:%M:%S.%fZ"
    return {
        name: value.strftime(stamp) if isinstance(value, datetime.datetime) else value for name, value in row.items()
    }


def test_flush_covers_every_store(database: Path, tmp_path: Path) -> None:
    """The process's own, and those of loggers."""
    with tachograph.run("desk"), ExecutionLogger(tmp_path / "other.db").log_execution("a", "b"):
        pass
    assert tachograph.flush(SOON)
    assert len(executions(tmp_path / "other.db")) == len(executions(database)) == 1
