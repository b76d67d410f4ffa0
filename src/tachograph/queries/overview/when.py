"""Which period is looked at: the one that was named, the one between two dates, or one in which something happened."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tachograph.queries.period import SECOND, Period, moment
from tachograph.queries.runs import NO_AUDIT
from tachograph.store.ports import Index
from tachograph.store.query import Query
from tachograph.store.rollup import DAY_HOURS, HOUR

Name = Literal["1h", "24h", "7d", "30d"]
NAMES: tuple[Name, ...] = ("1h", "24h", "7d", "30d")
USUAL: Name = "24h"
_DAY = DAY_HOURS * HOUR
_MINUTE = 60 * SECOND
_DAYS = 30


class Chosen(Struct, frozen=True):
    """A period, and how it came about. Clocks differ, so a run may begin after now."""

    period: Period
    """With both bounds."""
    name: Name | None = None
    """None for one between two dates."""
    instead: Literal["", "longer", "elsewhere"] = ""
    """`longer` than usual, or lying around the newest run, since nothing happened in the usual one."""

    @property
    def since(self) -> int:
        """UTC ns."""
        return self.period.since or 0

    @property
    def until(self) -> int:
        """UTC ns, not included."""
        return self.period.until or 0


def newest(index: Index) -> int | None:
    """When the run that began last began (UTC ns); None when there is none."""
    query = Query("runs", (NO_AUDIT,), ("started_at",), order=("-started_at",), limit=1)
    return next((row["started_at"] for row in index.find(query).rows), None)


def chosen(name: Name | None, given: Period, last: int, now_ns: int) -> Chosen:
    """The period that is meant, ending now at the latest. `given` are dates, which come before a name.

    Without either it is the usual one, or the first longer one in which the newest run, that of `last`, lies.
    """
    if given.since is not None or given.until is not None:
        latest = now_ns + 1 if last <= now_ns else last + _DAY
        until = latest if given.until is None else min(given.until, latest)
        since = (until - 1) // _DAY * _DAY - _DAYS * _DAY if given.since is None else given.since
        return Chosen(Period(since, until))
    if name is not None:
        return Chosen(_until_now(name, now_ns), name)
    for each in NAMES[NAMES.index(USUAL) :]:
        period = _until_now(each, now_ns)
        if (period.since or 0) <= last <= now_ns:
            return Chosen(period, each, "" if each == USUAL else "longer")
    return Chosen(Period(last // _DAY * _DAY - _DAYS * _DAY, last // _DAY * _DAY + _DAY), instead="elsewhere")


def _until_now(name: Name, now_ns: int) -> Period:
    """An hour begins with its minute; what is longer begins where roll-ups do."""
    since = (now_ns - HOUR) // _MINUTE * _MINUTE if name == "1h" else moment(name, now_ns)
    return Period(since, now_ns + 1)
