"""Two runs side by side in words, for the terminal and for pages: signed differences, verdicts, where they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from tachograph.queries import wording
from tachograph.queries.answers.runs import RunOverview
from tachograph.queries.diff.answer import RunDiff, StepPair
from tachograph.queries.diff.totals import Total, Unit

SIDES = ("A", "B")
"""What the two runs are called: beside each other or, where there is no room for that, below each other."""
VERDICTS: Mapping[str, str] = {
    "same": "same", "changed": "changed", "only_left": "only in A", "only_right": "only in B",
}  # fmt: skip
NAMES: Mapping[str, str] = {
    "duration_ms": "Time", "llm_calls": "Model calls", "tool_calls": "Tool calls", "errors": "Errors",
    "interventions": "Interventions", "input_tokens": "Input tokens", "uncached_tokens": "uncached",
    "cache_read_tokens": "cache read", "cache_write_tokens": "cache write", "output_tokens": "Output tokens",
    "reasoning_tokens": "reasoning", "total_cost": "Cost",
}  # fmt: skip
PARTS = frozenset(("uncached_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"))
"""Figures that are a part of the one above them."""
ASKED = frozenset(("model", "arguments", "input"))
"""Differences in what was asked of a step; the others are in what came of it."""
KINDS: Mapping[str, str] = {"llm": "model call", "tool": "tool call", "run": "run", "handoff": "hand-off"}
_FIGURES: tuple[tuple[str, str, Unit], ...] = (
    ("time", "duration_ms", "ms"), ("input", "input_tokens", "tokens"), ("output", "output_tokens", "tokens"),
    ("cost", "total_cost", "usd"),
)  # fmt: skip

Direction = Literal["more", "less", "equal", "unknown"]


class Change(Struct, frozen=True):
    """A difference in words: `+1.2 s`, and which way it goes."""

    text: str
    way: Direction
    note: str = ""
    """Which share of the left figure it is (`+12.5 %`), or what it leaves out."""


class Line(Struct, frozen=True, kw_only=True):
    """One figure of both runs."""

    name: str
    left: str
    right: str
    change: Change
    is_part: bool


class Parting(Struct, frozen=True):
    """Where two runs first part, as a sentence around the name of the step."""

    place: int
    """The row, counted from 1."""
    before: str
    name: str
    after: str


def remarks(left: RunOverview, right: RunOverview) -> tuple[str, ...]:
    """What to know before reading on."""
    unended = [title for title, run in zip(SIDES, (left, right), strict=True) if run.end_time is None]
    return (
        *(("A and B are the same run.",) if left.id == right.id else ()),
        *(f"{title} has not ended: this is how far it has come." for title in unended),
    )


def count_of(diff: RunDiff) -> int:
    """All rows of both runs together."""
    return diff.same + diff.changed + diff.only_left + diff.only_right


def parting(first: StepPair) -> Parting:
    """The first difference in a sentence."""
    place, step = first.position + 1, first.left or first.right
    name = "" if step is None else step.name
    kind = "" if step is None else KINDS.get(step.kind, f"{step.kind} step")
    if first.verdict != "changed":
        side, other = SIDES if first.verdict == "only_left" else SIDES[::-1]
        return Parting(place, f"only {side} has the {kind}", name, f"there; {other} has no such step.")
    words = _listed(differences(first))
    if ASKED.isdisjoint(first.differences):
        return Parting(place, f"the {kind}", name, f"was asked the same and differs in {words}.")
    return Parting(place, f"the {kind}", name, f"differs in {words}.")


def differences(pair: StepPair) -> tuple[str, ...]:
    """In what two steps differ: `finish reason`, `answer`."""
    return tuple(name.replace("_", " ") for name in pair.differences)


def lines(diff: RunDiff) -> tuple[Line, ...]:
    """The totals of both."""
    return tuple(_line(total) for total in diff.totals)


def changes(pair: StepPair) -> Iterator[tuple[str, Change]]:
    """The figures in which two steps differ."""
    for name, field, unit in _FIGURES:
        difference = getattr(pair, field)
        if difference:
            yield name, change(unit, difference)


def change(unit: Unit, difference: float | None, left: float | None = None, *, is_known: bool = True) -> Change:
    """A difference: never without its sign. Where not all is known, it is one of what is, and goes no way."""
    if difference is None:
        return Change(wording.UNKNOWN, "unknown")
    sign = "+" if difference > 0 else "−"
    text = f"{sign}{figure(unit, abs(difference))}" if difference else "equal"
    if not is_known:
        return Change(text, "unknown", "of what is known")
    if difference == 0:
        return Change(text, "equal")
    share = f"{sign}{abs(difference) / left * 100:.1f} %" if left else ""
    return Change(text, "more" if difference > 0 else "less", share)


def figure(unit: Unit, value: float | None, *, is_least: bool = False) -> str:
    """A figure in its unit; a lower bound says so."""
    if value is None:
        return wording.UNKNOWN
    match unit:
        case "ms":
            text = wording.duration(round(value * 1e6))
        case "usd":
            text = wording.money(round(value * 1e9))
        case "tokens":
            text = wording.short(round(value))
        case _:
            text = wording.count(round(value))
    return f"≥ {text}" if is_least else text


def _line(total: Total) -> Line:
    is_known = not (total.left_is_least or total.right_is_least)
    return Line(
        name=NAMES[total.name],
        left=figure(total.unit, total.left, is_least=total.left_is_least),
        right=figure(total.unit, total.right, is_least=total.right_is_least),
        change=change(total.unit, total.difference, total.left, is_known=is_known),
        is_part=total.name in PARTS,
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
