from __future__ import annotations

from tachograph.queries.diff.answer import DiffAsked, RunDiff, run_diff
from tachograph.store.memory import MemoryStore
from tachograph.web import compare
from tachograph.web.apart import Piece
from tests.queries.diff.scenes import FIND, PAY, Turn, kept, taped

OTHER = ("find", '{"id":8}', '"seven"')


def compared(left: tuple[Turn, ...], right: tuple[Turn, ...]) -> RunDiff:
    """Two runs side by side."""
    store = MemoryStore()
    ours, theirs = kept(store, taped("a", *left), taped("b", *right))
    return run_diff(store, DiffAsked(left=ours, right=theirs))


def test_rows_say_what_differs() -> None:
    """The verdict in words, the contents of both sides with the difference marked, and which row is the first."""
    rows = list(compare.rows(compared((FIND, "Done."), (OTHER, "Done."))))
    assert [(row.verdict, row.differences, row.is_divergence) for row in rows] == [
        ("changed", ("answer",), True), ("changed", ("arguments",), False), ("same", (), False),
    ]  # fmt: skip
    tool = rows[1]
    assert tool.input is not None
    assert (tool.input.left[1], tool.input.right[1]) == (Piece("7", differs=True), Piece("8", differs=True))
    assert tool.output is not None
    assert tool.output.left == tool.output.right == (Piece("seven", differs=False),)


def test_contents_of_equal_steps_are_not_shown() -> None:
    """Only their figures are."""
    rows = list(compare.rows(compared((FIND, "Done."), (FIND, "Done."))))
    assert [(row.verdict, row.input, row.output, row.is_divergence) for row in rows] == [
        ("same", None, None, False)
    ] * 3  # fmt: skip


def test_a_step_on_one_side_only_is_shown_as_it_is() -> None:
    """Nothing is marked in it: there is nothing that it differs from."""
    rows = list(compare.rows(compared((FIND, "Done."), (FIND, PAY, "Done."))))
    call, tool = rows[2:4]
    assert (call.verdict, tool.verdict, tool.differences, tool.changes) == ("only in B", "only in B", (), ())
    assert call.input is None
    assert tool.input is not None
    assert (tool.input.left, tool.input.right) == ((), (Piece('{"euros":29}', differs=False),))


def test_what_came_of_both() -> None:
    """Their answers beside each other; nothing for a run that gave none."""
    assert compare.answers(compared(("It is done.",), ("It is gone.",))) == (
        (Piece("It is ", False), Piece("done", True), Piece(".", False)),
        (Piece("It is ", False), Piece("gone", True), Piece(".", False)),
    )
    assert compare.answers(compared((FIND,), (FIND,))) == ((), ())
