from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from tachograph.queries.overview.figures import Figures, figures
from tachograph.queries.overview.when import Chosen
from tachograph.queries.period import Period
from tachograph.store.memory import MemoryStore
from tachograph.store.rollup import HOUR
from tachograph.web.course import charts, table
from tachograph.web.overview import Looked, looked
from tests.queries.overview.three import FIRST, NOW, filled


def _found(period: Period) -> tuple[Figures, Looked]:
    store = MemoryStore()
    filled(store)
    return figures(store, period, NOW, {}), looked(Chosen(period), None)


def test_the_charts_of_a_period() -> None:
    """Sums are bars for each hour, times are lines for each day; legends hold the whole period."""
    found = charts(*_found(Period(FIRST, NOW)))
    assert [(chart.name, chart.note, chart.kind, len(chart.lines[0].values)) for chart in found] == [
        ("Runs", "per hour", "bars", 100),
        ("Cost", "per hour", "bars", 100),
        ("Tokens", "per hour", "bars", 100),
        ("Model calls", "per hour", "bars", 100),
        ("Model latency", "per day, UTC", "lines", 5),
        ("Time to first token", "per day, UTC", "lines", 5),
    ]
    assert [(line.name, line.rest) for chart in found for line in chart.lines] == [
        ("completed", "3"), ("otherwise", "0"), ("open", "0"), ("cost", "$0.000018"), ("uncached", "300"),
        ("cache read", "60"), ("cache write", "9"), ("output", "150"), ("not failed", "3"), ("failed", "0"),
        ("p50", "1 s"), ("p95", "1 s"), ("p50", "514 ms"), ("p95", "528 ms"),
    ]  # fmt: skip
    runs, latency = found[0].lines[0], found[4].lines[0]
    assert [place for place, value in enumerate(runs.values) if value] == [0, 30, 60]
    assert latency.texts == ("1.03 s", "1.03 s", "1.03 s", "—", "—")


def test_the_same_as_a_table() -> None:
    """The table has the newest point first, each with its runs; times of longer intervals have a table of their own."""
    found = table(*_found(Period(FIRST, NOW)))
    assert (found.interval, len(found.rows), found.times_interval, len(found.times)) == ("hour", 100, "day", 5)
    row = found.rows[39]
    assert (row.runs, row.completed, row.calls, row.tokens_in, row.tokens_out, row.cost, row.lasted) == (
        "1", "1", "1", "123", "50", "$0.000006", None
    )  # fmt: skip
    assert dict(parse_qsl(urlsplit(row.href).query)) == {
        "start_date": "2025-06-17T12:00:00Z", "end_date": "2025-06-17T12:59:59.999999Z"
    }  # fmt: skip
    assert (found.rows[0].runs, found.rows[0].href) == ("0", "")


def test_times_stand_beside_sums_of_the_same_length() -> None:
    """Of a short period one table says everything, and no point reaches beyond the period."""
    found = table(*_found(Period(FIRST - HOUR // 2, FIRST + 4 * HOUR)))
    assert found.times == ()
    last = found.rows[-1]
    assert last.lasted is not None
    assert last.lasted.p50 == "—"
    assert found.rows[-2].lasted is not None
    assert found.rows[-2].lasted.p50 == "1.03 s"


def test_nothing_has_no_chart() -> None:
    """A period of centuries in which nothing was recorded has no points, and so no charts."""
    store = MemoryStore()
    period = Period(0, NOW)
    assert charts(figures(store, period, NOW, {}), looked(Chosen(period), None)) == ()
