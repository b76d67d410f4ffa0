"""The completeness receipt of a run: what was recorded, and everything that is not as it was.

Derived from the run's events alone, so it says the same on every machine. What a store adds (how many of the events it
holds) is an argument. `complete` is the one word for it; the figures say why not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.events.call import CallEnded
from tachograph.events.codec import BODY_TYPES
from tachograph.events.content import Content
from tachograph.events.envelope import Body, Event
from tachograph.events.note import Loss, Unknown
from tachograph.fold.steps import Open
from tachograph.fold.totals import Tally


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of one run's events and contents. All maps go from a name to a count; names of nothing are absent."""

    run: str = ""
    recorded: int = 0
    """Events seen, each once."""
    stored: int | None = None
    """Events that the store holds; None when nobody asked it."""
    missing: int = 0
    """Events before the last one that are not there."""
    dropped: int = 0
    """Events that the writers say they could not record."""
    dropped_bytes: int = 0
    losses: Mapping[str, int] = {}
    """Reason → how often something could not be recorded."""
    contents: int = 0
    """Pieces of content named by the events."""
    truncated: int = 0
    """Contents that were cut."""
    truncated_bytes: int = 0
    """Bytes that were cut off: at least so many."""
    redacted: Mapping[str, int] = {}
    """Rule → how often it fired."""
    marks: Mapping[str, int] = {}
    """What sanitising replaced → in how many contents."""
    withheld: Mapping[str, int] = {}
    """Capture level → contents that it kept no text of: hashed, none."""
    shed: int = 0
    """Contents that were given up because the journal was full."""
    pending: int = 0
    """Contents that still wait in a journal for redaction."""
    unknown: Mapping[str, int] = {}
    """Event types this version does not know."""
    attempts: int = 0
    usage_missing: int = 0
    """Completed attempts that nobody gave a usage for."""
    usage_missing_failed: int = 0
    """The same for attempts that failed, were cancelled or abandoned: often there was none."""
    unpriced: int = 0
    """Ended attempts without a price."""
    open: tuple[Open, ...] = ()
    """Steps without an end."""

    @property
    def complete(self) -> bool:
        """Whether every event is there, no content was given up or cut, and every step has its end.

        Redaction and a lower capture level are wishes, missing usage and prices are other people's silence: they do
        not count against it.
        """
        lacks = (self.missing, self.dropped, self.losses, self.truncated, self.shed, self.pending, self.open)
        return self.stored in (None, self.recorded) and not any(lacks)


class ReceiptFold:
    """Writes the receipt of one run as its events come, in order of seq; events seen before are ignored."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._run = ""
        self._counts: Counter[str] = Counter()
        self._completed: set[int] = set()
        self._named: dict[str, Counter[str]] = {name: Counter() for name in _NAMED}

    def apply(self, event: Event) -> bool:
        """Take in one event; False for one that was seen before."""
        before, again = self._tally.seq, event.step in self._tally.costs
        if not self._tally.apply(event):
            return False
        self._run = self._run or event.run
        self._counts["recorded"] += 1
        self._counts["missing"] += event.seq - before - 1
        if isinstance(event.body, CallEnded) and not again:
            self._ended(event.step, event.body)
        self._body(event.body)
        for content in contents(event.body):
            self._content(content)
        return True

    def receipt(self, stored: int | None = None) -> Receipt:
        """The receipt so far; `stored` is how many of the run's events a store holds."""
        totals = self._tally.totals()
        figures: dict[str, Any] = dict(self._counts)
        for name, counter in self._named.items():
            figures[name] = {key: count for key, count in counter.items() if count}
        silent = [call for call, usage in self._tally.usages.items() if usage.basis == "missing"]
        figures["usage_missing"] = sum(call in self._completed for call in silent)
        figures["usage_missing_failed"] = len(silent) - figures["usage_missing"]
        return Receipt(
            run=self._run,
            stored=stored,
            attempts=totals.attempts,
            unpriced=totals.unpriced,
            open=tuple(self._tally.open.values()),
            **figures,
        )

    def _body(self, body: Body) -> None:
        match body:
            case Loss(reason=reason, events=events, bytes=size):
                self._counts["dropped"] += events
                self._counts["dropped_bytes"] += size
                self._named["losses"][reason] += 1
            case Unknown(type=name):
                self._named["unknown"][name] += 1

    def _ended(self, call: int, body: CallEnded) -> None:
        if body.status == "completed":
            self._completed.add(call)

    def _content(self, content: Content) -> None:
        self._counts["contents"] += 1
        if content.full_size is not None:
            self._counts["truncated"] += 1
            self._counts["truncated_bytes"] += max(0, content.full_size - content.size)
        self._named["redacted"].update(content.redacted or {})
        self._named["marks"].update(content.marks)
        if "shed" in content.marks:
            self._counts["shed"] += 1
        elif content.level in ("hashed", "none"):
            self._named["withheld"][content.level] += 1
        self._counts["pending"] += content.level == "pending"


def fold(events: Iterable[Event], stored: int | None = None) -> Receipt:
    """The receipt of one run from its events, in order."""
    receipt = ReceiptFold()
    for event in events:
        receipt.apply(event)
    return receipt.receipt(stored)


def contents(body: Body) -> Iterator[Content]:
    """Every piece of content that an event carries or names."""
    for name in _CONTENT_FIELDS.get(type(body), ()):
        content = getattr(body, name)
        if content is not None:
            yield content


_NAMED = ("losses", "redacted", "marks", "withheld", "unknown")


def _content_fields(kind: type[Struct]) -> tuple[str, ...]:
    hints = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return tuple(name for name, hint in hints.items() if hint in (Content, Content | None))


_CONTENT_FIELDS: Mapping[type, tuple[str, ...]] = {kind: _content_fields(kind) for kind in BODY_TYPES.values()}
