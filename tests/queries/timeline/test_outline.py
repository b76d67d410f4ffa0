from __future__ import annotations

from collections.abc import Sequence

from tachograph.queries.kept import Kept
from tachograph.queries.timeline.outline import Node, Outline, Span, outline, spans
from tachograph.store.ports import Store
from tests.queries.errand import ASK, RUN, SECOND, kept
from tests.queries.kept import batch
from tests.queries.pks import pk_of
from tests.strategies import BEGAN, Tape


def _outline(store: Store, run: str) -> Outline:
    return outline(store, pk_of(store, run), BEGAN, Kept())


def _spans(store: Store, found: Outline, until: int) -> Sequence[Span]:
    return spans(store, found, until, BEGAN, Kept())


def test_steps_stand_below_their_parents_and_runs_below_what_started_them(store: Store) -> None:
    """The order is that of the tree, with limits where they were reached and the delegate's run below its call."""
    store.append(kept())
    pk, found = pk_of(store, RUN), _outline(store, RUN)
    (other,) = set(found.runs) - {pk}
    told = [(node.seq, depth) for node, depth in zip(found.nodes, found.depths, strict=True) if node.run == pk]
    assert told == [(0, 0), (1, 1), (3, 2), (5, 2), (8, 2), (9, 2), (ASK, 1)]
    assert found.nodes[4] == Node(pk, 8, is_limit=True)
    assert found.nodes[7:] == [Node(other, 0), Node(other, 1)]
    assert found.depths[7:] == [2, 3]
    assert found.ends == [9, 6, 3, 4, 5, 6, 9, 9, 9]
    assert found.parents == [-1, 0, 1, 1, 1, 1, 0, 6, 7]
    assert found.is_whole


def test_what_is_folded_hides_what_is_below_it(store: Store) -> None:
    """A folded place stays, and everything down to its end goes."""
    store.append(kept())
    found = _outline(store, RUN)
    assert found.visible(()) == list(range(9))
    assert found.visible({1}) == [0, 1, 6, 7, 8]
    assert found.visible({1, 6}) == [0, 1, 6]


def test_what_lies_outside_the_time_is_left_out(store: Store) -> None:
    """Steps that ended before the time that is looked at, or began behind it, are left out; the run stays."""
    store.append(kept())
    found = _outline(store, RUN)
    times = _spans(store, found, BEGAN + 100 * SECOND)
    assert found.visible((), times, (BEGAN + 12 * SECOND, BEGAN + 90 * SECOND)) == [0, 6, 7, 8]
    assert found.visible((), times, (BEGAN, BEGAN + 4 * SECOND)) == [0, 1, 2]


def test_an_open_step_lasts_until_now(store: Store) -> None:
    """What has not ended goes on as far as it is told."""
    tape = Tape("open", tick=SECOND)
    tape.begin()
    tape.step()
    store.append(batch(tape.events))
    found = _outline(store, tape.run)
    assert _spans(store, found, BEGAN + 9 * SECOND) == [
        (BEGAN, BEGAN + 9 * SECOND), (BEGAN + SECOND, BEGAN + 9 * SECOND),
    ]  # fmt: skip


def test_a_step_whose_parent_is_not_there_stands_below_the_run(store: Store) -> None:
    """A parent that is unknown, or later than its child, is no parent."""
    tape = Tape("lost")
    tape.begin()
    tape.step(parent=77)
    tape.step(parent=2)
    store.append(batch(tape.events))
    assert _outline(store, tape.run).depths == [0, 1, 1]


def test_what_is_kept_is_of_the_run_as_it_is(store: Store) -> None:
    """Who looks again gets the same order, without a question to the steps; once the run goes on, the new one."""
    tape = Tape("open", tick=SECOND)
    tape.begin()
    tape.step()
    store.append(batch(tape.events))
    kept, pk = Kept(), pk_of(store, tape.run)
    first = outline(store, pk, BEGAN, kept)
    times = spans(store, first, BEGAN + 9 * SECOND, BEGAN, kept)
    assert outline(store, pk, BEGAN + SECOND, kept) is first
    assert outline(store, pk, BEGAN + 100 * SECOND, kept) is not first
    before = len(tape.events)
    tape.step()
    store.append(batch(tape.events[before:]))
    again = outline(store, pk, BEGAN + SECOND, kept)
    assert (len(first.nodes), len(again.nodes)) == (2, 3)
    assert len(spans(store, again, BEGAN + 9 * SECOND, BEGAN, kept)) == 3
    assert spans(store, first, BEGAN + 10 * SECOND, BEGAN, kept)[1][1] == times[1][1] + SECOND
