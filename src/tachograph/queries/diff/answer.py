"""Two runs side by side, as an answer: both overviews, the totals, where they first part, and a page of their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from tachograph.fold.diff import Pair, Verdict
from tachograph.queries.answers.runs import RunOverview, overview
from tachograph.queries.diff.aligned import Aligned, aligned
from tachograph.queries.diff.sides import Origin, Side
from tachograph.queries.diff.steps import DiffStep, beginning, plain, steps
from tachograph.queries.diff.totals import Total, totals
from tachograph.queries.find import find
from tachograph.queries.pages import Text
from tachograph.store.ports import Reading

_NAMES = "a run id, an execution id, the first digits of either, or `last`"


class DiffAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which two runs, and how much of them."""

    left: Annotated[Text, Meta(description=f"A run: {_NAMES}.")]
    right: Annotated[Text, Meta(description="The run to compare it with.")]
    context: Annotated[
        Annotated[int, Meta(ge=0, le=1_000)] | None,
        Meta(description="Equal pairs to give before and behind each difference; without it all of them."),
    ] = None
    preview: Annotated[int, Meta(ge=0, le=10_000, description="Characters of each content to give; 0 for none.")] = 200
    limit: Annotated[int, Meta(ge=1, le=500, description="Most pairs to give.")] = 100
    offset: Annotated[int, Meta(ge=0, le=2**31, description="Pairs to leave out before the first.")] = 0


class StepPair(Struct, frozen=True, kw_only=True):
    """A step and the one that answers to it."""

    position: Annotated[int, Meta(description="Its place among all pairs, from 0.")]
    verdict: Annotated[
        Verdict, Meta(description="same: the same was asked and the same came of it. changed, only_left, only_right.")
    ]
    differences: Annotated[
        tuple[str, ...],
        Meta(
            description="What differs in a changed pair: model, arguments, input, status, error, finish_reason,"
            " stop_reason, answer, result, output."
        ),
    ]
    left: DiffStep | None
    right: DiffStep | None
    input_tokens: Annotated[int | None, Meta(description="`right - left`; null unless both are known. So are these:")]
    output_tokens: int | None
    total_cost: float | None
    duration_ms: float | None
    equal_before: Annotated[int, Meta(description="Equal pairs right before it that are not given.")]


class RunDiff(Struct, frozen=True, kw_only=True):
    """Two runs, compared step by step. Steps of the runs that they started are among theirs."""

    left: RunOverview
    right: RunOverview
    left_origin: Annotated[Origin | None, Meta(description="Where it was forked from.")]
    right_origin: Origin | None
    left_models: Annotated[tuple[str, ...], Meta(description="The models it called, in the order they came.")]
    right_models: tuple[str, ...]
    left_answer: Annotated[str | None, Meta(description="The beginning of what came of it.")]
    right_answer: str | None
    left_taken: Annotated[
        int, Meta(description="First steps of it that are not compared: the right run is its fork and took them over.")
    ]
    right_taken: int
    totals: Annotated[
        tuple[Total, ...], Meta(description="Runs below included; of a run and its fork only what is behind the fork.")
    ]
    same: Annotated[int, Meta(description="Pairs of which the same was asked, with the same outcome.")]
    changed: int
    only_left: int
    only_right: int
    divergence: Annotated[StepPair | None, Meta(description="The first pair that is not the same.")]
    pairs: Annotated[tuple[StepPair, ...], Meta(description="Every step of both runs once, in the order of the tree.")]
    total_count: Annotated[int, Meta(ge=0, description="Pairs on all pages together.")]
    equal_behind: Annotated[int, Meta(description="Equal pairs behind the last one that are not given.")]
    is_whole: Annotated[bool, Meta(description="False: one has more steps than are compared (its first 20,000).")]
    limit: Annotated[int, Meta(ge=1)]
    offset: Annotated[int, Meta(ge=0)]


