from __future__ import annotations

from typing import Any

from tachograph.queries.timeline.lines import Line
from tachograph.queries.timeline.waterfall import TimelineAsked, Waterfall, timeline
from tachograph.store.ports import Store
from tests.queries.errand import LOOK, RUN, SECOND, kept, step_id
from tests.queries.kept import batch
from tests.queries.pks import pk_of
from tests.strategies import BEGAN, Tape

NOW = BEGAN + 60 * SECOND


def _told(store: Store, run: str = RUN, now: int = NOW, **asked: Any) -> Waterfall:
    return timeline(store, pk_of(store, run), TimelineAsked(**asked), now)


def _line(found: Waterfall, seq: int) -> Line:
    return next(line for line in found.lines if line.key == f"0.{seq}")


def test_a_stretch_of_rows(store: Store) -> None:
    """Rows are given from an offset on, or from where a step is."""
    store.append(kept())
    assert [line.key for line in _told(store, offset=2, limit=2).lines] == ["0.3", "0.5"]
    found = _told(store, limit=2, step=step_id(LOOK))
    assert (found.offset, [line.key for line in found.lines]) == (4, ["0.8", "0.9"])
    assert _told(store, step="nonsense").offset == 0
    assert _told(store, step=step_id(77)).offset == 0


def test_rows_are_folded(store: Store) -> None:
    """Some rows are folded, or all but some; the run itself never is."""
    store.append(kept())
    found = _told(store, but="0.1")
    assert [line.key for line in found.lines] == ["0.0", "0.1", "0.12", "1.0", "1.1"]
    assert (_line(found, 1).is_folded, _line(found, 1).below) == (True, 4)
    assert [line.key for line in _told(store, fold="all").lines] == ["0.0", "0.1", "0.12"]
    assert [line.key for line in _told(store, fold="all", but="0.1").lines][:3] == ["0.0", "0.1", "0.3"]


def test_a_part_of_the_time(store: Store) -> None:
    """Only what touches the time is there, and the axis is that time."""
    store.append(kept())
    found = _told(store, since=2_500, until=3_500)
    assert [line.key for line in found.lines] == ["0.0", "0.1", "0.3"]
    assert (found.since_ns, found.until_ns, found.total, found.all) == (2_500_000_000, 3_500_000_000, 3, 9)


def test_an_open_run_has_an_axis_that_stands_still(store: Store) -> None:
    """While a run goes on its axis ends at a round time, and open steps reach to it."""
    tape = Tape("open", tick=SECOND)
    tape.begin()
    step = tape.step("work")
    store.append(batch(tape.events))
    found = _told(store, tape.run, now=BEGAN + 100 * SECOND)
    assert (found.is_open, found.span_ns) == (True, 2 * SECOND)
    assert (_line(found, step).duration_ns, _line(found, step).until_ns) == (None, 2 * SECOND)


def test_a_long_run_is_told_in_stretches(store: Store) -> None:
    """Of a run with more rows than a stretch has, the first and the last are given alike."""
    tape = Tape("long")
    tape.begin()
    for _ in range(350):
        tape.done(tape.step())
    tape.finish()
    store.append(batch(tape.events))
    assert (_told(store, tape.run).total, len(_told(store, tape.run).lines)) == (351, 300)
    assert len(_told(store, tape.run, offset=300).lines) == 51
