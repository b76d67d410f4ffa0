"""Two sequences of steps side by side: which step answers to which, and where they first part.

Steps are known by two names: `key` says exactly what was asked for, `kin` only what kind of step it is. A longest
common subsequence by `key` holds both sides together; in each gap that it leaves, another one by `kin` does. Lengths of
common subsequences are rows of bits in whole numbers (Hyyrö 2004): 10,000 steps against 10,000 take a tenth of a second
at worst, whatever they are. Longer sequences are aligned in windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

Verdict = Literal["same", "changed", "only_left", "only_right"]

WINDOW = 20_000
"""Steps of each side that are held against each other at once: up to 50 MB of bits."""


class Known(NamedTuple):
    """What a step is known by."""

    key: str
    """Equal for steps of which the same was asked."""
    kin: str
    """Equal for steps that can stand beside each other; equal keys have equal kin."""


class Pair(NamedTuple):
    """A step and the one that answers to it, by their places; one of the two may be None."""

    left: int | None
    right: int | None
    verdict: Verdict


class Diff(Struct, frozen=True):
    """Two sequences, aligned: every step of both is in exactly one pair, in the order of its side."""

    pairs: tuple[Pair, ...]
    divergence: int | None
    """The first pair that is not the same; None where there is none."""
    same: int
    changed: int
    only_left: int
    only_right: int


Agrees = Callable[[int, int], bool]
"""Whether the steps at these places, of which the same was asked, had the same outcome."""


def diff(left: Sequence[Known], right: Sequence[Known], agrees: Agrees = lambda _left, _right: True) -> Diff:
    """Both sequences aligned and judged. `diff(right, left)` is its mirror image."""
    return judge(left, right, align(left, right), agrees)


def judge(left: Sequence[Known], right: Sequence[Known], matches: Sequence[tuple[int, int]], agrees: Agrees) -> Diff:
    """The difference, from the places that answer to each other (see `align`)."""
    pairs: list[Pair] = []
    at, to = 0, 0
    for here, there in (*matches, (len(left), len(right))):
        pairs.extend(Pair(place, None, "only_left") for place in range(at, here))
        pairs.extend(Pair(None, place, "only_right") for place in range(to, there))
        if here < len(left):
            same = left[here].key == right[there].key and agrees(here, there)
            pairs.append(Pair(here, there, "same" if same else "changed"))
        at, to = here + 1, there + 1
    verdicts = [pair.verdict for pair in pairs]
    return Diff(
        tuple(pairs),
        next((place for place, verdict in enumerate(verdicts) if verdict != "same"), None),
        *(verdicts.count(verdict) for verdict in ("same", "changed", "only_left", "only_right")),
    )


def align(left: Sequence[Known], right: Sequence[Known]) -> list[tuple[int, int]]:
    """The places that answer to each other, in order: equal keys first, and equal kin between these."""
    if ([len(left)], *left) > ([len(right)], *right):
        # The same question either way round has the same answer.
        return [(here, there) for there, here in align(right, left)]
    firm = common([step.key for step in left], [step.key for step in right])
    found: list[tuple[int, int]] = []
    at, to = 0, 0
    for here, there in (*firm, (len(left), len(right))):
        gap = common([step.kin for step in left[at:here]], [step.kin for step in right[to:there]])
        found.extend((at + one, to + other) for one, other in gap)
        found.append((here, there))
        at, to = here + 1, there + 1
    return found[:-1]


def common(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Places of a common subsequence, the longest within each window."""
    found: list[tuple[int, int]] = []
    at, to = 0, 0
    while at < len(left) and to < len(right):
        one, other = left[at : at + WINDOW], right[to : to + WINDOW]
        matches = _within(one, other)
        found.extend((at + here, to + there) for here, there in matches)
        is_last = at + WINDOW >= len(left) and to + WINDOW >= len(right)
        last = (WINDOW - 1, WINDOW - 1) if is_last or not matches else matches[-1]
        at, to = at + last[0] + 1, to + last[1] + 1
    return found


def _within(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """A longest common subsequence; what both begin and end with is a part of it."""
    shorter = min(len(left), len(right))
    head = next((place for place in range(shorter) if left[place] != right[place]), shorter)
    rest = shorter - head
    tail = next((place for place in range(rest) if left[-1 - place] != right[-1 - place]), rest)
    inner = _longest(left[head : len(left) - tail], right[head : len(right) - tail])
    return [
        *((place, place) for place in range(head)),
        *((head + here, head + there) for here, there in inner),
        *((len(left) - place, len(right) - place) for place in range(tail, 0, -1)),
    ]


def _longest(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    rows = list(_rows(left, right))
    found: list[tuple[int, int]] = []
    row, bit = len(left) - 1, len(right) - 1
    while row >= 0 and bit >= 0:
        if rows[row] >> bit & 1:
            bit -= 1
        elif row and not rows[row - 1] >> bit & 1:
            row -= 1
        else:
            found.append((row, bit))
            row, bit = row - 1, bit - 1
    return found[::-1]


def _rows(left: Sequence[str], right: Sequence[str]) -> Iterator[int]:
    """For each step of the left a number: a bit is 0 where one more step of the right makes the subsequence longer."""
    places: dict[str, int] = {}
    for place, key in enumerate(right):
        places[key] = places.get(key, 0) | 1 << place
    whole = (1 << len(right)) - 1
    row = whole
    for key in left:
        met = row & places.get(key, 0)
        row = (row + met | row - met) & whole
        yield row
