"""The completeness receipt as sentences: what is there, what is not as it was, and what nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from tachograph.queries.answers.receipts import OpenedStep, RunReceipt
from tachograph.queries.wording import count, size, some

Tone = Literal["good", "bad", "plain"]
MOST_STEPS = 50
_LEVELS: Mapping[str, str] = {"hashed": "kept as a hash only", "none": "not kept"}


class Check(Struct, frozen=True, kw_only=True):
    """One thing that a receipt says."""

    name: str
    tone: Tone
    """`bad` counts against completeness; `plain` is a wish that was followed, or other people's silence."""
    text: str


class Checked(Struct, frozen=True, kw_only=True):
    """A receipt."""

    is_complete: bool
    checks: tuple[Check, ...]
    open: tuple[OpenedStep, ...]
    more_open: int


def checked(found: RunReceipt) -> Checked:
    """A receipt as a page shows it."""
    return Checked(
        is_complete=found.complete,
        checks=(*_events(found), *_contents(found), *_figures(found)),
        open=found.open[:MOST_STEPS],
        more_open=max(0, len(found.open) - MOST_STEPS),
    )


def _events(found: RunReceipt) -> Iterator[Check]:
    text = f"{some(found.recorded, 'event')}, none missing" if not found.missing else (
        f"{count(found.recorded)} are there, {count(found.missing)} before the last one are missing"
    )  # fmt: skip
    if found.stored not in (None, found.recorded):
        text += f"; the store says that it holds {count(found.stored)}"
    yield _check("Events", text, bad=bool(found.missing) or found.stored not in (None, found.recorded))
    lost = f"{some(found.dropped, 'event')}, {size(found.dropped_bytes)}: {_named(found.losses)}"
    yield _check("Lost while recording", lost, bad=bool(found.dropped or found.losses))
    unended = f"{some(len(found.open), 'step')} began and never ended"
    yield _check("Steps without an end", unended, bad=bool(found.open))
    if found.unknown:
        yield Check(name="Of unknown types", tone="plain", text=f"{_named(found.unknown)}: kept as they came")


def _contents(found: RunReceipt) -> Iterator[Check]:
    kept = f"{some(found.contents, 'piece')} of content named by the events"
    yield Check(name="Contents", tone="plain", text=kept)
    cut = f"{some(found.truncated, 'content')}, at least {size(found.truncated_bytes)} are not there"
    yield _check("Cut", cut, bad=bool(found.truncated))
    shed = f"{some(found.shed, 'content')}, because the journal was full"
    yield _check("Given up", shed, bad=bool(found.shed))
    pending = f"{some(found.pending, 'content')} in a journal: not shown before it is masked"
    yield _check("Waiting to be masked", pending, bad=bool(found.pending))
    yield _said("Masked", found.redacted, "by rule: ")
    levels = {_LEVELS.get(level, level): times for level, times in found.withheld.items()}
    yield _said("Kept without its text", levels, "as was asked for: ")
    yield _said("Replaced", found.marks, "what JSON cannot hold: ")


def _figures(found: RunReceipt) -> Iterator[Check]:
    attempts = some(found.attempts, "model call")
    failed = (
        f", and for {count(found.usage_missing_failed)} that did not complete" if found.usage_missing_failed else ""
    )
    usage = f"Nobody counted the tokens of {count(found.usage_missing)} completed ones{failed}"
    missing = found.usage_missing or found.usage_missing_failed
    yield Check(name="Usage", tone="plain", text=f"{attempts}. {usage if missing else 'Each has its tokens'}")
    unpriced = f"{some(found.unpriced, 'call')} without a price: the cost is a lower bound"
    yield Check(name="Prices", tone="plain", text=unpriced if found.unpriced else "Each call that ended has one")


def _check(name: str, text: str, *, bad: bool) -> Check:
    """A thing that counts against completeness."""
    if name == "Events":
        return Check(name=name, tone="bad" if bad else "good", text=text)
    return Check(name=name, tone="bad" if bad else "good", text=text if bad else "None")


def _said(name: str, counts: Mapping[str, int], before: str) -> Check:
    return Check(name=name, tone="plain", text=f"{before}{_named(counts)}" if counts else "None")


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} × {count(times)}" for name, times in sorted(counts.items(), key=lambda each: -each[1]))
