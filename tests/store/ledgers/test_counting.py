from __future__ import annotations

import pytest

from tachograph.events.account import Claim, Denied
from tachograph.store.ledgers.counting import (
    COARSEST,
    FAR,
    MOST,
    SECOND,
    beginning,
    finite,
    first_that_does_not_fit,
    grain,
    kept,
)
from tests.contracts.accounts import DAY, HOUR, MINUTE, account


def test_amounts_are_kept_as_far_as_numbers_go() -> None:
    """A larger one counts as the largest there is; a negative one is refused."""
    assert kept((0, 7, MOST, MOST + 1, 10**30)) == (0, 7, MOST, MOST, MOST)
    assert kept(()) == ()
    with pytest.raises(ValueError, match=r"negative: \(1, -1\)"):
        kept((1, -1))


def test_the_first_claim_that_does_not_fit_is_named() -> None:
    """In the order in which they were made, with what there is, claims before it on the same account included."""
    one, two = Claim(account(), 3, 5), Claim(account("t"), 3, 5)
    assert first_that_does_not_fit((), ()) is None
    assert first_that_does_not_fit((one, two), (2, 2)) is None
    assert first_that_does_not_fit((one, two), (2, 3)) == Denied(two, 3)
    assert first_that_does_not_fit((one, two, one), (0, 0, 0)) == Denied(one, 3)


def test_stretches_are_a_sixtieth_of_the_window() -> None:
    """From a second to a minute; for ever needs no more than minutes."""
    windows = (None, DAY, HOUR, 10 * MINUTE, MINUTE, SECOND, 1)
    assert [grain(window) for window in windows] == [
        COARSEST, COARSEST, COARSEST, 10 * SECOND, SECOND, SECOND, SECOND,
    ]  # fmt: skip


def test_where_a_window_begins() -> None:
    """A window's length ago; before all times when it has no end or reaches further back than they."""
    assert [beginning(window, DAY) for window in (HOUR, DAY, 2 * DAY, None)] == [DAY - HOUR, 0, -1, -1]
    assert [finite(window) for window in (None, DAY, FAR, FAR + 1)] == [None, DAY, FAR, None]
