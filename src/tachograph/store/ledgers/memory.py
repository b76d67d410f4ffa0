"""The ledger of a `memory:` store: counts of this process, for as long as it lives. What it does, the others do."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from msgspec import Struct

from tachograph.events.account import Account, Claim, Denied, Grant, Standing
from tachograph.store.ledgers.counting import (
    COARSEST,
    KEPT,
    NOT_KEPT,
    beginning,
    finite,
    first_that_does_not_fit,
    grain,
    kept,
)
from tachograph.store.ledgers.turns import BUSY_SECONDS, Turns


class Sum(Struct):
    """What was used in one stretch of time."""

    newest: int
    amount: int = 0


class Book(Struct):
    """One account."""

    newest: int = 0
    reach: int = KEPT
    total: int = 0
    reset_at: int | None = None
    cleared: int = 0
    sums: dict[int, Sum] = {}
    """Begin of a stretch → its sum."""


class Reserved(Struct):
    """What one claim of a grant set aside."""

    account: Account
    amount: int
    at: int
    expires: int
    grain: int


class MemoryLedger:
    """Keeps count in memory. Thread-safe."""

    def __init__(self) -> None:
        self._turns = Turns("memory:", BUSY_SECONDS)
        self._books: dict[Account, Book] = {}
        self._open: dict[int, list[Reserved | None]] = {}
        self._granted = 0

    def reserve(self, claims: tuple[Claim, ...], now: int, expires: int) -> Grant | Denied:
        """See `limits.ledger.Ledger`."""
        return self._turns.take(partial(self._reserve, claims, now, expires))

    def settle(self, grant: int, amounts: tuple[int, ...], now: int) -> None:
        """See `limits.ledger.Ledger`. What cannot be settled at once is settled with the next call."""
        self._turns.owe(partial(self._settle, grant, kept(amounts)))

    def used(self, account: Account, window_ns: int | None, now: int) -> int:
        """See `limits.ledger.Ledger`."""
        standing = self.standing(account, window_ns, now)
        return standing.used + standing.reserved

    def standing(self, account: Account, window_ns: int | None, now: int) -> Standing:
        """How an account stands."""
        return self._turns.take(partial(self._standing, account, window_ns, now))

    def reset(self, account: Account, now: int) -> int:
        """See `limits.ledger.Ledger`."""
        return self._turns.take(partial(self._reset, account, now))

    def close(self) -> None:
        """Nothing to let go of."""

    def _reserve(self, claims: tuple[Claim, ...], now: int, expires: int) -> Grant | Denied:
        amounts = kept(claim.amount for claim in claims)
        used = [self._standing(claim.account, claim.window_ns, now) for claim in claims]
        before = tuple(standing.used + standing.reserved for standing in used)
        if (denied := first_that_does_not_fit(claims, before)) is not None:
            return denied
        self._granted += 1
        self._open[self._granted] = [
            self._set_aside(claim, amount, now, expires) for claim, amount in zip(claims, amounts, strict=True)
        ]
        return Grant(self._granted, before)

    def _set_aside(self, claim: Claim, amount: int, now: int, expires: int) -> Reserved:
        book = self._books.setdefault(claim.account, Book())
        book.newest = max(now, book.newest)
        book.reach = max(book.reach, finite(claim.window_ns) or 0)
        return Reserved(claim.account, amount, book.newest, expires, grain(claim.window_ns))

    def _settle(self, grant: int, amounts: tuple[int, ...]) -> None:
        for position, reserved in enumerate(self._open.pop(grant, ())):
            if reserved is not None:
                amount = amounts[position] if position < len(amounts) else reserved.amount
                if amount:
                    self._spend(self._books[reserved.account], reserved, amount)

    def _spend(self, book: Book, reserved: Reserved, amount: int) -> None:
        book.total += amount
        start = reserved.at - reserved.at % reserved.grain
        if start not in book.sums:
            oldest = book.newest - book.reach - COARSEST
            book.sums = {begin: sum_ for begin, sum_ in book.sums.items() if begin >= oldest}
        sum_ = book.sums.setdefault(start, Sum(reserved.at))
        sum_.newest = max(sum_.newest, reserved.at)
        sum_.amount += amount

    def _standing(self, account: Account, window_ns: int | None, now: int) -> Standing:
        book = self._books.get(account)
        if book is None:
            return NOT_KEPT
        moment = max(now, book.newest)
        since = beginning(window_ns, moment)
        used = book.total
        if since >= 0:
            used = sum(sum_.amount for sum_ in book.sums.values() if sum_.newest > since)
        held = sum(held.amount for held in self._held(account) if held.expires > moment or held.at > since)
        return Standing(used, held, book.total, book.reset_at, book.cleared)

    def _held(self, account: Account) -> Iterable[Reserved]:
        rows = (row for rows in self._open.values() for row in rows)
        return (row for row in rows if row is not None and row.account == account)

    def _reset(self, account: Account, now: int) -> int:
        book = self._books.get(account)
        if book is None:
            return 0
        book.cleared = book.total + sum(held.amount for held in self._held(account))
        book.total, book.sums, book.reset_at = 0, {}, now
        for rows in self._open.values():
            rows[:] = [None if row is not None and row.account == account else row for row in rows]
        return book.cleared
