from __future__ import annotations

from tachograph.queries.kept import Kept


def test_an_answer_is_worked_out_once_until_it_is_old() -> None:
    """The same question gets the same answer for a while, and never one from later than it is asked."""
    kept, worked = Kept(lasting_ns=10), iter(range(100))

    def ask(now: int, question: str = "a") -> int:
        return kept.get(question, now, lambda: next(worked))

    assert [ask(100), ask(109), ask(110), ask(119), ask(100)] == [0, 0, 1, 1, 2]
    assert [ask(100, "b"), ask(101), ask(101, "b")] == [3, 2, 3]


def test_those_used_last_are_kept() -> None:
    """Of more answers than there is room for, the one that was not asked for longest goes."""
    kept, worked = Kept(most=2), iter(range(100))
    assert [kept.get(question, 1, lambda: next(worked)) for question in "abacab"] == [0, 1, 0, 2, 0, 3]
