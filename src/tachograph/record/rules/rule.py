"""A rule: a cheap question to raw bytes, and an exact search in text.

`screen` runs over every text that is recorded: it may say yes wrongly, but never no wrongly. `find` runs only after a
yes, over one decoded string at a time, and says exactly which characters go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """Characters that have to go: `text[start:end]`, and the name that stands in their place."""

    start: int
    end: int
    name: str


class Rule(NamedTuple):
    """One way of recognising what must not be kept."""

    name: str
    screen: Callable[[bytes], bool]
    """Whether UTF-8 bytes (plain text, or JSON with its escapes) could hold a match."""
    find: Callable[[str], Iterable[Span]]
    """All matches in a decoded string, in any order; they may overlap."""


def merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans in order, overlapping ones as one that covers both: of two secrets that overlap no half survives."""
    waiting: Span | None = None
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.end <= span.start:
            continue
        if waiting is not None and span.start < waiting.end:
            waiting = Span(waiting.start, max(waiting.end, span.end), waiting.name)
            continue
        if waiting is not None:
            yield waiting
        waiting = span
    if waiting is not None:
        yield waiting
