"""What a run has used, by its record: as its budget counted, and never less."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tachograph.events.budget import Reservation
from tachograph.events.call import CallMetered
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.usage import Cost, Usage
from tachograph.fold.totals import fold
from tachograph.limits.past import Past, past
from tests.strategies import Tape, any_runs, runs

SECOND = 1_000_000_000
RESERVED = Reservation(100, 50, 9_000)


def counts(tape: Tape) -> list[int]:
    """Iterations, model calls, tool calls, hand-offs."""
    found = past(tape.events).counts
    return [found[name] for name in ("max_iterations", "max_llm_calls", "max_tool_calls", "max_handoffs")]


def test_what_a_budget_counts_is_counted() -> None:
    """Iterations and hand-offs are steps of that kind; attempts count each, failed ones too; other steps do not."""
    tape = Tape()
    tape.begin()
    for kind in ("iteration", "plan", "iteration", "handoff"):
        tape.step(kind=kind)
    tape.reply(tape.call(), "failed")
    tape.call(attempt=2)
    tape.tool()
    assert counts(tape) == [2, 2, 1, 1]


def test_calls_that_a_limit_refused_were_not_used() -> None:
    """They stand in the record and were never made; one that somebody else rejected had been counted."""
    tape = Tape()
    tape.begin()
    tape.add(LimitHit(metric="tool_loop", mode="block", reason="again", refused_kind="tool", refused_name="search"))
    tape.result(tape.tool("search"), state="rejected", reason="again")
    tape.add(LimitHit(metric="max_tool_calls", mode="skip", refused_kind="tool", refused_name="pay"))
    tape.result(tape.tool("pay"), state="skipped", reason="max_tool_calls")
    tape.result(tape.tool("pay"), state="rejected", reason="not approved")
    tape.add(LimitHit(metric="tool_loop", mode="warn", reason="again"))
    tape.result(tape.tool("search"), state="completed")
    assert counts(tape)[2] == 2


def test_a_refusal_that_was_cut_short_counts_as_used() -> None:
    """Where the record ends between a refusal and the end of the call, nobody can tell: it is not given away."""
    tape = Tape()
    tape.begin()
    tape.add(LimitHit(metric="tool_loop", mode="block", reason="again", refused_kind="tool", refused_name="search"))
    assert counts(tape)[2] == 0
    tool = tape.tool("search")
    assert counts(tape)[2] == 1
    tape.result(tool, state="abandoned")
    assert counts(tape)[2] == 1


@pytest.mark.parametrize(
    ("end", "tokens", "nano"),
    [
        (None, 150, 9_000),
        ({"status": "abandoned"}, 150, 9_000),
        ({"usage": Usage(10, 5, output=7, basis="provider"), "cost": Cost("priced", total=30)}, 22, 30),
        ({"usage": Usage(output=7, basis="provider")}, 107, 9_000),
        ({"usage": Usage(-10, output=7, basis="provider")}, 150, 9_000),
        ({"status": "failed", "http_status": 429}, 0, 0),
        ({"status": "failed", "http_status": 500}, 150, 9_000),
        ({"cost": Cost(reason="no_price")}, 150, 9_000),
    ],
)
def test_what_nobody_said_was_used_as_it_was_set_aside(end: dict[str, Any] | None, tokens: int, nano: int) -> None:
    """Usage as far as it is known and can be; a request that the provider turned away cost nothing."""
    tape = Tape()
    tape.begin()
    call = tape.call(reserved=RESERVED)
    if end is not None:
        tape.reply(call, **end)
    found = past(tape.events)
    assert (found.tokens, found.nano) == (tokens, nano)


def test_usage_that_came_late_counts() -> None:
    """It takes the place of what had been set aside."""
    tape = Tape()
    tape.begin()
    call = tape.call(reserved=RESERVED)
    tape.reply(call)
    late = CallMetered(call=call, usage=Usage(3, output=4, basis="provider"), cost=Cost("priced", total=5))
    tape.add(late, call)
    assert (past(tape.events).tokens, past(tape.events).nano) == (7, 5)


def test_time_counts_while_the_run_goes_on() -> None:
    """Between an end or a pause and going on, it does not; what is still open counts up to its last event."""
    tape = Tape(tick=0)
    tape.begin()
    tape.wait(3 * SECOND).finish("paused")
    tape.wait(100 * SECOND).resume()
    tape.wait(4 * SECOND).finish("failed")
    assert past(tape.events).ran_ns == 7 * SECOND
    tape.wait(100 * SECOND).resume(epoch=2)
    tape.wait(SECOND).step()
    tape.wait(SECOND).step()
    assert past(tape.events).ran_ns == 9 * SECOND


def test_runs_below_count_too_but_for_their_time() -> None:
    """They drew from the run above while they went on."""
    one = Past({"max_llm_calls": 2, "max_tool_calls": 1}, 10, 100, 5)
    two = Past({"max_llm_calls": 3}, 1, 2, 900)
    assert one.with_runs([two, two]) == Past({"max_llm_calls": 8, "max_tool_calls": 1}, 12, 104, 5)


@given(runs())
def test_no_count_is_above_what_the_record_holds(events: list[Event]) -> None:
    """On sound runs attempts are those of the totals, and time is never more than the run's."""
    found, totals = past(events), fold(events)
    assert found.counts["max_llm_calls"] == totals.attempts
    assert found.counts["max_tool_calls"] == totals.tool_calls
    assert found.ran_ns <= totals.run_ns


@given(any_runs)
def test_no_stream_breaks_it(events: list[Event]) -> None:
    """Whatever was lost, nothing is negative."""
    found = past(events)
    assert min((found.tokens, found.nano, found.ran_ns, *found.counts.values())) >= 0
