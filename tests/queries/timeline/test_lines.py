from __future__ import annotations

from typing import Any

from tachograph.queries.timeline.lines import Line
from tachograph.queries.timeline.waterfall import TimelineAsked, Waterfall, timeline
from tachograph.store.ports import Store
from tests.queries.errand import AGAIN, ASK, BUSY, LOOK, RUN, SECOND, kept, step_id
from tests.queries.pks import pk_of
from tests.strategies import BEGAN

NOW = BEGAN + 60 * SECOND


def _told(store: Store, run: str = RUN, now: int = NOW, **asked: Any) -> Waterfall:
    return timeline(store, pk_of(store, run), TimelineAsked(**asked), now)


def _line(found: Waterfall, seq: int) -> Line:
    return next(line for line in found.lines if line.key == f"0.{seq}")


def test_a_row_says_when_how_and_what_it_cost(store: Store) -> None:
    """Each row has its place in time, how it went, why, and its figures."""
    store.append(kept())
    found = _told(store)
    assert (found.total, found.all, found.offset, found.is_whole, found.is_open) == (9, 9, 0, True, False)
    assert [line.kind for line in found.lines] == [
        "run", "iteration", "llm", "llm", "limit", "tool", "tool", "run", "custom",
    ]  # fmt: skip
    assert [line.key for line in found.lines][-2:] == ["1.0", "1.1"]
    busy, look = _line(found, BUSY), _line(found, LOOK)
    assert (busy.status, busy.http_status, busy.error_type, busy.attempt) == ("failed", 529, "Overloaded", 1)
    assert (busy.begin_ns, busy.duration_ns, busy.until_ns) == (3 * SECOND, SECOND, 4 * SECOND)
    assert (look.status, look.reason, look.preview) == ("rejected", "look was asked for twice", '{"for": "bike"}')
    assert _line(found, ASK).preview is None
    hit = _line(found, 8)
    assert (hit.name, hit.status, hit.id) == ("tool_loop", "block", step_id(1))


def test_sums_are_those_of_the_attempts_below(store: Store) -> None:
    """Tokens and cost add up over attempts; one without usage makes them a lower bound, and none makes them unknown."""
    store.append(kept())
    found = _told(store)
    whole, first, again = _line(found, 1).sums, _line(found, BUSY).sums, _line(found, AGAIN).sums
    assert whole is not None
    assert (whole.calls, whole.input, whole.output, whole.missing, whole.cost) == (2, 100, 20, 1, 3_000)
    assert first is not None
    assert (first.input, first.output, first.missing, first.cost) == (None, None, 1, None)
    assert again is not None
    assert (again.input, again.output, again.missing, again.cost) == (100, 20, 0, 3_000)
    assert _line(found, ASK).sums is None


def test_the_first_token_and_stalls_are_known(store: Store) -> None:
    """A pause that is long, and longer than the others, is a stall with its place in the call."""
    store.append(kept())
    again = _line(_told(store), AGAIN)
    assert again.first_token_ns == 250_000_000
    assert again.stalls == ((310_000_000, 1_010_000_000),)


def test_an_iteration_is_a_band_behind_its_steps(store: Store) -> None:
    """Rows of an iteration know its number and its time, on a later stretch of rows too."""
    store.append(kept())
    band = (1, 1 * SECOND, 11 * SECOND)
    assert [line.band for line in _told(store).lines] == [None, band, band, band, band, band, None, None, None]
    assert _told(store, offset=4, limit=1).lines[0].band == band
