"""Amounts as people write them in policies: times, sizes, money, shares.

What cannot be read raises ValueError, which says what would have done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

SECOND = 1_000_000_000
_TIMES: Mapping[str, int] = {
    "ms": SECOND // 1000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3_600 * SECOND,
    "d": 86_400 * SECOND,
    "w": 7 * 86_400 * SECOND,
}
_SIZES: Mapping[str, int] = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_NUMBER = r"(\d+(?:\.\d+)?)"
_TIME = re.compile(rf"{_NUMBER}\s*(ms|[smhdw])")
_SIZE = re.compile(rf"{_NUMBER}\s*([a-z]+)", re.IGNORECASE)
_MOST = 2**63


def duration(value: object) -> int:
    """Nanoseconds of `30d`, `2w`, `12h`, `45m`, `90s`, `800ms`; more than 0."""
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    ns = int(Decimal(found[1]) * _TIMES[found[2]]) if found else 0
    if not 0 < ns < _MOST:
        raise ValueError("a time such as 30d, 12h, 45m, 90s or 800ms")
    return ns


def size(value: object) -> int:
    """Bytes of `5 GB` (10⁹ each), `5 GiB` (2³⁰ each), `800 MB`, or of a whole number of bytes; more than 0."""
    bytes_ = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())) and found[2].lower() in _SIZES:
        bytes_ = int(Decimal(found[1]) * _SIZES[found[2].lower()])
    if not 0 < bytes_ < _MOST:
        raise ValueError("a size such as 5 GB, 800 MB or 2 GiB, or a whole number of bytes")
    return bytes_


def dollars(value: object) -> float:
    """USD of `$2.50`, `2.50` or a number; 0 or more."""
    return _number(value, "an amount such as $2.50", before="$")


def share(value: object) -> float:
    """A share of `10 %` or of a number from 0 to 1."""
    wanted = "a share such as 10 % or 0.1, at most all"
    percent = isinstance(value, str) and value.rstrip().endswith("%")
    found = _number(value, wanted, after="%") / (100 if percent else 1)
    if found > 1:
        raise ValueError(wanted)
    return found


def count(value: object) -> int:
    """A whole number, 0 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST:
        raise ValueError("a whole number, 0 or more")
    return value


def time_text(ns: int) -> str:
    """A duration as `duration` reads it: `1h`, `90s`, `30d`; in the largest unit that is exact."""
    for unit in ("d", "h", "m", "s"):
        if ns % _TIMES[unit] == 0:
            return f"{ns // _TIMES[unit]}{unit}"
    return f"{ns / _TIMES['ms']:g}ms"


def _number(value: object, wanted: str, before: str = "", after: str = "") -> float:
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else "?"
    try:
        found = Decimal(text.removeprefix(before).removesuffix(after).strip())
    except InvalidOperation:
        found = Decimal(-1)
    if not (found.is_finite() and 0 <= found < _MOST):
        raise ValueError(wanted)
    return float(found)
