from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tachograph.events.content import digest, inline
from tachograph.events.ids import step_id
from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.store.ports import Batch
from tachograph.store.sqlite import views
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.kept import call_run
from tests.queries.kept import batch
from tests.strategies import Tape

EXECUTION_LOG = (
    "id", "execution_id", "agent_type", "execution_step", "action_type", "status", "start_time", "end_time",
    "duration_ms", "input_data", "output_data", "error_message", "metadata", "report_id", "completion_id", "widget_id",
    "step_id", "external_platform", "external_user_id", "created_at", "updated_at",
)  # fmt: skip
LLM_CALL_LOG = (
    "id", "execution_log_id", "provider", "model_id", "call_type", "status", "start_time", "end_time", "duration_ms",
    "prompt", "response", "error_message", "input_tokens", "output_tokens", "total_tokens", "input_cost",
    "output_cost", "total_cost", "is_streaming", "chunks_count", "metadata", "report_id", "completion_id",
    "created_at", "updated_at",
)  # fmt: skip
_FAILURE = Failure("KeyError", "not there")
_COST = {"usage": Usage(10, 5, None, 7, basis="provider"), "cost": Cost("priced", 10_000, 20_000, 30_000)}
LONG = '{"role":"user","content":"' + "long " * 200 + '"}'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A run with a planning step, a streamed call below it with a long prompt, and a tool call."""
    tape = Tape()
    tape.begin(agent_type="planner", platform="slack", user="U1", input=inline('{"q":1}'))
    plan = tape.step("plan", kind="plan", action_type="create_widget", input=inline('{"prompt":"x"}'),
                     metadata=inline('{"m":1}'), refs={"report_id": "R", "completion_id": "C", "widget_id": "W",
                                                       "step_id": "S"})  # fmt: skip
    system = tape.say("system", '{"role": "system", "content": "be brief"}')
    asked = tape.say("user", LONG, system)
    call = tape.call(parent=plan, input=asked, streaming=True, refs={"report_id": "R", "completion_id": "C"})
    said = tape.say("assistant", '{"role":"assistant","content":"yes"}', asked)
    tape.wait(5_000_000_000)
    tape.reply(call, output=said, chunks=3, **_COST)
    tool = tape.tool("look", '{"a":1}', parent=plan)
    tape.result(tool, state="failed", error=_FAILURE, message=tape.say("tool", '{"role":"tool","content":"no"}', said))
    tape.done(plan, output=inline('{"plan":[]}'))
    open_call = tape.call("anthropic", "claude-sonnet-4-5")
    assert open_call
    opened = SqliteStore(tmp_path / "views.db")
    opened.append(batch(tape.events))
    yield opened
    opened.close()


def plain(store: SqliteStore, query: str) -> list[dict[str, Any]]:
    """What any SQLite program sees in the file."""
    with closing(sqlite3.connect(store.path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


@pytest.mark.parametrize(("view", "wanted"), [("execution_logs", EXECUTION_LOG), ("llm_call_logs", LLM_CALL_LOG)])
def test_the_columns_that_were_promised_come_first(store: SqliteStore, view: str, wanted: tuple[str, ...]) -> None:
    """By name and in order; what we add stands behind them."""
    assert tuple(plain(store, f"SELECT * FROM {view} LIMIT 1")[0])[: len(wanted)] == wanted


def test_an_execution_as_plain_sql_reads_it(store: SqliteStore) -> None:
    """Ids are UUIDs, times ISO with their zone, data JSON, durations whole milliseconds."""
    run, plan, call, tool, begun = plain(store, "SELECT * FROM execution_logs ORDER BY id")
    ids = [step_id(run["run_id"], step) for step in (0, 1, 4, 7, 11)]
    assert [row["id"] for row in (run, plan, call, tool, begun)] == ids
    assert {name: plan[name] for name in EXECUTION_LOG} == {
        "id": ids[1], "execution_id": run["execution_id"], "agent_type": "planner", "execution_step": "plan",
        "action_type": "create_widget", "status": "completed", "start_time": "2025-06-15T15:06:40.001000Z",
        "end_time": "2025-06-15T15:06:45.010000Z", "duration_ms": 5009, "input_data": '{"prompt":"x"}',
        "output_data": '{"plan":[]}', "error_message": None, "metadata": '{"m":1}', "report_id": "R",
        "completion_id": "C", "widget_id": "W", "step_id": "S", "external_platform": "slack",
        "external_user_id": "U1", "created_at": "2025-06-15T15:06:40.001000Z",
        "updated_at": "2025-06-15T15:06:45.010000Z",
    }  # fmt: skip
    assert [(row["execution_step"], row["status"], row["parent_id"]) for row in (run, call, tool)] == [
        ("desk", "started", None), ("llm", "completed", ids[1]), ("tool", "failed", ids[1]),
    ]  # fmt: skip
    assert (run["input_data"], run["end_time"], tool["input_data"], tool["error_message"]) == (
        '{"q":1}', None, '{"a":1}', "not there",
    )  # fmt: skip
    assert tool["output_data"] == '{"role":"tool","content":"no"}'


def test_a_call_as_plain_sql_reads_it(store: SqliteStore) -> None:
    """Prompt and response come from the message tree; what is packed is named; money is in dollars."""
    call, begun = plain(store, "SELECT * FROM llm_call_logs ORDER BY id")
    expected = {
        "provider": "openai", "model_id": "gpt-4o", "call_type": "inference_stream", "status": "completed",
        "duration_ms": 5002, "response": '[{"role":"assistant","content":"yes"}]', "input_tokens": 15,
        "output_tokens": 7, "total_tokens": 22, "input_cost": 0.00001, "output_cost": 0.00002, "total_cost": 0.00003,
        "is_streaming": 1, "chunks_count": 3, "report_id": "R", "completion_id": "C", "error_message": None,
    }  # fmt: skip
    assert {name: call[name] for name in expected} == expected
    assert json.loads(call["prompt"]) == [
        {"role": "system", "content": "be brief"}, {"$payload": digest(LONG.encode()).hex(), "size": len(LONG)},
    ]  # fmt: skip
    assert (
        call["execution_log_id"] == plain(store, "SELECT id FROM execution_logs WHERE execution_step = 'plan'")[0]["id"]
    )
    names = ("status", "call_type", "prompt", "response", "end_time", "duration_ms", "total_tokens", "total_cost")
    assert [begun[name] for name in names] == ["started", "inference", *[None] * 6]


def test_our_own_connection_sees_whole_prompts(store: SqliteStore) -> None:
    """The same views, byte for byte, white space included."""
    call = store.sql("SELECT prompt, response FROM llm_call_logs WHERE status = ?", "completed")[0]
    assert call["prompt"] == f'[{{"role": "system", "content": "be brief"}},{LONG}]'
    assert store.sql("SELECT prompt FROM llm_call_logs WHERE status = 'started'") == [{"prompt": None}]
    assert store.sql("SELECT count(*) AS n FROM execution_logs") == [{"n": 5}]


def test_a_tool_call_as_plain_sql_reads_it(store: SqliteStore) -> None:
    """With its six states, and its result from the transcript when it stands there."""
    tool = plain(store, "SELECT * FROM tool_call_logs")[0]
    names = ("tool_name", "state", "arguments", "result", "error_message")
    assert [tool[name] for name in names] == [
        "look",
        "failed",
        '{"a":1}',
        '{"role":"tool","content":"no"}',
        "not there",
    ]


def test_a_message_of_which_nothing_was_kept_is_null(tmp_path: Path) -> None:
    """It holds its place in the prompt."""
    store = SqliteStore(tmp_path / "none.db")
    tape = call_run()
    store.append(batch(tape.events[:1]))
    store.append(Batch(tape.events[1:]))
    assert store.sql("SELECT prompt FROM llm_call_logs") == [{"prompt": "[null]"}]
    store.close()


def test_views_can_be_made_and_dropped() -> None:
    """A statement for each, in the database or before it."""
    names = ["execution_logs", "llm_call_logs", "tool_call_logs"]
    assert [text.rsplit(maxsplit=1)[1] for text in views.drops()] == names
    assert all(text.startswith("CREATE VIEW") for text in views.statements())
    assert all(text.startswith("CREATE TEMP VIEW") for text in views.statements(whole=True))


def test_a_reply_stands_behind_the_conversation_and_not_behind_its_reminders(tmp_path: Path) -> None:
    """A request with a message of its own at its tail: the prompt has it, the response is the reply alone."""
    tape = Tape()
    tape.begin()
    asked = tape.say("user", '{"role":"user","content":"hi"}')
    reminded = tape.say("user", '{"role":"user","content":"quick"}', asked)
    call = tape.call(input=reminded)
    tape.reply(call, output=tape.say("assistant", '{"role":"assistant","content":"yes"}', asked))
    with closing(SqliteStore(tmp_path / "views.db")) as opened:
        opened.append(batch(tape.events))
    with closing(sqlite3.connect(tmp_path / "views.db")) as connection:
        row = connection.execute("SELECT prompt, response FROM llm_call_logs").fetchone()
    assert [[message["content"] for message in json.loads(part)] for part in row] == [["hi", "quick"], ["yes"]]
