from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tachograph.events.call import CallEnded, CallMetered, CallRepriced, CallStarted
from tachograph.events.content import inline
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold.totals import TOKEN_CLASSES, Tally, Totals, fold
from tests.strategies import Tape, any_runs, runs

SECOND = 1_000_000_000


def retried() -> Tape:
    """A run whose first attempt fails and is repeated, with a tool call, an embedding and a limit."""
    tape = Tape(tick=0)
    tape.begin()
    tape.say("user", {"role": "user", "content": "hi"})
    first = tape.call(model="gpt-4o")
    tape.wait(SECOND).reply(first, "failed", http_status=429)
    second = tape.call(model="gpt-4o", attempt=2, retry_of=first)
    said = Usage(input_uncached=100, cache_read=900, output=50, reasoning=20, basis="provider")
    cost = Cost("priced", input=300, output=700, total=1_000)
    tape.wait(2 * SECOND).reply(second, usage=said, cost=cost, reported_cost=1_100)
    lookup = tape.tool("search", "{}")
    tape.wait(SECOND // 2).result(lookup, state="failed")
    embedding = tape.call(model="text-embedding-3-small", operation="embedding")
    tape.reply(embedding, usage=Usage(input_uncached=7, basis="estimated"), cost=Cost("estimated", total=5))
    tape.add(LimitHit(metric="llm_calls", mode="warn"))
    tape.add(LimitHit(metric="llm_calls", mode="stop"))
    step = tape.step("tidy up")
    tape.done(step, "cancelled")
    tape.wait(SECOND // 2).finish("failed", stop_reason="max_llm_calls")
    return tape


def test_a_run_adds_up() -> None:
    """Every figure of one run: tokens and money over attempts, times, and counts by how things ended."""
    totals = fold(retried().events)
    assert totals == Totals(
        runs=1,
        steps=1,
        iterations=1,
        attempts=3,
        tool_calls=1,
        messages=1,
        run_ends={"failed": 1},
        step_ends={"cancelled": 1},
        call_ends={"failed": 1, "completed": 2},
        tool_ends={"failed": 1},
        limit_hits={"warn": 1, "stop": 1},
        input_uncached=107,
        cache_read=900,
        output=50,
        reasoning=20,
        missing={"input_uncached": 1, "cache_read": 2, "cache_write": 3, "output": 2, "reasoning": 2},
        bases={"missing": 1, "provider": 1, "estimated": 1},
        cost=1_005,
        costs={"unpriced": 1, "priced": 1, "estimated": 1},
        reported_cost=1_100,
        reported_calls=1,
        run_ns=4 * SECOND,
        model_ns=3 * SECOND,
        tool_ns=SECOND // 2,
    )
    assert (totals.unpriced, totals.input_total, totals.tokens, totals.errors, totals.interventions) == (
        1, 1_007, 1_057, 2, 1,
    )  # fmt: skip


def test_missing_is_not_zero() -> None:
    """A token class that no attempt gave is None; one that was given as 0 is 0, as in a run without calls."""
    tape = Tape()
    tape.begin()
    assert fold(tape.events).figure("output") == 0
    tape.reply(tape.call(), usage=Usage(output=0, basis="provider"))
    assert [fold(tape.events).figure(name) for name in TOKEN_CLASSES] == [None, None, None, 0, None]


def test_an_open_run_lasts_until_its_last_event() -> None:
    """While a run is open its time is what has been seen of it; ended, it grows no more."""
    tape = Tape(tick=0)
    tape.begin()
    tape.wait(SECOND).say("user", {})
    assert fold(tape.events).run_ns == SECOND
    tape.wait(SECOND).finish()
    tape.wait(SECOND).add(CallRepriced(call=1, cost=Cost()))
    assert fold(tape.events).run_ns == 2 * SECOND


def test_a_new_price_replaces_the_old() -> None:
    """Of all prices of a call the last one counts; a price for a call that never ended counts for nothing."""
    tape = Tape()
    tape.begin()
    call = tape.call()
    tape.reply(call)
    assert (fold(tape.events).cost, fold(tape.events).costs) == (0, {"unpriced": 1})
    tape.add(CallRepriced(call=call, cost=Cost("priced", total=70)))
    tape.add(CallRepriced(call=99, cost=Cost("priced", total=1_000)))
    assert (fold(tape.events).cost, fold(tape.events).costs) == (70, {"priced": 1})
    tape.add(CallRepriced(call=call, cost=Cost("unpriced", reason="no_price")))
    assert (fold(tape.events).cost, fold(tape.events).costs) == (0, {"unpriced": 1})


def test_a_later_usage_replaces_the_first() -> None:
    """Of all that was said about a call's tokens the last counts, with its price; for an open call nothing does."""
    tape = Tape()
    tape.begin()
    call = tape.call()
    tape.add(CallMetered(call=call, usage=Usage(input_uncached=9, output=9, basis="provider")))
    tape.reply(call)
    assert (fold(tape.events).bases, fold(tape.events).figure("output")) == ({"missing": 1}, None)
    tape.add(CallMetered(call=call, usage=Usage(100, output=20, basis="estimated"), cost=Cost("estimated", total=70)))
    late = Usage(input_uncached=150, output=50, basis="provider")
    tape.add(CallMetered(call=call, usage=late, cost=Cost("priced", total=90)))
    tape.add(CallMetered(call=99, usage=late, cost=Cost("priced", total=1_000)))
    totals = fold(tape.events)
    assert (totals.input_uncached, totals.output, totals.bases) == (150, 50, {"provider": 1})
    assert totals.missing == {"cache_read": 1, "cache_write": 1, "reasoning": 1}
    assert (totals.cost, totals.costs, totals.attempts) == (90, {"priced": 1}, 1)
    tape.add(CallMetered(call=call, usage=Usage()))
    assert (fold(tape.events).tokens, fold(tape.events).cost, fold(tape.events).costs) == (0, 0, {"unpriced": 1})


def test_a_price_that_is_unpriced_adds_nothing() -> None:
    """A cost that calls itself unpriced is unknown, whatever figure it carries."""
    tape = Tape()
    tape.begin()
    tape.reply(tape.call(), cost=Cost("unpriced", total=70, reason="unknown_tier"))
    assert (fold(tape.events).cost, fold(tape.events).costs) == (0, {"unpriced": 1})


def test_time_is_never_negative() -> None:
    """When the clock of the events steps back, the step took no time."""
    tape = Tape(tick=0)
    tape.begin()
    call, tool = tape.call(), tape.tool()
    tape.wait(-SECOND).reply(call)
    tape.result(tool)
    tape.finish()
    assert (fold(tape.events).model_ns, fold(tape.events).tool_ns, fold(tape.events).run_ns) == (0, 0, 0)


def test_only_requests_for_text_are_iterations() -> None:
    """A retry, named or only numbered, belongs to its request, and a reminder for one request is no message."""
    tape = Tape()
    tape.begin()
    first = tape.call()
    tape.call(retry_of=first)
    tape.call(attempt=3)
    tape.call(operation="completion")
    tape.call(operation="embedding")
    tape.add(MessageAppended(role="user", message=inline("{}"), ephemeral=True))
    assert (fold(tape.events).iterations, fold(tape.events).attempts, fold(tape.events).messages) == (2, 5, 0)


def test_only_an_end_of_its_own_family_counts() -> None:
    """The end of a tool call that names a plain step ends nothing."""
    tape = Tape()
    tape.begin()
    step = tape.step("work")
    tape.result(step)
    tape.done(step)
    assert (fold(tape.events).tool_ends, fold(tape.events).step_ends) == ({}, {"completed": 1})


def test_money_of_an_attempt_whose_start_was_lost_is_counted() -> None:
    """Damage that took the start of a call leaves its tokens and cost; a second end adds nothing."""
    tape = Tape()
    tape.begin()
    call = tape.call()
    tape.reply(call, usage=Usage(output=9, basis="provider"), cost=Cost("priced", total=70))
    tape.reply(call, usage=Usage(output=9, basis="provider"), cost=Cost("priced", total=70))
    whole, damaged = fold(tape.events), fold([tape.events[0], *tape.events[2:]])
    assert (whole.attempts, whole.output, whole.cost, whole.call_ends) == (1, 9, 70, {"completed": 1})
    assert damaged == replace(whole, iterations=0, model_ns=0)


@given(runs())
def test_sums_are_those_of_the_attempts(events: list[Event]) -> None:
    """Tokens as last said, reported money and counts equal a plain sum over the events of a sound run."""
    totals = fold(events)
    ends = [event.body for event in events if isinstance(event.body, CallEnded)]
    last: dict[int, Usage] = {}
    for event in events:
        if isinstance(event.body, CallEnded | CallMetered):
            last[event.step if isinstance(event.body, CallEnded) else event.body.call] = event.body.usage
    for name in TOKEN_CLASSES:
        figures = [getattr(usage, name) for usage in last.values()]
        assert getattr(totals, name) == sum(figure for figure in figures if figure is not None)
        assert totals.missing.get(name, 0) == figures.count(None)
    assert totals.reported_cost == sum(end.reported_cost or 0 for end in ends)
    assert totals.attempts == sum(isinstance(event.body, CallStarted) for event in events)
    assert totals.tool_calls == sum(isinstance(event.body, ToolStarted) for event in events)
    assert sum(totals.tool_ends.values()) == sum(isinstance(event.body, ToolEnded) for event in events)


@given(runs())
def test_cost_is_the_last_price_of_each_attempt(events: list[Event]) -> None:
    """Money is the sum over ended attempts of what each was priced at last, and the rest is counted as unpriced."""
    last: dict[int, Cost | None] = {}
    for event in events:
        if isinstance(event.body, CallEnded):
            last[event.step] = event.body.cost
        elif isinstance(event.body, CallMetered | CallRepriced):
            last[event.body.call] = event.body.cost
    totals = fold(events)
    known = [cost.total for cost in last.values() if cost is not None and cost.total is not None]
    assert (totals.cost, sum(totals.costs.values()), totals.unpriced) == (sum(known), len(last), len(last) - len(known))


@given(any_runs)
def test_any_events_add_up_to_something_sound(events: list[Event]) -> None:
    """Whatever was lost or damaged, no count or time is negative and every attempt that ended has a price state."""
    totals = fold(events)
    figures: list[Any] = [getattr(totals, name) for name in Totals.__struct_fields__]
    assert all(min(part.values(), default=0) >= 0 if isinstance(part, dict) else part >= 0 for part in figures)
    assert sum(totals.costs.values()) == sum(totals.bases.values()) == sum(totals.call_ends.values())


@given(any_runs)
def test_an_event_seen_twice_counts_once(events: list[Event]) -> None:
    """Reading a stretch of events again changes nothing."""
    ordered = sorted({event.seq: event for event in events}.values(), key=lambda event: event.seq)
    tally = Tally()
    for event in ordered:
        assert tally.apply(event)
        assert not tally.apply(event)
    assert tally.totals() == fold(ordered)


@given(runs(), st.integers(0, 60))
def test_a_whole_is_the_sum_of_its_pieces(events: list[Event], place: int) -> None:
    """Where nothing but the run is open, the totals before and after add up to the whole."""
    events = [event for event in events if not isinstance(event.body, CallMetered | CallRepriced)]
    tally = Tally()
    cuts = []
    for position, event in enumerate(events):
        tally.apply(event)
        if tally.open.keys() <= {0}:
            cuts.append(position + 1)
    cut = cuts[place % len(cuts)]
    pieces = fold(events[:cut]) + fold(events[cut:])
    assert _apart_from_run(pieces) == _apart_from_run(fold(events))


@given(st.lists(runs(max_size=12), max_size=3))
def test_totals_of_runs_add(many: list[list[Event]]) -> None:
    """Adding runs is associative, has a zero, and does not mind the order."""
    each = [fold(events) for events in many]
    forwards = sum(each, Totals())
    backwards = Totals()
    for totals in reversed(each):
        backwards = totals + backwards
    assert forwards == backwards == sum(reversed(each), Totals())
    assert forwards.runs == len(many)


def _apart_from_run(totals: Totals) -> Totals:
    return replace(totals, run_ns=0, run_ends={})
