from __future__ import annotations

import msgspec

from tachograph.events.content import inline
from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.queries.logs.call_rows import COLUMNS, llm_call_logs
from tachograph.queries.logs.said import Spoken, Words
from tachograph.store.ports import Store
from tachograph.store.query import Query
from tests.queries.kept import batch
from tests.queries.logs.desk import CALL, RUN, as_json, planner
from tests.strategies import Tape


def test_everything_that_is_recorded_of_a_call(store: Store) -> None:
    """Each column of a call that streamed, was a second attempt, and failed after its answer had begun."""
    tape = Tape("whole", tick=1_000_000_000)
    tape.begin(agent_type="desk", session="s")
    first = tape.call("openai", "gpt-5")
    tape.reply(first, "failed")
    again = tape.call(
        "openai", "gpt-5", attempt=2, retry_of=first, streaming=True, tier="flex", purpose="answer", iteration=3,
        agent_type="writer", metadata=inline('{"a": 1}'), refs={"report_id": "r", "completion_id": "c"},
    )  # fmt: skip
    tape.reply(
        again, "failed", usage=Usage(100, 20, 3, 50, 10, basis="provider"),
        cost=Cost("estimated", 4_000, 2_000, 6_000, price_id="p", price_date="2025-06-15", reason="x"),
        reported_cost=7_000, finish_reason="length", served_model="gpt-5-1", served_tier="default", response_id="resp",
        request_id="req", http_status=500, first_token_ns=1_500_000, chunks=12, metadata=inline('{"b": 2}'),
        error=Failure("ServerError", "gone", "server_error", "Traceback"),
    )  # fmt: skip
    store.append(batch(tape.events))
    rows = store.find(Query("calls", columns=COLUMNS, order=("-started_at",))).rows
    run, execution = tape.run, tape.events[0].body.execution_id
    error = {"type": "ServerError", "category": "server_error", "message": "gone", "traceback": None}
    second, before = as_json(llm_call_logs(store, rows, 1_000))
    assert second == {
        "id": f"{run[:28]}00000003", "execution_log_id": run, "provider": "openai", "model_id": "gpt-5",
        "call_type": "inference_stream", "status": "failed", "start_time": "2025-06-15T15:06:43Z",
        "end_time": "2025-06-15T15:06:44Z", "duration_ms": 1_000, "prompt": None, "response": None,
        "error_message": "gone", "input_tokens": 123, "output_tokens": 50, "total_tokens": 173, "input_cost": 4e-6,
        "output_cost": 2e-6, "total_cost": 6e-6, "is_streaming": True, "chunks_count": 12,
        "metadata": {"a": 1, "b": 2}, "report_id": "r", "completion_id": "c", "created_at": "2025-06-15T15:06:43Z",
        "updated_at": "2025-06-15T15:06:44Z", "run_id": run, "execution_id": execution, "operation": "chat",
        "agent_type": "writer", "purpose": "answer", "iteration": 3, "attempt": 2, "retry_of": f"{run[:28]}00000001",
        "session_id": "s", "uncached_tokens": 100, "cache_read_tokens": 20, "cache_write_tokens": 3,
        "reasoning_tokens": 10, "usage_basis": "provider", "cost_state": "estimated", "unpriced_reason": "x",
        "reported_cost": 7e-6, "price_id": "p", "price_date": "2025-06-15", "finish_reason": "length",
        "served_model": "gpt-5-1", "tier": "flex", "served_tier": "default", "http_status": 500,
        "first_token_ms": 1.5, "response_id": "resp", "request_id": "req", "error": error, "cut": [],
    }  # fmt: skip
    unknown = {name: value for name, value in before.items() if name.endswith(("_tokens", "_cost"))}
    assert set(unknown.values()) == {None}
    assert (before["usage_basis"], before["cost_state"], before["error"]) == ("missing", "unpriced", None)


def test_an_open_call(store: Store) -> None:
    """A call that has not ended has neither end nor duration, and nobody has counted yet."""
    tape = Tape("open")
    tape.begin()
    tape.call()
    store.append(batch(tape.events))
    (log,) = llm_call_logs(store, store.find(Query("calls", columns=COLUMNS)).rows, 1_000)
    assert (log.status, log.end_time, log.duration_ms, log.usage_basis, log.cost_state) == ("started", *(None,) * 4)
    assert (log.updated_at, log.agent_type) == (log.start_time, "")


def test_words_and_cuts(store: Store) -> None:
    """What the log says of a call comes into its row; a metadata that is too large is a marker, and said to be cut."""
    tape = planner()
    text = '{"k": "' + "x" * 2_000 + '"}'
    body = msgspec.structs.replace(tape.events[2].body, metadata=inline(text))
    tape.events[2] = msgspec.structs.replace(tape.events[2], body=body)
    kept = batch(tape.events)
    store.append(kept)
    rows = store.find(Query("calls", columns=COLUMNS)).rows
    key = (rows[0]["run"], 2)
    told = Words({key: Spoken("a", "b…", ("response",))}, {key: "Traceback"})
    (found,) = as_json(llm_call_logs(store, rows, 100, told))
    marker = {"$payload": kept.events[2].body.metadata.hash, "size": len(text)}
    cut = ["response", "metadata"]
    assert found == {**CALL, "prompt": "a", "response": "b…", "metadata": marker, "cut": cut}
    (whole,) = as_json(llm_call_logs(store, rows, 2_100))
    assert (whole["metadata"], whole["cut"], whole["id"][:28]) == ({"k": "x" * 2_000}, [], RUN[:28])
