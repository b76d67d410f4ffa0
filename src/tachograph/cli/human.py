"""Values as people read them, in one line each.

What nobody knows is `—`, never 0. Text that was recorded is shown with its control characters made visible: a log must
not be able to write to the terminal of whoever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

import msgspec

from tachograph.events.content import Content
from tachograph.events.run import Failure
from tachograph.fold.handoffs import PERSON
from tachograph.queries import wording

_CONTROLS = (
    {code: chr(0x2400 + code) for code in range(32)}
    | {127: "\u2421"}
    | dict.fromkeys((*range(128, 160), *range(8234, 8239), *range(8294, 8298), 65279), "�")
)
"""Control characters, and those that turn the direction of writing, by something that can be seen."""
_ON_ONE_LINE = _CONTROLS | {9: " ", 10: "⏎", 13: ""}
_ON_LINES = _CONTROLS | {9: "    ", 10: "\n", 13: ""}

STATUS_STYLES: Mapping[str, str] = {
    "completed": "green",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
    "abandoned": "yellow",
    "skipped": "yellow",
    "paused": "magenta",
    "started": "cyan",
}
"""Status or tool state → colour."""


def moment(ns: int | None, zone: tzinfo | None = None, *, seconds: bool = False) -> str:
    """A point in time on the reader's clock (`zone`, or the machine's): `2026-11-21 06:55`."""
    if ns is None:
        return wording.UNKNOWN
    try:
        local = datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return wording.UNKNOWN
    return local.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def step_name(kind: str, name: str, width: int = 0) -> str:
    """The name of a step as it stands behind its kind, which it need not say again: `handoff to bookings`."""
    if (kind, name) == ("handoff", PERSON):
        return "to a person"
    return line(name.removeprefix(f"{kind} "), width)


def fault(error: Failure, width: int = 120) -> str:
    """An error on one line: its class without the module, and what it said."""
    return line(f"{error.type.rpartition('.')[2]}: {error.message}".removesuffix(": "), width)


def line(text: str, width: int = 0) -> str:
    """Recorded text on one line, at most `width` characters of it (0: all)."""
    if 0 < width < len(text):
        text = f"{text[: width - 1]}…"
    return text.translate(_ON_ONE_LINE)


def block(text: str) -> str:
    """Recorded text on the lines it has."""
    return text.translate(_ON_LINES)


def said(content: Content | None, width: int = 0) -> str:
    """What a content holds, on one line: text of a JSON string bare, other JSON as it stands."""
    if content is None:
        return ""
    if content.text is None:
        return f"({wording.size(content.size)}{'' if content.hash else ', not kept'})"
    text = content.text
    if text.startswith('"'):
        try:
            text = msgspec.json.decode(text, type=str)
        except msgspec.DecodeError:
            text = content.text
    return line(text, width)
