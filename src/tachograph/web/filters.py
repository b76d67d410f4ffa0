"""How templates say figures: the wording of the terminal, for the units of answers (milliseconds, USD, UTC times)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup

from tachograph.queries import wording
from tachograph.web.message import beginning, pretty

_HIDDEN = {
    **{code: chr(0x2400 + code) for code in range(32) if code not in {9, 10, 13}},
    127: "\u2421",
    **dict.fromkeys((*range(128, 160), *range(8206, 8208), *range(8234, 8239), *range(8294, 8298), 65279), "\ufffd"),
}
"""Control characters, and those that turn the direction of writing: shown, so that no text can look like another."""


def ms(value: float | None) -> str:
    """Milliseconds: `340 ms`, `1.2 s`, `2 m 05 s`."""
    return wording.duration(None if value is None else round(value * 1_000_000))


def usd(value: float | None, unpriced: int = 0) -> str:
    """USD, never rounded to a false zero; a lower bound (`≥`) while calls have no price."""
    return wording.money(None if value is None else round(value * 1_000_000_000), unpriced)


def ns(value: int | None) -> str:
    """Nanoseconds: `340 ms`, `1.2 s`, `2 m 05 s`."""
    return wording.duration(value)


def nano(value: int | None, unpriced: int = 0) -> str:
    """Nano-USD, never rounded to a false zero; a lower bound (`≥`) while calls have no price."""
    return wording.money(value, unpriced)


def tokens(value: int | None, missing: int = 0) -> str:
    """Tokens in three digits; a lower bound (`≥`) while calls have no usage."""
    return f"≥ {wording.short(value)}" if missing and value else wording.short(None if missing else value)


def percent(value: float | None) -> str:
    """A share that is given in percent: `97.5 %`."""
    return wording.share(None if value is None else value / 100)


def moment(value: datetime | None) -> Markup | str:
    """A time in UTC; a script of the page turns it into the viewer's zone, and UTC stays on hover."""
    if value is None:
        return wording.UNKNOWN
    shown = value.strftime("%Y-%m-%d %H:%M:%S")
    exact = f"{value:%Y-%m-%d %H:%M:%S.%f} UTC"
    return Markup('<time datetime="{}" title="{}">{}<span class="utc"> UTC</span></time>').format(
        value.isoformat(), exact, shown
    )


def visible(text: str) -> str:
    """Recorded text on the lines it has, with everything in it that cannot be seen made visible."""
    return text.translate(_HIDDEN)


def short(text: str, length: int = 8) -> str:
    """The last characters of an id, which is where two ids of the same time differ."""
    return text[-length:]


FILTERS: Mapping[str, Callable[..., Any]] = {
    "beginning": beginning,
    "count": wording.count,
    "moment": moment,
    "ms": ms,
    "nano": nano,
    "ns": ns,
    "percent": percent,
    "pretty": pretty,
    "short": short,
    "share": wording.share,
    "size": wording.size,
    "tokens": tokens,
    "usd": usd,
    "visible": visible,
    "outcome": wording.outcome,
    "some": wording.some,
}
