"""Two texts beside each other: words that only one of them has are marked, long stretches that both have are cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from tachograph.fold.diff import common
from tachograph.queries import wording

AROUND, LONGEST = 60, 400
"""Characters of what both have that are shown beside a difference, and of any one stretch."""
_LEAST = 4
"""A stretch between two differences that both have is marked with them when it is shorter: a few letters mislead."""
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(NamedTuple):
    """A stretch of a text, and whether the other text has something else there."""

    text: str
    differs: bool


Pieces = tuple[Piece, ...]


def apart(left: str | None, right: str | None) -> tuple[Pieces, Pieces]:
    """Both texts, marked; what is None is nothing, and the other text differs from it as a whole."""
    if left == right:
        return whole(left), whole(right)
    ours, theirs = _WORD.findall(left or ""), _WORD.findall(right or "")
    matches = common(ours, theirs)
    return _pieces(ours, {here for here, _ in matches}), _pieces(theirs, {there for _, there in matches})


def whole(text: str | None) -> Pieces:
    """A text in which nothing is marked: its beginning."""
    return (Piece(wording.cut(text, LONGEST), differs=False),) if text else ()


def _pieces(words: Sequence[str], shared: set[int]) -> Pieces:
    marked = [Piece(word, place not in shared) for place, word in enumerate(words)]
    joined = list(_joined(marked))
    last = len(joined) - 1
    loose = (
        Piece(piece.text, piece.differs or (0 < place < last and len(piece.text.strip()) < _LEAST))
        for place, piece in enumerate(joined)
    )
    told = list(_joined(loose))
    return tuple(
        Piece(
            wording.cut(piece.text, LONGEST)
            if piece.differs
            else _around(piece.text, is_first=place == 0, is_last=place == len(told) - 1),
            piece.differs,
        )
        for place, piece in enumerate(told)
    )


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    for differs, group in groupby(pieces, key=lambda piece: piece.differs):
        yield Piece("".join(piece.text for piece in group), differs)


def _around(text: str, *, is_first: bool, is_last: bool) -> str:
    """What both have, as far as it is near a difference."""
    if is_first:
        return text if len(text) <= AROUND else f"…{text[-AROUND:]}"
    if is_last:
        return wording.cut(text, AROUND)
    return text if len(text) <= 2 * AROUND else f"{text[:AROUND]} … {text[-AROUND:]}"
