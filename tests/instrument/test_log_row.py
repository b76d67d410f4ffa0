"""What both kinds of row share: one start, one end, a verdict."""

# What the loggers return may be awaited, and need not be.
# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunStarted
from tachograph.instrument.log_row import joined, moment
from tachograph.instrument.logging import ExecutionLogger
from tachograph.testing import Captured


def outcome(events: Captured) -> tuple[str, str | None, str | None]:
    """(status, error type, error message) of the one run."""
    (end,) = events.of(RunEnded)
    error = end.body.error
    return end.body.status, None if error is None else error.type, None if error is None else error.message


def test_a_row_may_be_awaited_or_not(events: Captured) -> None:
    """It is there at once; awaiting gives the same row and suspends nothing."""

    async def use() -> None:
        logger = ExecutionLogger()
        row = logger.start_execution("planner", "plan")
        assert await row is row
        assert await logger.end_execution(row) is row

    with pytest.raises(StopIteration):
        use().send(None)
    assert outcome(events)[0] == "completed"


def test_times_are_those_that_were_recorded(events: Captured) -> None:
    """Start, end and duration of the row are those of its events."""
    with ExecutionLogger().log_execution("planner", "plan") as row:
        assert (row.status, row.end_time, row.duration_ms, row.updated_at) == ("started", None, None, row.start_time)
    start, end = events
    assert (row.start_time, row.end_time, row.created_at, row.updated_at) == (
        moment(start.at), moment(end.at), moment(start.at), moment(end.at),
    )  # fmt: skip
    assert (row.duration_ms, row.status) == ((end.mono - start.mono) // 1_000_000, "completed")
    assert repr(row) == f"<ExecutionLog {row.id} completed>"


def test_a_row_takes_notes_while_it_is_open(events: Captured) -> None:
    """They belong to its step; before its start there is nothing they could belong to."""
    row = ExecutionLogger().log_execution("planner", "plan")
    row.note("early", 1)
    with row:
        row.note("found", {"widgets": 2})
    (event,) = events.of(Note)
    assert (event.body.name, event.body.data.text, event.step) == ("found", '{"widgets":2}', 0)


class Interrupted(BaseException):
    """What is no `Exception`."""


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ValueError("bad"), "failed", "ValueError"),
        (asyncio.CancelledError(), "cancelled", "asyncio.exceptions.CancelledError"),
        (GeneratorExit(), "cancelled", "GeneratorExit"),
        (Interrupted("x"), "cancelled", "tests.instrument.test_log_row.Interrupted"),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_exception_decides_and_goes_on(
    events: Captured, error: BaseException, status: str, kind: str, asynchronous: bool
) -> None:
    """It is what the block raised, the very object; the row knows it too."""
    logger, rows = ExecutionLogger(), []

    async def block() -> None:
        async with logger.log_execution("planner", "plan") as row:
            rows.append(row)
            raise error

    def plain() -> None:
        with logger.log_execution("planner", "plan") as row:
            rows.append(row)
            raise error

    with pytest.raises(type(error)) as raised:
        block().send(None) if asynchronous else plain()
    assert raised.value is error
    assert outcome(events) == (status, kind, str(error))
    assert (rows[0].status, rows[0].error_message) == (status, str(error))
    trace = events.of(RunEnded)[0].body.error.traceback
    assert (trace is not None and "raise error" in trace) == isinstance(error, Exception)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (("completed",), ("completed", None, None)),
        (("failed",), ("failed", "RuntimeError", "")),
        (("failed", "out of luck"), ("failed", "RuntimeError", "out of luck")),
        (("failed", ValueError("bad")), ("failed", "ValueError", "bad")),
        (("cancelled",), ("cancelled", None, None)),
        (("cancelled", "by the user"), ("cancelled", "RuntimeError", "by the user")),
        (("partial",), ("failed", "RuntimeError", "status 'partial' is none of completed, failed, cancelled")),
        (("", "so"), ("completed", None, None)),
    ],
)
def test_a_status_that_is_said(events: Captured, said: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
    """Success is never what an unknown word means."""
    row = ExecutionLogger().start_execution("planner", "plan")
    row.finish(*said)
    assert outcome(events) == wanted
    assert row.status == wanted[0]


def test_a_status_can_be_set_inside_the_block(events: Captured) -> None:
    """A program that handles its error may still say that the execution failed."""
    with ExecutionLogger().log_execution("planner", "plan") as row:
        row.status, row.error_message = "failed", "no plan"
    assert outcome(events) == ("failed", "RuntimeError", "no plan")


def test_the_text_of_a_handled_exception_brings_the_exception(events: Captured) -> None:
    """Handing over `str(e)` keeps its type and its traceback; another text stays a text."""
    logger, plans = ExecutionLogger(), dict[str, str]()
    for message in (None, "something else"):
        row = logger.start_execution("planner", "plan")
        try:
            plans["main"]
        except KeyError as error:
            logger.end_execution(row, status="failed", error_message=message or str(error))
    ends = [event.body.error for event in events.of(RunEnded)]
    assert [(error.type, error.message) for error in ends] == [
        ("KeyError", "'main'"), ("RuntimeError", "something else"),
    ]  # fmt: skip
    assert 'plans["main"]' in (ends[0].traceback or "")


def test_it_starts_once_and_ends_once(events: Captured) -> None:
    """Ended inside the block, the block's end changes nothing; nor does a row that was never started."""
    logger = ExecutionLogger()
    with logger.log_execution("planner", "plan") as row:
        with row:
            logger.end_execution(row, "failed", error_message="first")
        logger.end_execution(row, "completed")
    logger.end_execution(logger.log_execution("never", "begun"))
    assert [type(event.body) for event in events] == [RunStarted, RunEnded]
    assert (row.status, outcome(events)[2]) == ("failed", "first")


def test_metadata_of_start_and_end_is_one(events: Captured) -> None:
    """What is set, changed in place or handed to the end joins that of the start; unchanged it is not said again."""
    logger = ExecutionLogger()
    for change in (None, "set", "in place", "end"):
        given = {"a": 1, "b": 1}
        with logger.log_execution("planner", "plan", metadata=given) as row:
            if change == "set":
                row.metadata = {"b": 2}
            elif change == "in place":
                row.metadata["b"] = 2
            elif change == "end":
                logger.end_execution(row, metadata={"b": 2})
        assert (given, row.metadata) == ({"a": 1, "b": 1}, {"a": 1, "b": 2 if change else 1})
    ends = [event.body.metadata and event.body.metadata.text for event in events.of(RunEnded)]
    assert ends == [None] + ['{"a":1,"b":2}'] * 3


def test_metadata_that_cannot_be_compared_is_kept(events: Captured) -> None:
    """An array's `==` has no truth; it is said again, and nothing fails."""

    class Array:
        def __eq__(self, other: object) -> Any:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    with ExecutionLogger().log_execution("planner", "plan", metadata={"x": Array()}) as row:
        row.metadata = {"x": Array()}
    assert outcome(events)[0] == "completed"
    assert events.of(RunEnded)[0].body.metadata is not None


@pytest.mark.parametrize(
    ("before", "after", "both"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, None, {"a": 1}),
        (None, {"a": 1}, {"a": 1}),
        ({"a": 1}, [2], [2]),
    ],
)
def test_two_become_one(before: Any, after: Any, both: Any) -> None:
    """Mappings are joined; else what came last stands."""
    assert joined(before, after) == both


def test_a_moment_is_utc_to_the_microsecond() -> None:
    """Without a float in between."""
    assert moment(1_750_000_000_123_456_789) == datetime(2025, 6, 15, 15, 6, 40, 123456, tzinfo=UTC)
