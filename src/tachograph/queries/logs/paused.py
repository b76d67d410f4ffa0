"""Which of the steps that have not ended wait for a person.

Roll-ups count what has not ended and do not say why; only their finest rows keep `paused` apart. These are read for
the days and hours in which something has not ended, which are few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tachograph.queries.logs.counts import within
from tachograph.queries.period import Period, Plan, Wanted, added
from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where
from tachograph.store.rollup import STATUSES, Row

_COUNT = Wanted(("agent",), ("count",))


def paused(
    index: Index, plan: Plan, rows: Iterable[Row], rolled: Sequence[Where], where: Sequence[Where]
) -> Mapping[str, int]:
    """How many steps are paused, by agent ('' for none). `rows` are those of the plan, each of one day or hour.

    `rolled` are conditions on roll-ups, `where` the same on steps.
    """
    opened = [row for row in rows if row["step"] != "llm" and row["count"] > sum(row[status] for status in STATUSES)]
    found: Counter[str] = Counter()
    if not opened:
        return found
    days, hours = {row.get("day") for row in opened}, {row.get("hour") for row in opened}
    few = Plan(_only(plan.days, days), _only(plan.hours, hours), ())
    waiting = (Where("status", "eq", "paused"), Where("step", "ne", "llm"))
    for row in added(index, few, "each", (*waiting, *rolled), _COUNT):
        found[row["agent"]] += row["count"]
    for period in plan.steps:
        found.update(_of_steps(index, period, where))
    return found


def _of_steps(index: Index, period: Period, where: Sequence[Where]) -> Mapping[str, int]:
    conditions = (*within(period), Where("status", "eq", "paused"), Where("kind", "ne", "llm"), *where)
    rows = index.find(Query("steps", conditions, group=("agent_type",), measures=(Measure("count"),), limit=None)).rows
    return {row["agent_type"] or "": row["count"] for row in rows}


def _only(ranges: Iterable[tuple[int, int]], wanted: set[int | None]) -> list[tuple[int, int]]:
    return [(number, number + 1) for start, stop in ranges for number in range(start, stop) if number in wanted]
