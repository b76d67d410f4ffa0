"""Figures as people read them, in a terminal and on a page. What nobody knows is `—`, never 0."""

from __future__ import annotations

from datetime import UTC, datetime

from tachograph.fold.cost import usd_text

UNKNOWN = "—"
"""For figures that nobody gave."""

_STEPS = ((1_000, "ns", 1), (1_000_000, "µs", 1_000), (1_000_000_000, "ms", 1_000_000))


def duration(ns: int | None) -> str:
    """`340 ms`, `1.2 s`, `2 m 05 s`, `3 h 07 m`, `2 d 04 h`."""
    if ns is None:
        return UNKNOWN
    if ns == 0:
        return "0 s"
    for below, unit, size in _STEPS:
        if ns < below:
            return f"{_three(ns / size)} {unit}"
    seconds = ns / 1e9
    if seconds < 59.95:
        return f"{_three(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02} h"


def iso(ns: int | None) -> str | None:
    """The same for machines: UTC, ISO 8601 with microseconds; None stays None."""
    if ns is None:
        return None
    whole = datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns // 1000 % 1_000_000)
    return whole.isoformat(timespec="microseconds").replace("+00:00", "Z")


def count(number: int | None) -> str:
    """A whole number: `12,345`."""
    return UNKNOWN if number is None else f"{number:,}"


def some(number: int, thing: str) -> str:
    """A number of things: `1 call`, `1,200 calls`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def cut(text: str, length: int) -> str:
    """The beginning of a text: at most so many characters, and `…` where there are more."""
    return text if len(text) <= length else f"{text[:length]}…"


def short(number: int | None) -> str:
    """A large number in three digits: `12,345` is `12.3k`; below 10,000 it stands as it is."""
    if number is None:
        return UNKNOWN
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 10 * size or (number >= size > 10**3):
            return f"{_three(number / size)}{unit}"
    return str(number)


def size(number: float | None) -> str:
    """Bytes: `512 B`, `1.5 KiB`, `3.2 MiB`."""
    if number is None:
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{_three(number)} {unit}"
        number /= 1024
    return f"{_three(number)} TiB"


def money(nano: int | None, unpriced: int = 0) -> str:
    """Nano-USD. With calls that have no price it is a lower bound, and says so: `≥ $0.42`; all unknown is `—`."""
    if nano is None or (nano == 0 and unpriced):
        return UNKNOWN
    return f"≥ {usd_text(nano)}" if unpriced else usd_text(nano)


def share(part: float | None) -> str:
    """A share between 0 and 1: `97.5 %`."""
    return UNKNOWN if part is None else f"{part * 100:.1f} %"


def outcome(status: str, stop_reason: str = "") -> str:
    """How something ended: `failed: tool_loop`; an accepted answer needs no reason."""
    return status if stop_reason in ("", "final_answer", "process_died") else f"{status}: {stop_reason}"


def _three(number: float) -> str:
    """Three digits that matter, no more: `1.25`, `12.5`, `125`."""
    places = 2 if number < 9.995 else 1 if number < 99.95 else 0
    text = f"{number:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
