"""Recorded figures in the units of answers: UTC times, milliseconds, US dollars. What nobody knows stays None."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

Time = Annotated[datetime, Meta(tz=True)]
"""A moment, UTC: ISO 8601 with `Z` in JSON, and microseconds where there are any."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_NANO = 1_000_000_000


def time(ns: int) -> datetime:
    """UTC nanoseconds as a moment; what is below a microsecond is cut off."""
    return _EPOCH + timedelta(microseconds=ns // 1_000)


def maybe_time(ns: int | None) -> datetime | None:
    """The same for what may not have happened yet."""
    return None if ns is None else time(ns)


def whole_ms(ns: int | None) -> int | None:
    """Nanoseconds as whole milliseconds, rounded."""
    return None if ns is None else (ns + 500_000) // 1_000_000


def ms(ns: float) -> float:
    """Nanoseconds as milliseconds, to the microsecond."""
    return round(ns / 1_000_000, 3)


def maybe_ms(ns: float | None) -> float | None:
    """The same for what nobody measured."""
    return None if ns is None else ms(ns)


def usd(nano: int) -> float:
    """Nano-USD as USD."""
    return nano / _NANO


def maybe_usd(nano: int | None) -> float | None:
    """The same for what has no price."""
    return None if nano is None else usd(nano)
