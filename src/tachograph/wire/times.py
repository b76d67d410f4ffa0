"""Times as others write them → UTC nanoseconds since 1970.

ISO 8601 with or without a zone (without one it is taken as UTC: nobody said more), and numbers since 1970 whose unit
shows in their size: seconds, milliseconds, microseconds or nanoseconds. Integers all the way, so that no digit is lost.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

_EPOCH_DAY = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - only its day number is used
_LATEST = 2**63 - 1
_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
"""Numbers below the first are counted in units of the second, in nanoseconds."""


def nanoseconds(value: Any) -> int | None:
    """UTC nanoseconds of an ISO text, or of a number (or text of one) since 1970; None for anything else."""
    if isinstance(value, str):
        return _from_iso(value) if "-" in value[1:] or ":" in value else _from_number(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _from_number(str(value))
    return None


def duration(seconds: Any) -> int | None:
    """Nanoseconds of a duration in seconds; None when it is no number or below 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | Decimal):
        return None
    exact = _decimal(str(seconds))
    return None if exact is None or exact < 0 else _bounded(int(exact * 10**9))


def _from_iso(text: str) -> int | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    seconds = (when.toordinal() - _EPOCH_DAY) * 86_400 + when.hour * 3_600 + when.minute * 60 + when.second
    micros = seconds * 1_000_000 + when.microsecond
    offset = when.utcoffset()
    if offset is not None:
        micros -= (offset.days * 86_400 + offset.seconds) * 1_000_000 + offset.microseconds
    return _bounded(micros * 1_000)


def _from_number(text: str) -> int | None:
    exact = _decimal(text)
    if exact is None or exact < 0:
        return None
    unit = next((unit for below, unit in _UNITS if exact < below), 1)
    return _bounded(int(exact * unit))


def _decimal(text: str) -> Decimal | None:
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return None
    return exact if exact.is_finite() and exact.adjusted() < 20 else None


def _bounded(ns: int) -> int | None:
    return ns if 0 <= ns <= _LATEST else None
