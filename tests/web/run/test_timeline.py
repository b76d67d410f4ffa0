from __future__ import annotations

from typing import Any

from tachograph.queries.heading import heading
from tachograph.queries.timeline.waterfall import TimelineAsked, timeline
from tachograph.store.memory import MemoryStore
from tachograph.web.run.timeline import EVENT_TYPES, Chart, Row, chart, in_and_out
from tests.queries.errand import AGAIN, ASK, BUSY, LOOK, RUN, SECOND, kept, step_id
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape


def _chart(tape: Tape | None = None, **asked: Any) -> Chart:
    store = MemoryStore()
    store.append(kept() if tape is None else batch(tape.events))
    now = BEGAN + 60 * SECOND
    found = heading(store, RUN if tape is None else tape.run, now)
    wanted = TimelineAsked(**asked)
    return chart(found.run, timeline(store, found.pk, wanted, now), wanted)


def _row(found: Chart, seq: int) -> Row:
    return next(row for row in found.rows if row.line.key == f"0.{seq}")


def test_a_bar_stands_where_its_step_was() -> None:
    """Bars, waits for the first token, stalls and bands are shares of the time that is looked at."""
    bar = _row(_chart(since=5_000, until=7_000), AGAIN).bar
    assert bar.own is not None
    assert bar.waited is not None
    assert bar.band is not None
    assert (bar.own.x, bar.own.width) == ("0.0", "1000")
    assert (bar.waited.x, bar.waited.width) == ("0.0", "125")
    assert [(stall.x, stall.width) for stall in bar.stalls] == [("155.0", "350")]
    assert (bar.band.x, bar.band.width, bar.is_odd) == ("0.0", "1000", True)


def test_a_short_step_can_be_seen() -> None:
    """The shortest bar still has a width, inside the axis."""
    tape = Tape("short", tick=1)
    tape.begin()
    tape.wait(SECOND * 3_600)
    tape.done(tape.step())
    tape.finish()
    own = _chart(tape).rows[1].bar.own
    assert own is not None
    assert (own.x, own.width) == ("998.0", "2")


def test_records_without_times_have_no_bars() -> None:
    """Where everything has the same time, nothing is said of how long it took."""
    tape = Tape("imported", tick=0)
    tape.begin()
    tape.done(tape.step())
    tape.finish()
    found = _chart(tape)
    assert (found.is_timed, found.ticks) == (False, ())
    assert [(row.bar.own, row.took, row.title) for row in found.rows] == [(None, "—", ""), (None, "—", "")]
    assert _chart().is_timed


def test_a_row_says_what_is_out_of_the_ordinary() -> None:
    """Repetitions, statuses and stalls are marks, and the bar is told in words."""
    found = _chart()
    assert _row(found, BUSY).marks == ("HTTP 529",)
    assert _row(found, AGAIN).marks == ("attempt 2", "1 stall")
    assert _row(found, AGAIN).title == (
        "from 5 s, for 2 s, first token after 250 ms, 1 stall, the longest 700 ms, by openai"
    )
    assert (_row(found, BUSY).tokens, _row(found, BUSY).cost) == ("—", "—")
    assert (_row(found, 1).tokens, _row(found, 1).cost) == ("≥ 100 → 20", "≥ $0.000003")
    assert (_row(found, LOOK).tokens, _row(found, LOOK).cost, _row(found, LOOK).took) == ("", "", "1 s")
    assert _row(found, LOOK).href.endswith(f"/steps/{step_id(LOOK)}")


def test_links_lead_to_other_parts_and_keep_the_rest() -> None:
    """Folding, paging and zooming each change their own part of the address."""
    found = _chart(but="0.1", limit=2)
    path = f"/runs/{RUN}"
    assert _row(found, 1).fold == f"{path}#r0.1"
    assert _chart(limit=9).rows[6].fold == f"{path}?but=0.{ASK}#r0.{ASK}"
    assert found.rows[0].fold == ""
    assert (found.before, found.after) == ("", f"{path}?but=0.1&offset=2")
    assert found.fold_all == f"{path}?fold=all"
    assert (found.whole, found.wider) == ("", "")
    closer = _chart(since=4_000, until=8_000)
    assert closer.closer == f"{path}?since=5000&until=7000"
    assert closer.wider == f"{path}?since=2000&until=10000"
    assert closer.whole == path
    assert _chart().ticks[:2] == ("0 s", "3.75 s")
    assert closer.ticks == ("4 s", "+1 s", "+2 s", "+3 s", "+4 s")


def test_events_are_told_of_a_run_that_goes_on() -> None:
    """An open run is followed from its last event, and any from the event that is asked for."""
    tape = Tape("open")
    tape.begin()
    tape.step()
    assert _chart(tape).live == f"/api/live?run={tape.run}&after=1"
    assert _chart(tape, after=-1).live == f"/api/live?run={tape.run}&after=-1"
    assert _chart().live == ""
    assert _chart(after=3).live == f"/api/live?run={RUN}&after=3"
    assert {"run_started", "call_ended", "unknown"} <= set(EVENT_TYPES)


def test_tokens_that_nobody_counted_are_unknown() -> None:
    """Nothing known is no 0, and a part of it is a lower bound."""
    assert in_and_out(None, None) == "—"
    assert in_and_out(12_345, 0) == "12.3k → 0"
    assert in_and_out(5, None, missing=1) == "≥ 5 → —"
