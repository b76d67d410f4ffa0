from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.web.apart import AROUND, LONGEST, Piece, apart, whole

texts = st.text("ab {}\n7", max_size=30)


def marked(left: str | None, right: str | None) -> tuple[str, str]:
    """Both texts with what differs in brackets."""
    ours, theirs = (
        "".join(f"[{piece.text}]" if piece.differs else piece.text for piece in side) for side in apart(left, right)
    )
    return ours, theirs


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("order 7 is sent", "order 8 is sent", ("order [7] is sent", "order [8] is sent")),
        ("it is sent", "it is not sent", ("it is sent", "it is [not ]sent")),
        ('{"id":7,"to":"Ann"}', '{"id":8,"to":"Bob"}', ('{"id":[7],"to":"[Ann]"}', '{"id":[8],"to":"[Bob]"}')),
        ("one a two", "uno a due", ("[one a two]", "[uno a due]")),
        ("the same", "the same", ("the same", "the same")),
        (None, "all of it", ("", "[all of it]")),
        ("", "all of it", ("", "[all of it]")),
        (None, None, ("", "")),
    ],
)
def test_words_that_only_one_has_are_marked(left: str | None, right: str | None, told: tuple[str, str]) -> None:
    """Word by word; a few letters between two differences are no common ground."""
    assert marked(left, right) == told


@given(texts, texts)
def test_nothing_is_lost_of_short_texts(left: str, right: str) -> None:
    """The stretches together are the text, neighbours differ in their mark, and equal texts have none."""
    for text, pieces in zip((left, right), apart(left, right), strict=True):
        assert "".join(piece.text for piece in pieces) == text
        assert all(piece.text for piece in pieces)
        assert all(one.differs != other.differs for one, other in pairwise(pieces))
    assert not any(piece.differs for piece in apart(left, left)[0])


def test_long_stretches_are_cut() -> None:
    """What both have is shown as far as it is near a difference; a long difference by its beginning."""
    before, after = "before " * 50, " after" * 50
    ours, _ = apart(f"{before}left{after}", f"{before}right{after}")
    assert [piece.differs for piece in ours] == [False, True, False]
    assert ours[0].text == f"…{before[-AROUND:]}"
    assert ours[2].text == f"{after[:AROUND]}…"
    middle = " between" * 50
    ours, _ = apart(f"one{middle} two", f"1{middle} 2")
    assert ours[1].text.count("…") == 1
    assert len(ours[1].text) == 2 * AROUND + 3
    (long,), _ = apart("x" * 1_000, "y" * 1_000)
    assert long == Piece("x" * LONGEST + "…", differs=True)
    assert whole("z" * 1_000) == (Piece("z" * LONGEST + "…", differs=False),)
    assert (whole(""), whole(None)) == ((), ())
