"""Dates as a question over HTTP gives them: ISO 8601, both bounds inclusive, UTC unless they name a zone.

Answers show microseconds and a date means a whole day, so a bound includes all that looks like it: everything within
the last microsecond, and for a date without a time everything up to midnight.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from tachograph.errors import InvalidParameter
from tachograph.queries.period import SECOND, Period

StartDate = Annotated[
    str | None,
    Meta(
        description="From this moment on, included: an ISO 8601 date or time in any zone, UTC without one.",
        examples=["2024-01-01T00:00:00Z"],
    ),
]
EndDate = Annotated[
    str | None,
    Meta(description="Up to this moment, included; a date without a time is that whole day.", examples=["2024-01-31"]),
]

_WANTED = "an ISO 8601 date or time is wanted, for example 2024-01-31 or 2024-01-31T10:00:00+02:00 (+ is %2B in a URL)"
_DATE = re.compile(r"\d{4}-?(\d\d-?\d\d|W\d\d(-?\d)?)")
_LOST_PLUS = re.compile(r"(?<=\d) (?=\d\d(:?\d\d)?$)")
"""A URL's + that was read as a space: nothing else may stand between a time and its zone."""
_DAY = 86_400 * SECOND
_LEAST, _MOST = -(2**63), 2**63 - 1


def between(start: str | None, end: str | None) -> Period:
    """The period that `start_date` and `end_date` mean; None leaves its side open. Raises InvalidParameter."""
    since = None if start is None else _instant("start_date", start)
    if end is None:
        return Period(since)
    width = _DAY if _DATE.fullmatch(end.strip().upper()) else 1_000
    return Period(since, min(_instant("end_date", end) + width, _MOST))


def _instant(name: str, text: str) -> int:
    """UTC ns; what lies beyond the times that can be stored counts as the last of them."""
    try:
        when = datetime.fromisoformat(_with_plus(text.strip().upper()))
    except ValueError:
        raise InvalidParameter(name, text, _WANTED) from None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    since_epoch = when - datetime.fromtimestamp(0, UTC)
    ns = (since_epoch.days * 86_400 + since_epoch.seconds) * SECOND + since_epoch.microseconds * 1_000
    return max(_LEAST, min(ns, _MOST))


def _with_plus(text: str) -> str:
    date, time, zone = text.partition("T")
    return f"{date}{time}{_LOST_PLUS.sub('+', zone)}"