def run_diff(store: Reading, asked: DiffAsked) -> RunDiff:
    """Both runs side by side. Raises NotFound, Ambiguous."""
    both = aligned(store, find(store, asked.left), find(store, asked.right))
    diff = both.diff
    given = chosen(diff.pairs, asked.context)
    shown = given[asked.offset : asked.offset + asked.limit]
    wanted = shown if diff.divergence is None else [*shown, diff.divergence]
    made = _Maker(store, both, wanted, asked.preview)
    behind = given[asked.offset - 1] if asked.offset and shown else -1
    before = dict(zip(shown, [behind, *shown], strict=False))
    is_last = asked.offset + asked.limit >= len(given)
    return RunDiff(
        left=overview(both.left.run),
        right=overview(both.right.run),
        left_origin=both.left.head.origin,
        right_origin=both.right.head.origin,
        left_models=_models(both.left),
        right_models=_models(both.right),
        left_answer=beginning(plain(both.left.head.answer), asked.preview),
        right_answer=beginning(plain(both.right.head.answer), asked.preview),
        left_taken=both.left.taken,
        right_taken=both.right.taken,
        totals=totals(store, both.left, both.right),
        same=diff.same,
        changed=diff.changed,
        only_left=diff.only_left,
        only_right=diff.only_right,
        divergence=None if diff.divergence is None else made.pair(diff.divergence),
        pairs=tuple(made.pair(place, place - before[place] - 1) for place in shown),
        total_count=len(given),
        equal_behind=len(diff.pairs) - 1 - (shown[-1] if shown else -1) if is_last else 0,
        is_whole=both.left.is_whole and both.right.is_whole,
        limit=asked.limit,
        offset=asked.offset,
    )


def chosen(pairs: Sequence[Pair], context: int | None) -> Sequence[int]:
    """The pairs that differ, with so many equal ones around each; an equal one that would be alone between two."""
    if context is None:
        return range(len(pairs))
    found: list[int] = []
    for place, pair in enumerate(pairs):
        if pair.verdict == "same":
            continue
        known = found[-1] if found else -1
        first = max(known + 1, place - context)
        found.extend(range(known + 1 if first == known + 2 else first, place))
        found.append(place)
        later = range(place + 1, min(place + 1 + context, len(pairs)))
        equal = next((each for each in later if pairs[each].verdict != "same"), later.stop)
        found.extend(range(place + 1, equal))
    return found


class _Maker:
    """Makes pairs of an answer."""

    def __init__(self, store: Reading, both: Aligned, wanted: Sequence[int], preview: int) -> None:
        self._both = both
        pairs = [both.diff.pairs[place] for place in wanted]
        self._left = _shown(store, both.left, [pair.left for pair in pairs], preview)
        self._right = _shown(store, both.right, [pair.right for pair in pairs], preview)

    def pair(self, place: int, equal_before: int = 0) -> StepPair:
        pair = self._both.diff.pairs[place]
        left = None if pair.left is None else self._left[pair.left]
        right = None if pair.right is None else self._right[pair.right]
        return StepPair(
            position=place,
            verdict=pair.verdict,
            differences=self._both.differing(pair),
            left=left,
            right=right,
            equal_before=equal_before,
            input_tokens=_apart(left, right, "input_tokens"),
            output_tokens=_apart(left, right, "output_tokens"),
            total_cost=_apart(left, right, "total_cost"),
            duration_ms=_apart(left, right, "duration_ms"),
        )


def _models(side: Side) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.row["name"] for entry in side.entries if entry.row["kind"] == "llm"))


def _shown(store: Reading, side: Side, places: Sequence[int | None], preview: int) -> Mapping[int, DiffStep]:
    return steps(store, side, [place for place in dict.fromkeys(places) if place is not None], preview)


def _apart(left: DiffStep | None, right: DiffStep | None, name: str) -> int | None:
    one, other = getattr(left, name, None), getattr(right, name, None)
    return None if one is None or other is None else other - one
