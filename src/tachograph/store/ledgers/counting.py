"""How ledgers count: what all of them do alike."""

from __future__ import annotations

from collections.abc import Iterable

from tachograph.events.account import Account, Claim, Denied, Standing

NOT_KEPT = Standing(0, 0, 0)
"""How an account stands that nobody has claimed."""
SECOND = 1_000_000_000
COARSEST = 60 * SECOND
"""Sums are kept for stretches of at most a minute, which age as the newest amount in them."""
KEPT = 86_400 * SECOND
"""How long sums are kept at least; longer if a longer window was asked for."""
MOST = 1 << 60
"""An amount beyond it counts as this much: a provider may say anything."""
FAR = 1 << 62
"""The latest time there is (UTC ns: the year 2116); a window that is longer is for ever."""


def kept(amounts: Iterable[int]) -> tuple[int, ...]:
    """Amounts as far as they can be kept. Raises ValueError for a negative one."""
    whole = tuple(amounts)
    if whole and min(whole) < 0:
        raise ValueError(f"amounts cannot be negative: {whole}")
    return tuple(min(amount, MOST) for amount in whole)


def first_that_does_not_fit(claims: tuple[Claim, ...], before: tuple[int, ...]) -> Denied | None:
    """The first claim that would take its account above the threshold, the claims before it included."""
    wanted: dict[Account, int] = {}
    for claim, used in zip(claims, before, strict=True):
        so_far = used + wanted.get(claim.account, 0)
        if so_far + claim.amount > claim.threshold:
            return Denied(claim, so_far)
        wanted[claim.account] = wanted.get(claim.account, 0) + claim.amount
    return None


def grain(window_ns: int | None) -> int:
    """How long a stretch of time may be whose amounts are kept as one sum, for this window: a sixtieth of it."""
    return COARSEST if window_ns is None else min(COARSEST, max(SECOND, window_ns // 60))


def beginning(window_ns: int | None, moment: int) -> int:
    """The moment after which things are in the window."""
    return -1 if window_ns is None else max(-1, moment - window_ns)


def finite(window_ns: int | None) -> int | None:
    """The window, or None if it is longer than times there are."""
    return None if window_ns is None or window_ns > FAR else window_ns
