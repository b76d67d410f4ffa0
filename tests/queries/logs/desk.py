"""A planner's run as the document shows one, and what else tests of the two tables need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tachograph.events.content import inline
from tachograph.events.envelope import Event
from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.store.ports import Index
from tachograph.store.query import Page, Query
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000
NOW = BEGAN + 600 * SECOND
RUN = "01977420-dc00-730c-8c18-062400000000"
EXECUTION = "exec_30c8c1806240_1750000000"


def planner() -> Tape:
    """A planner makes a plan: one model call of 1,500 and 500 tokens, then a tool call that fails."""
    tape = Tape("planner", tick=SECOND)
    tape.begin(
        "plan", agent_type="planner", action_type="generate_plan", session="s1", user="u1", platform="slack",
        input=inline('{"prompt": "Create a sales dashboard"}'), metadata=inline('{"attempt": 1}'),
        refs={"report_id": "r1", "completion_id": "c1", "region": "eu"}, tags=("project:sales",),
    )  # fmt: skip
    asked = tape.say("user", {"role": "user", "content": "Create a sales dashboard"})
    call = tape.call("openai", "gpt-4", input=asked, iteration=1, refs={"report_id": "r1"})
    tape.reply(
        call,
        output=tape.say("assistant", {"role": "assistant", "content": "Here it is."}, asked, step=call),
        usage=Usage(1_500, 0, 0, 500, basis="provider"),
        cost=Cost("priced", 45_000_000, 30_000_000, 75_000_000, price_id="openai/gpt-4", price_date="2025-06-15"),
        finish_reason="stop",
        first_token_ns=250_000_000,
    )
    tool = tape.tool("create_widget", '{"kind": "chart"}', requested_by=call, iteration=1)
    tape.result(tool, state="failed", error=Failure("ValueError", "no data", "bug", "Traceback: line 1"))
    tape.finish(output=inline('{"plan": [{"action": "create_widget"}]}'))
    return tape


def moved(events: Iterable[Event], ns: int) -> Iterator[Event]:
    """The same events, so much later."""
    return (msgspec.structs.replace(event, at=event.at + ns) for event in events)


def as_json(answer: Any) -> Any:
    """What a client reads."""
    return msgspec.json.decode(msgspec.json.encode(answer))


class Watched:
    """A store that notes what it is asked for."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.asked: list[Query] = []

    def __getattr__(self, name: str) -> Any:
        """Everything else is the store's."""
        return getattr(self.store, name)

    def find(self, query: Query) -> Page:
        """Answer, and note the question."""
        self.asked.append(query)
        index: Index = self.store
        return index.find(query)

    def of(self, table: str) -> list[Query]:
        """Questions to one table."""
        return [query for query in self.asked if query.table == table]


def no_step(**facts: Any) -> dict[str, Any]:
    """An execution log of the planner's run as JSON, of which nothing was said but these facts."""
    return {
        "execution_id": EXECUTION, "agent_type": "planner", "action_type": None, "input_data": None,
        "output_data": None, "error_message": None, "metadata": None, "report_id": None, "completion_id": None,
        "widget_id": None,
        "step_id": None, "external_platform": "slack", "external_user_id": "u1", "run_id": RUN, "iteration": None,
        "session_id": "s1", "tags": ["project:sales"], "refs": {}, "error": None, "cut": [], **facts,
    }  # fmt: skip


PLAN: dict[str, Any] = no_step(
    id=RUN, execution_step="plan", action_type="generate_plan", status="completed", start_time="2025-06-15T15:06:40Z",
    end_time="2025-06-15T15:06:47Z", duration_ms=7_000, input_data={"prompt": "Create a sales dashboard"},
    output_data={"plan": [{"action": "create_widget"}]}, metadata={"attempt": 1}, report_id="r1", completion_id="c1",
    refs={"region": "eu"}, created_at="2025-06-15T15:06:40Z", updated_at="2025-06-15T15:06:47Z", parent_id=None,
    kind="run", name="plan",
)  # fmt: skip
TOOL: dict[str, Any] = no_step(
    id=f"{RUN[:28]}00000005", execution_step="tool", status="failed", start_time="2025-06-15T15:06:45Z",
    end_time="2025-06-15T15:06:46Z", duration_ms=1_000, input_data={"kind": "chart"}, error_message="no data",
    created_at="2025-06-15T15:06:45Z", updated_at="2025-06-15T15:06:46Z", parent_id=RUN, kind="tool",
    name="create_widget", iteration=1,
    error={"type": "ValueError", "category": "bug", "message": "no data", "traceback": None},
)  # fmt: skip
CALL: dict[str, Any] = {
    "id": f"{RUN[:28]}00000002", "execution_log_id": RUN, "provider": "openai", "model_id": "gpt-4",
    "call_type": "inference", "status": "completed", "start_time": "2025-06-15T15:06:42Z",
    "end_time": "2025-06-15T15:06:44Z", "duration_ms": 2_000, "prompt": None, "response": None, "error_message": None,
    "input_tokens": 1_500, "output_tokens": 500, "total_tokens": 2_000, "input_cost": 0.045, "output_cost": 0.03,
    "total_cost": 0.075, "is_streaming": False, "chunks_count": None, "metadata": None, "report_id": "r1",
    "completion_id": None, "created_at": "2025-06-15T15:06:42Z", "updated_at": "2025-06-15T15:06:44Z", "run_id": RUN,
    "execution_id": EXECUTION, "operation": "chat", "agent_type": "planner", "purpose": None, "iteration": 1,
    "attempt": 1, "retry_of": None, "session_id": "s1", "uncached_tokens": 1_500, "cache_read_tokens": 0,
    "cache_write_tokens": 0, "reasoning_tokens": None, "usage_basis": "provider", "cost_state": "priced",
    "unpriced_reason": None, "reported_cost": None, "price_id": "openai/gpt-4", "price_date": "2025-06-15",
    "finish_reason": "stop", "served_model": None, "tier": None, "served_tier": None, "http_status": None,
    "first_token_ms": 250.0, "response_id": None, "request_id": None, "error": None, "cut": [],
}  # fmt: skip
"""The three rows of the planner's run, as lists give them."""
