from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.fold import diff as tachograph_diff
from tachograph.fold.diff import Diff, Known, Pair, align, common, diff

MIRROR = {"only_left": "only_right", "only_right": "only_left"}

steps = st.builds(
    lambda kin, asked: Known(f"{kin}{asked}", kin), st.sampled_from("abc"), st.integers(0, 2)
)  # equal keys have equal kin
runs = st.lists(steps, max_size=14)
letters = st.text("abcd", max_size=14)


def known(text: str) -> list[Known]:
    """A step for each word: its first letter is its kin."""
    return [Known(word, word[0]) for word in text.split()]


def verdicts(left: str, right: str) -> list[str]:
    """Each pair as `a1=a1`, `a1~a2`, `a1<`, `>b1`."""
    ours, theirs = known(left), known(right)
    sign = {"same": "=", "changed": "~", "only_left": "<", "only_right": ">"}
    return [
        ("" if pair.left is None else ours[pair.left].key)
        + sign[pair.verdict]
        + ("" if pair.right is None else theirs[pair.right].key)
        for pair in diff(ours, theirs).pairs
    ]


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("a1 b1 c1", "a1 b1 c1", ["a1=a1", "b1=b1", "c1=c1"]),
        ("a1 b1 c1", "a1 c1", ["a1=a1", "b1<", "c1=c1"]),
        ("a1 c1", "a1 b1 c1", ["a1=a1", ">b1", "c1=c1"]),
        ("a1 b1 c1", "a1 b2 c1", ["a1=a1", "b1~b2", "c1=c1"]),
        ("a1 b1", "a1 c1", ["a1=a1", "b1<", ">c1"]),
        ("a1 a2 b1", "a2 b1", ["a1<", "a2=a2", "b1=b1"]),
        ("", "a1", [">a1"]),
        ("", "", []),
    ],
)
def test_steps_are_held_together_by_what_was_asked(left: str, right: str, told: list[str]) -> None:
    """Equal ones first; between them those of a kind are changed, and what is left over is on one side only."""
    assert verdicts(left, right) == told


@given(runs)
def test_nothing_differs_from_itself(run: list[Known]) -> None:
    """Every step of a run is the same as itself, and there is no divergence."""
    assert diff(run, run) == Diff(
        tuple(Pair(place, place, "same") for place in range(len(run))), None, len(run), 0, 0, 0
    )


@given(runs, runs)
def test_the_other_way_round_is_the_mirror_image(left: list[Known], right: list[Known]) -> None:
    """The same pairs with their sides exchanged; the order of what is on one side only may be another."""
    there, back = diff(left, right), diff(right, left)
    mirrored = {Pair(pair.right, pair.left, MIRROR.get(pair.verdict, pair.verdict)) for pair in back.pairs}  # type: ignore[arg-type]
    assert set(there.pairs) == mirrored
    assert (there.same, there.changed, there.only_left, there.only_right) == (
        back.same, back.changed, back.only_right, back.only_left,
    )  # fmt: skip
    assert there.divergence == back.divergence


@given(runs, runs)
def test_every_step_is_there_once_and_in_order(left: list[Known], right: list[Known]) -> None:
    """Each side can be read off the pairs; the first that is not the same is the divergence."""
    found = diff(left, right)
    assert [pair.left for pair in found.pairs if pair.left is not None] == list(range(len(left)))
    assert [pair.right for pair in found.pairs if pair.right is not None] == list(range(len(right)))
    assert all((pair.left is None) == (pair.verdict == "only_right") for pair in found.pairs)
    assert all((pair.right is None) == (pair.verdict == "only_left") for pair in found.pairs)
    assert [pair.verdict == "same" for pair in found.pairs[: found.divergence]].count(False) == 0
    assert found.divergence is None or found.pairs[found.divergence].verdict != "same"
    counts = (found.same, found.changed, found.only_left, found.only_right)
    assert sum(counts) == len(found.pairs)


@given(runs, runs)
def test_what_both_begin_with_stands_together(left: list[Known], right: list[Known]) -> None:
    """As far as both begin with the same steps, these answer to each other."""
    shorter = min(len(left), len(right))
    head = next((place for place in range(shorter) if left[place] != right[place]), shorter)
    assert align(left, right)[:head] == [(place, place) for place in range(head)]


@given(letters, letters)
def test_a_common_subsequence_is_the_longest(left: str, right: str) -> None:
    """As long as the classic table says it can be, in order on both sides, of equal items only."""
    found = common(left, right)
    assert all(left[here] == right[there] for here, there in found)
    for side in zip(*found, strict=True):
        assert list(side) == sorted(set(side))
    assert len(found) == _longest(left, right)


def test_the_same_question_with_another_outcome_is_changed() -> None:
    """Who compares says whether the ends of two steps agree; steps that differ anyway are not asked about."""
    asked: list[tuple[int, int]] = []

    def agrees(left: int, right: int) -> bool:
        asked.append((left, right))
        return left != 0

    found = diff(known("a1 b1 c1"), known("a1 b2 c1"), agrees)
    assert ([pair.verdict for pair in found.pairs], found.divergence) == (["changed", "changed", "same"], 0)
    assert asked == [(0, 0), (2, 2)]


@given(letters, letters, st.integers(2, 6))
def test_longer_sequences_are_aligned_in_windows(left: str, right: str, window: int) -> None:
    """Beyond a window nothing is lost: what is found is in order, and equal sequences are equal throughout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tachograph_diff, "WINDOW", window)
        found = common(left, right)
        assert all(left[here] == right[there] for here, there in found)
        for side in zip(*found, strict=True):
            assert list(side) == sorted(set(side))
        assert common(left, left) == [(place, place) for place in range(len(left))]


def test_long_runs_are_aligned_at_once() -> None:
    """10,000 steps against 10,000 that have little in common take well below two seconds, whatever machine it is."""
    left = [Known(f"k{place % 97}", "k") for place in range(10_000)]
    right = [Known(f"k{place * place % 89}", "k") for place in range(10_000)]
    before = time.process_time()
    found = diff(left, right)
    assert time.process_time() - before < 2
    assert found.same > 100


def _longest(left: Sequence[str], right: Sequence[str]) -> int:
    row = [0] * (len(right) + 1)
    for one in left:
        above, row = row, [0]
        for place, other in enumerate(right):
            row.append(above[place] + 1 if one == other else max(above[place + 1], row[place]))
    return row[-1]
