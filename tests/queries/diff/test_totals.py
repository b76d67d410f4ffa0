from __future__ import annotations

from tachograph.events.content import inline
from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.queries.diff.aligned import aligned
from tachograph.queries.diff.totals import Total, totals
from tachograph.queries.find import find
from tachograph.store.ports import Store
from tests.queries.diff.scenes import FIND, PAY, USED, kept, taped
from tests.strategies import BEGAN, Tape


def summed(store: Store, left: Tape, right: Tape) -> dict[str, Total]:
    """Every figure of two runs by its name."""
    ours, theirs = kept(store, left, right)
    both = aligned(store, find(store, ours), find(store, theirs))
    return {total.name: total for total in totals(store, both.left, both.right)}


def told(found: dict[str, Total], *names: str) -> list[tuple[float | None, float | None, float | None]]:
    """Left, right and their difference."""
    return [(found[name].left, found[name].right, found[name].difference) for name in names]


def test_figures_of_both_and_their_differences(store: Store) -> None:
    """Calls, tokens by class, cost in US dollars and time in milliseconds."""
    found = summed(store, taped("a", FIND, "Done."), taped("b", FIND, PAY, "Done."))
    assert told(found, "llm_calls", "tool_calls", "errors", "interventions") == [
        (2, 3, 1), (1, 2, 1), (0, 0, 0), (0, 0, 0),
    ]  # fmt: skip
    assert told(found, "input_tokens", "uncached_tokens", "cache_read_tokens", "output_tokens") == [
        (240, 360, 120), (200, 300, 100), (40, 60, 20), (20, 30, 10),
    ]  # fmt: skip
    assert told(found, "total_cost", "duration_ms") == [(0.000002, 0.000003, 0.000001), (10, 15, 5)]
    assert not any(total.left_is_least or total.right_is_least for total in found.values())


def test_runs_below_are_counted(store: Store) -> None:
    """What they started, too, whoever compares them."""
    top, below = taped("a", FIND), taped("b", PAY)
    parent = Tape("below", at=BEGAN + 10**12)
    parent.begin("below", parent_run=top.run, parent_step=0)
    parent.reply(parent.call(), usage=USED, cost=Cost("priced", total=500))
    parent.finish()
    kept(store, parent)
    found = summed(store, top, below)
    assert told(found, "llm_calls", "total_cost") == [(2, 1, -1), (0.0000015, 0.000001, -0.0000005)]


def test_what_nobody_knows_is_no_zero(store: Store) -> None:
    """Null where no call says anything, a lower bound where some do not, and no difference with what is unknown."""
    silent = taped("a", "Done.", usage=Usage(), cost=Cost(reason="no_price"))
    mixed = Tape("b", at=BEGAN)
    mixed.begin()
    mixed.reply(mixed.call(), usage=USED, cost=Cost("priced", total=500))
    mixed.reply(mixed.call(), usage=Usage(), cost=Cost(reason="no_price"))
    found = summed(store, silent, mixed)
    assert told(found, "input_tokens", "cache_write_tokens", "total_cost", "duration_ms") == [
        (None, 120, None), (None, None, None), (None, 0.0000005, None), (5, None, None),
    ]  # fmt: skip
    assert [found[name].right_is_least for name in ("input_tokens", "output_tokens", "total_cost")] == [True] * 3
    assert not found["llm_calls"].right_is_least


def test_of_a_run_that_was_forked_what_is_behind_the_fork(store: Store) -> None:
    """The fork took the rest over: it costs the origin alone, and is on neither side."""
    left = taped("a", FIND, PAY, "Done.")
    end_of_find = next(event.seq for event in left.events if event.body.__class__.__name__ == "ToolEnded")
    metadata = inline(f'{{"forked_from": {{"run": "{left.run}", "seq": {end_of_find}}}}}')
    found = summed(store, left, taped("b", "No, wait.", metadata=metadata))
    assert told(found, "llm_calls", "tool_calls", "input_tokens", "total_cost", "errors") == [
        (2, 1, -1), (1, 0, -1), (240, 120, -120), (0.000002, 0.000001, -0.000001), (0, 0, 0),
    ]  # fmt: skip
    assert told(found, "interventions") == [(None, 0, None)]
    assert told(found, "duration_ms") == [(8, 5, -3)]


def test_a_fork_of_the_very_end(store: Store) -> None:
    """Behind it nothing was called, which is known; what failed behind a fork is counted."""
    left = Tape("a", at=BEGAN)
    left.begin("a")
    left.reply(left.call(), usage=USED)
    seq = len(left.events)
    left.finish()
    metadata = inline(f'{{"forked_from": {{"run": "{left.run}", "seq": {seq}}}}}')
    found = summed(store, left, taped("b", "Yes.", metadata=metadata))
    assert told(found, "llm_calls", "input_tokens", "total_cost", "duration_ms") == [
        (0, 1, 1), (0, 120, 120), (0, 0.000001, 0.000001), (0, 5, 5),
    ]  # fmt: skip
    failing = Tape("c", at=BEGAN)
    failing.begin("c")
    failing.reply(failing.call(), "failed", error=Failure("E", "x"))
    failing.result(failing.tool(), state="failed", error=Failure("E", "x"))
    failing.finish("failed")
    metadata = inline(f'{{"forked_from": {{"run": "{failing.run}", "seq": 0}}}}')
    found = summed(store, failing, taped("d", "Yes.", metadata=metadata))
    assert told(found, "errors", "input_tokens", "total_cost") == [
        (2, 0, -2),
        (None, 120, None),
        (None, 0.000001, None),
    ]
