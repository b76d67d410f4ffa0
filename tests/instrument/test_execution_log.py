"""Rows of executions: runs outside, steps inside."""

# What the loggers return may be awaited, and need not be.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tachograph import run, step
from tachograph.events.content import inline
from tachograph.events.run import RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.instrument.logging import ExecutionLogger
from tachograph.testing import Captured
from tests.record.shapes import shapes

IDS: dict[str, Any] = {"report_id": "r", "completion_id": uuid.UUID(int=7), "widget_id": "w", "step_id": "s"}
KEPT = {"report_id": "r", "completion_id": str(uuid.UUID(int=7)), "widget_id": "w", "step_id": "s"}


def test_outside_everything_it_is_one_run(events: Captured) -> None:
    """One row: a run with the step's name, which keeps all that was said."""
    logger = ExecutionLogger()
    with logger.log_execution(
        "planner", "plan", "generate_plan", {"prompt": "x"}, external_platform="slack", external_user_id="U1",
        metadata={"m": 1}, **IDS,
    ) as row:  # fmt: skip
        row.output_data = {"plan": []}
    start, end = events
    assert start.body == RunStarted(
        name="plan", execution_id=row.execution_id or "", agent_type="planner", action_type="generate_plan",
        refs=KEPT, platform="slack", user="U1", metadata=inline('{"m":1}'), input=inline('{"prompt":"x"}'),
        owner=start.body.owner,
    )  # fmt: skip
    assert end.body == RunEnded(status="completed", stop_reason="final_answer", output=inline('{"plan":[]}'))
    assert (row.id, row.run_id, row.parent_id) == (start.run, start.run, None)
    assert {name: value for name, value in row.as_dict().items() if not name.endswith(("_time", "_at"))} == {
        "id": start.run, "execution_id": row.execution_id, "agent_type": "planner", "execution_step": "plan",
        "action_type": "generate_plan", "status": "completed", "duration_ms": row.duration_ms,
        "input_data": {"prompt": "x"}, "output_data": {"plan": []}, "error_message": None, "metadata": {"m": 1},
        "external_platform": "slack", "external_user_id": "U1", **IDS,
    }  # fmt: skip


def test_inside_a_run_it_is_a_step_of_that(events: Captured) -> None:
    """Same execution id, its parent is what surrounds it; another platform or user stands among the references."""
    logger = ExecutionLogger()
    with run("desk") as desk, step("outer") as outer:
        with logger.log_execution(
            "planner", "plan", "generate_plan", {"prompt": "x"}, external_platform="slack", metadata={"m": 1}, **IDS
        ) as row:
            row.output_data, row.metadata = 7, {"n": 2}
        with logger.log_execution("coder", "write_code"):
            pass
    assert events.of(StepStarted)[1].body == StepStarted(
        kind="plan", name="plan", parent=outer.number or 0, agent_type="planner", action_type="generate_plan",
        input=inline('{"prompt":"x"}'), metadata=inline('{"m":1}'), refs={**KEPT, "external_platform": "slack"},
    )  # fmt: skip
    assert events.of(StepEnded)[0].body == StepEnded(
        status="completed", output=inline("7"), metadata=inline('{"m":1,"n":2}')
    )
    assert (row.execution_id, row.run_id, row.parent_id) == (desk.execution_id, desk.run_id, outer.id)
    assert [event.body.kind for event in events.of(StepStarted)] == ["custom", "plan", "custom"]


def test_executions_nest_in_each_other(events: Captured) -> None:
    """The parent is stored; all of one execution share its id."""
    logger = ExecutionLogger()
    with (
        logger.log_execution("main_agent", "main_execution") as main,
        logger.log_execution("planner", "plan") as plan,
        logger.log_execution("planner", "observe") as observe,
    ):
        pass
    assert shapes(events) == [
        ("RunStarted", 0), ("StepStarted", 1), ("StepStarted", 2), ("StepEnded", 2), ("StepEnded", 1), ("RunEnded", 0),
    ]  # fmt: skip
    assert (plan.parent_id, observe.parent_id) == (main.id, plan.id)
    assert main.execution_id == plan.execution_id == observe.execution_id


def test_an_id_of_another_execution_makes_a_run_of_its_own(events: Captured) -> None:
    """Inside another it is the child of what surrounds it; inside one of the same id it is a step."""
    logger = ExecutionLogger()
    with run("desk") as desk:
        with (
            logger.log_execution("planner", "plan", execution_id="ticket 7") as other,
            logger.log_execution("planner", "check", execution_id="ticket 7") as same,
        ):
            pass
        with logger.log_execution("planner", "plan", execution_id=desk.execution_id) as joined:
            pass
    child = events.of(RunStarted)[1].body
    assert (child.execution_id, child.parent_run, other.execution_id) == ("ticket 7", desk.run_id, "ticket 7")
    assert (same.run_id, same.parent_id, joined.parent_id) == (other.run_id, other.id, desk.id)


@pytest.mark.parametrize("step_name", ["run", "llm", "tool", "Plan", ""])
def test_words_of_ours_do_not_change_what_it_is(events: Captured, step_name: str) -> None:
    """A step may be called anything; only words for plain steps have a meaning."""
    with run("desk"), ExecutionLogger().log_execution("agent", step_name):
        pass
    assert (events.of(StepStarted)[0].body.kind, events.of(StepStarted)[0].body.name) == ("custom", step_name)
