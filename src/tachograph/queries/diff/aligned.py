"""Two sides, aligned and judged: which steps are the same, and in what the others differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tachograph.fold.diff import Diff, Pair, align, judge
from tachograph.queries.diff.replies import Read, replies
from tachograph.queries.diff.sides import NAMED_ONLY, Entry, Origin, Side, ended, given, head_of, runs_of, side
from tachograph.queries.runs import Run
from tachograph.store.ports import Reading


class Aligned(NamedTuple):
    """Two runs, step beside step."""

    left: Side
    right: Side
    diff: Diff
    apart: Mapping[int, tuple[str, ...]]
    """Left place of two steps of which the same was asked → what of their ends differs."""

    def differing(self, pair: Pair) -> tuple[str, ...]:
        """In what the two steps of a pair differ; nothing for a step that is alone."""
        if pair.left is None or pair.right is None or pair.verdict == "same":
            return ()
        asked = _asked(self.left.entries[pair.left], self.right.entries[pair.right])
        return (*asked, *self.apart.get(pair.left, ()))


def aligned(store: Reading, left: Run, right: Run) -> Aligned:
    """Both runs with all that is below them. What a fork took over from the other run is left out of that one."""
    heads = head_of(store, left), head_of(store, right)
    sides = [
        side(store, run, own, runs_of(store, run), _taken(run, other.origin))
        for run, own, other in ((left, *heads), (right, *heads[::-1]))
    ]
    return _judged(store, *sides)


def _taken(run: Run, other: Origin | None) -> int:
    """The last event of a run that the other one began with; -1 where that is no fork of it."""
    return other.seq if other is not None and other.run_id == run.id else -1


def _judged(store: Reading, left: Side, right: Side) -> Aligned:
    matches = align(left.known, right.known)
    both = [(left.entries[here], right.entries[there]) for here, there in matches]
    read = replies(store, (node for pair in both for node in _doubtful(*pair)))
    apart = {here: found for (here, _), pair in zip(matches, both, strict=True) if (found := tuple(_ends(*pair, read)))}
    return Aligned(left, right, judge(left.known, right.known, matches, lambda here, _: here not in apart), apart)


def _asked(left: Entry, right: Entry) -> Iterator[str]:
    """What was asked of them that is not the same."""
    kind = left.row["kind"]
    if kind == "llm" and left.row["name"] != right.row["name"]:
        yield "model"
    elif kind == "tool" and left.more.get("arguments_hash") != right.more.get("arguments_hash"):
        yield "arguments"
    elif kind not in ("llm", "tool", *NAMED_ONLY) and given(left) != given(right):
        yield "input"


def _ends(left: Entry, right: Entry, read: Read) -> Iterator[str]:
    """What of their ends is not the same."""
    for (name, one), (_, other) in zip(ended(left), ended(right), strict=True):
        if one != other:
            yield name
    for one, other in _pairs_of_nodes(left, right):
        if not _agree(one, other, read):
            yield "answer" if left.row["kind"] == "llm" else "result"
            return
    if left.asked != right.asked:
        yield "answer"


def _doubtful(left: Entry, right: Entry) -> tuple[int | None, ...]:
    return tuple(node for pair in _pairs_of_nodes(left, right) for node in pair)


def _pairs_of_nodes(left: Entry, right: Entry) -> Sequence[tuple[int | None, int | None]]:
    """The messages that came of both, where that may not be the same one."""
    kind = left.row["kind"]
    name = "output_node" if kind == "llm" else "result_node"
    one, other = left.more.get(name), right.more.get(name)
    apart = one != other
    if kind == "tool" and (left.more.get("result_hash") or right.more.get("result_hash")):
        return ()  # it has been compared
    return ((one, other),) if apart else ()


def _agree(one: int | None, other: int | None, read: Read) -> bool:
    if one is None or other is None:
        return False
    left, right = read(one), read(other)
    return left == right
