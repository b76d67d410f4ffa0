from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import NotFound
from tachograph.fold.diff import Pair
from tachograph.queries.diff.answer import DiffAsked, RunDiff, chosen, run_diff
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tests.queries.diff.scenes import FIND, PAY, USED, Turn, kept, taped

OTHER = ("find", '{"id":8}', '"eight"')
MIRROR = {"only_left": "only_right", "only_right": "only_left"}
turns: st.SearchStrategy[list[Turn]] = st.lists(st.sampled_from([FIND, PAY, OTHER, "Done.", "No."]), max_size=4)


def test_two_runs_side_by_side(store: Store) -> None:
    """Both overviews, models, answers, counts, where they part, and the pairs with the differences of their figures."""
    double = msgspec.structs.replace(USED, output=20)
    left, right = taped("a", FIND, "Done."), taped("b", OTHER, "Gone.", model="o3", usage=double)
    ours, theirs = kept(store, left, right)
    found = run_diff(store, DiffAsked(left=ours, right=theirs))
    assert (found.left.id, found.right.id, found.left_models, found.right_models) == (
        ours,
        theirs,
        ("gpt-4o",),
        ("o3",),
    )
    assert (found.left_answer, found.right_answer) == ("Done.", "Gone.")
    assert (found.same, found.changed, found.only_left, found.only_right, found.total_count) == (0, 3, 0, 0, 3)
    assert found.divergence == found.pairs[0]
    first, tool, _ = found.pairs
    assert (first.position, first.differences) == (0, ("model", "answer"))
    assert (first.input_tokens, first.output_tokens, first.total_cost, first.duration_ms) == (0, 10, 0, 0)
    assert (tool.left and tool.left.input, tool.right and tool.right.output) == ('{"id":7}', "eight")
    assert (tool.input_tokens, tool.total_cost) == (None, None)
    assert msgspec.json.decode(msgspec.json.encode(found), type=RunDiff) == found


@given(turns, turns)
def test_any_two_runs(left: list[Turn], right: list[Turn]) -> None:
    """A run does not differ from itself; the other way round every figure and verdict is mirrored."""
    store = MemoryStore()
    ours, theirs = kept(store, taped("a", *left), taped("b", *right))
    itself = run_diff(store, DiffAsked(left=ours, right=ours))
    assert (itself.divergence, itself.changed, itself.only_left, itself.only_right) == (None, 0, 0, 0)
    assert {total.difference for total in itself.totals} <= {0, None}
    there = run_diff(store, DiffAsked(left=ours, right=theirs))
    back = run_diff(store, DiffAsked(left=theirs, right=ours))
    assert [total.difference for total in there.totals] == [
        None if total.difference is None else -total.difference for total in back.totals
    ]
    mirrored = {
        (pair.right and pair.right.id, pair.left and pair.left.id, MIRROR.get(pair.verdict, pair.verdict))
        for pair in back.pairs
    }
    assert {
        (pair.left and pair.left.id, pair.right and pair.right.id, pair.verdict) for pair in there.pairs
    } == mirrored


def test_pages_and_equal_steps_that_are_left_out(store: Store) -> None:
    """With a context only what differs is given, with as many equal pairs around it; what is left out is counted."""
    same = [FIND] * 4
    ours, theirs = kept(store, taped("a", *same, PAY, *same, "Done."), taped("b", *same, *same, "Done."))
    whole = run_diff(store, DiffAsked(left=ours, right=theirs))
    assert (whole.total_count, len(whole.pairs), whole.same) == (19, 19, 17)
    some = run_diff(store, DiffAsked(left=ours, right=theirs, context=1))
    assert [(pair.position, pair.verdict, pair.equal_before) for pair in some.pairs] == [
        (7, "same", 7), (8, "only_left", 0), (9, "only_left", 0), (10, "same", 0),
    ]  # fmt: skip
    assert some.equal_behind == 8
    page = run_diff(store, DiffAsked(left=ours, right=theirs, context=1, limit=3, offset=3))
    assert [(pair.position, pair.equal_before) for pair in page.pairs] == [(10, 0)]
    assert (page.total_count, page.equal_behind) == (4, 8)
    beyond = run_diff(store, DiffAsked(left=ours, right=theirs, offset=50))
    assert (beyond.pairs, beyond.divergence == whole.divergence) == ((), True)


@given(st.lists(st.booleans(), max_size=20), st.integers(0, 3))
def test_what_is_chosen_with_a_context(same: list[bool], context: int) -> None:
    """Every difference, the equal pairs near one, in order, and never a single equal pair left out between two."""
    pairs = [Pair(place, place, "same" if each else "changed") for place, each in enumerate(same)]
    found = list(chosen(pairs, context))
    apart = [place for place, each in enumerate(same) if not each]
    assert found == sorted(set(found))
    assert set(apart) <= set(found)
    near = {place for place in range(len(same)) if any(abs(place - other) <= context for other in apart)}
    assert near <= set(found)
    assert all(min(abs(place - other) for other in apart) <= context + 1 for place in found)
    if apart:
        gaps = [after - before for before, after in zip([-1, *found], found, strict=False)]
        assert 2 not in gaps


def test_runs_that_are_not_there(store: Store) -> None:
    """It is said which of the two."""
    (ours,) = kept(store, taped("a", FIND))
    with pytest.raises(NotFound, match="nobody"):
        run_diff(store, DiffAsked(left=ours, right="nobody"))
