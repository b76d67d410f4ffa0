"""Two runs side by side, as templates show them: rows of steps with the contents in which they differ."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from tachograph.queries.diff import words
from tachograph.queries.diff.answer import RunDiff, StepPair
from tachograph.queries.diff.steps import DiffStep
from tachograph.queries.diff.words import Change
from tachograph.web.apart import Pieces, apart, whole


class Content(Struct, frozen=True):
    """What went into a step, or came out of it, on both sides."""

    name: str
    left: Pieces
    right: Pieces


class Row(Struct, frozen=True, kw_only=True):
    """A pair of steps."""

    pair: StepPair
    verdict: str
    is_divergence: bool
    differences: tuple[str, ...]
    input: Content | None
    output: Content | None
    changes: tuple[tuple[str, Change], ...]
    """The figures in which it differs."""


def answers(diff: RunDiff) -> tuple[Pieces, Pieces]:
    """What came of both runs."""
    return apart(diff.left_answer, diff.right_answer)


def rows(diff: RunDiff) -> Iterator[Row]:
    """The pairs of a page."""
    first = None if diff.divergence is None else diff.divergence.position
    for pair in diff.pairs:
        yield row(pair, is_divergence=pair.position == first)


def row(pair: StepPair, *, is_divergence: bool = False) -> Row:
    """One pair; contents of two steps that are the same are not shown."""
    told = pair.verdict != "same"
    return Row(
        pair=pair,
        verdict=words.VERDICTS[pair.verdict],
        is_divergence=is_divergence,
        differences=words.differences(pair),
        input=_content(pair, "input") if told else None,
        output=_content(pair, "output") if told else None,
        changes=tuple(words.changes(pair)),
    )


def _content(pair: StepPair, name: str) -> Content | None:
    left, right = _text(pair.left, name), _text(pair.right, name)
    if left is None and right is None:
        return None
    if pair.left is None or pair.right is None:
        return Content(name, whole(left), whole(right))
    return Content(name, *apart(left, right))


def _text(step: DiffStep | None, name: str) -> str | None:
    found: str | None = None if step is None else getattr(step, name)
    return found
