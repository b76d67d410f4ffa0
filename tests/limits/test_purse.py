"""A purse: the limits of one run beside what it has used."""

from __future__ import annotations

from tachograph.limits.guard import Notice
from tachograph.limits.limit import Limits
from tachograph.limits.purse import NEVER, Purse, least

SECOND = 1_000_000_000


def test_a_purse_without_limits_counts_and_allows_everything() -> None:
    """There is no bound on anything, and no time at which it ends."""
    purse = Purse(None, 0)
    for _ in range(100):
        purse.take("max_tool_calls", 10**9, 10**9)
    assert (purse.over_count("max_tool_calls"), [*purse.over_tokens(10**12)], [*purse.over_money(10**12)]) == (
        None, [], [],
    )  # fmt: skip
    assert (purse.counts["max_tool_calls"], purse.ends, purse.deadline, purse.room()) == (
        100, NEVER, NEVER, (None, None),
    )  # fmt: skip
    assert [*purse.left(0)] == []


def test_what_is_set_aside_becomes_what_was_used() -> None:
    """Taken, given back, settled with less: at each point what is left is the limit less both."""
    purse = Purse(Limits(tokens=100, usd=1), 0)
    purse.take("max_llm_calls", 60, 500_000_000)
    assert purse.room() == (40, 500_000_000)
    assert [hit.limit.metric for hit in (*purse.over_tokens(41), *purse.over_money(500_000_001))] == [
        "token_budget", "cost_budget",
    ]  # fmt: skip
    purse.take("max_llm_calls", 40, 1)
    purse.untake("max_llm_calls", 40, 1)
    purse.turn_in((60, 500_000_000), (10, 100_000_000))
    assert (purse.room(), purse.counts["max_llm_calls"]) == ((90, 900_000_000), 1)
    assert (purse.used("token_budget", 0), purse.used("cost_budget", 0), purse.used("max_depth", 0)) == (10, 0.1, None)
    assert purse.used("deadline", 3 * SECOND) == 3


def test_of_two_parts_passed_at_once_the_larger_is_said() -> None:
    """And the smaller one not later, either."""
    purse = Purse(Limits(usd=1, early=(0.5, 0.9)), 0)
    purse.turn_in((0, 0), (0, 950_000_000))
    said = "0.95 of 1 USD are used. Come to an end in what is left."
    assert [*purse.hints(0)] == [Notice("cost_budget", 0.95, 0, 1, "run", "nudge", said)]
    assert [*purse.hints(0)] == []


def test_no_bound_is_larger_than_any() -> None:
    """None is no bound."""
    assert (least(None, None), least(None, 0), least(3, None), least(3, 2)) == (None, 0, 3, 2)
