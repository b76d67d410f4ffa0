"""The ledger in a file: one immediate transaction decides about all claims of a request and sets them aside.

What was settled stands in sums of at most a minute, and in a total for ever; what is open stands in rows of its own.
A dead owner's rows are moved into the sums as they are: what it began may have been billed. Nothing becomes less by
that, so it waits until it can matter: until something does not fit, or a minute has passed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tachograph.events.account import Account, Claim, Denied, Grant, Standing
from tachograph.store.ledgers.counting import (
    COARSEST,
    FAR,
    KEPT,
    MOST,
    NOT_KEPT,
    SECOND,
    beginning,
    finite,
    first_that_does_not_fit,
    grain,
    kept,
)
from tachograph.store.ledgers.file import AgreedFile
from tachograph.store.ledgers.turns import BUSY_SECONDS, Turns

_ROUND = 60 * SECOND
"""How often a process looks for the dead without need."""
_LONG_GONE = 86_400 * SECOND
"""How long the grant of another owner is kept after it expired: it may yet be settled."""
_MOST_KEPT = 4 * MOST
"""Where sums end: above it they would not fit 64 bits."""


class Row(NamedTuple):
    """One row of `accounts`."""

    id: int
    newest: int
    reach: int
    forever: int
    total: int
    reset_at: int | None
    cleared: int


class SqliteLedger:
    """Keeps count in a SQLite file, for every process that opens it. Thread-safe.

    `owner` names this process to the others, and `is_alive` tells whether the process of such a name still lives; it is
    asked inside a transaction, so it must be quick. In a forked child grants belong to nobody and end by their time.
    """

    def __init__(self, path: Path, owner: str, is_alive: Callable[[str], bool]) -> None:
        self.path, self._owner, self._is_alive = path, owner, is_alive
        self._file = AgreedFile(path)
        self._turns = Turns(self._file.url, BUSY_SECONDS, self._file.close)
        self._looked_at: int | None = None

    def reserve(self, claims: tuple[Claim, ...], now: int, expires: int) -> Grant | Denied:
        """See `limits.ledger.Ledger`."""
        return self._turns.take(partial(self._reserve, claims, now, min(expires, FAR)))

    def settle(self, grant: int, amounts: tuple[int, ...], now: int) -> None:
        """See `limits.ledger.Ledger`. What cannot be settled at once is settled with the next call."""
        self._turns.owe(partial(self._settle, grant, kept(amounts)))

    def used(self, account: Account, window_ns: int | None, now: int) -> int:
        """See `limits.ledger.Ledger`."""
        return self._turns.take(partial(self._used, account, window_ns, now))

    def standing(self, account: Account, window_ns: int | None, now: int) -> Standing:
        """How an account stands. Only reads: what dead processes left open is told as reserved."""
        return self._turns.take(partial(self._standing, account, window_ns, now))

    def reset(self, account: Account, now: int) -> int:
        """See `limits.ledger.Ledger`."""
        return self._turns.take(partial(self._reset, account, now))

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        self._turns.owe(self._file.close)

    # ---- transactions ---------------------------------------------------------------------------------------------

    def _reserve(self, claims: tuple[Claim, ...], now: int, expires: int) -> Grant | Denied:
        amounts = kept(claim.amount for claim in claims)
        with self._file.transaction() as connection:
            looked = self._look_around(connection, now)
            before = tuple(_come_to(connection, claim, now) for claim in claims)
            denied = first_that_does_not_fit(claims, before)
            if denied is not None and not looked and any(_may_be_old(connection, claim, now) for claim in claims):
                self._take_back(connection, now)
                before = tuple(_come_to(connection, claim, now) for claim in claims)
                denied = first_that_does_not_fit(claims, before)
            if denied is not None:
                return denied
            owner = "" if self._file.is_forked else self._owner
            return Grant(_set_aside(connection, zip(claims, amounts, strict=True), owner, now, expires), before)

    def _settle(self, grant: int, amounts: tuple[int, ...]) -> None:
        with self._file.transaction() as connection:
            _book(connection, grant, amounts)

    def _used(self, account: Account, window_ns: int | None, now: int) -> int:
        asked = Claim(account, 0, 0, window_ns)
        with self._file.snapshot() as connection:
            if not _may_be_old(connection, asked, now):
                return _come_to(connection, asked, now)
        with self._file.transaction() as connection:
            self._take_back(connection, now)
            return _come_to(connection, asked, now)

    def _standing(self, account: Account, window_ns: int | None, now: int) -> Standing:
        with self._file.snapshot() as connection:
            row = _row(connection, account)
            return NOT_KEPT if row is None else _stand(connection, row, window_ns, now)

    def _reset(self, account: Account, now: int) -> int:
        with self._file.transaction() as connection:
            row = _row(connection, account)
            if row is None:
                return 0
            stood = _stand(connection, row, None, now)
            cleared = min(_MOST_KEPT, stood.used + stood.reserved)
            connection.execute("DELETE FROM sums WHERE account = ?", (row.id,))
            connection.execute("DELETE FROM reserved WHERE account = ?", (row.id,))
            connection.execute(
                "UPDATE accounts SET total = 0, reset_at = ?, cleared = ? WHERE id = ?", (now, cleared, row.id)
            )
            return cleared

    # ---- the dead -------------------------------------------------------------------------------------------------

    def _look_around(self, connection: sqlite3.Connection, now: int) -> bool:
        """Take back and forget, if the last time is a while ago; whether it was."""
        if self._looked_at is not None and abs(now - self._looked_at) < _ROUND:
            return False
        self._take_back(connection, now)
        _forget(connection, now)
        self._looked_at = now
        return True

    def _take_back(self, connection: sqlite3.Connection, now: int) -> None:
        """Count as used what others left open who are dead, or whose time was over long ago."""
        others = connection.execute("SELECT DISTINCT owner FROM grants WHERE owner NOT IN ('', ?)", (self._owner,))
        dead = [owner for (owner,) in others.fetchall() if not self._is_alive(owner)]
        query = "SELECT id FROM grants WHERE expires <= ? AND owner <> ?"
        gone = connection.execute(query, (now - _LONG_GONE, self._owner)).fetchall()
        for owner in dead:
            gone += connection.execute("SELECT id FROM grants WHERE owner = ?", (owner,)).fetchall()
        for (grant,) in gone:
            _book(connection, grant, None)


def _row(connection: sqlite3.Connection, account: Account) -> Row | None:
    found = connection.execute(
        "SELECT id, newest, reach, forever, total, reset_at, cleared FROM accounts"
        " WHERE scope = ? AND key = ? AND of = ?",
        (account.scope, account.key, account.of),
    ).fetchone()
    return None if found is None else Row._make(found)


_SUMS = """
SELECT (SELECT total(amount) FROM sums WHERE account = ?1 AND start > ?2 AND newest > ?3),
       (SELECT total(amount) FROM reserved WHERE account = ?1 AND (at > ?3 OR expires > ?4))
"""


def _stand(connection: sqlite3.Connection, row: Row, window_ns: int | None, now: int) -> Standing:
    moment = max(now, row.newest)
    since = beginning(window_ns, moment)
    # `total` adds in floating point, so that no sum can be too large; below 2^53 it is exact.
    used, reserved = connection.execute(_SUMS, (row.id, since - COARSEST, since, moment)).fetchone()
    return Standing(row.total if since < 0 else int(used), int(reserved), row.total, row.reset_at, row.cleared)


def _come_to(connection: sqlite3.Connection, claim: Claim, now: int) -> int:
    """What a claim's account has come to within its window."""
    row = _row(connection, claim.account)
    if row is None:
        return 0
    standing = _stand(connection, row, claim.window_ns, now)
    return standing.used + standing.reserved


def _may_be_old(connection: sqlite3.Connection, claim: Claim, now: int) -> bool:
    """Whether something is open that would have left the claim's window by now if its owner were dead."""
    row = _row(connection, claim.account)
    if row is None:
        return False
    since = beginning(claim.window_ns, max(now, row.newest))
    query = "SELECT 1 FROM reserved WHERE account = ? AND at <= ? LIMIT 1"
    return connection.execute(query, (row.id, since)).fetchone() is not None


def _set_aside(
    connection: sqlite3.Connection, wanted: Iterable[tuple[Claim, int]], owner: str, now: int, expires: int
) -> int:
    made = connection.execute("INSERT INTO grants (owner, expires) VALUES (?, ?)", (owner, expires))
    grant = made.lastrowid or 0
    for position, (claim, amount) in enumerate(wanted):
        account, window = claim.account, finite(claim.window_ns)
        connection.execute(
            "INSERT INTO accounts (scope, key, of, newest, reach, forever) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (scope, key, of) DO UPDATE SET newest = max(newest, excluded.newest),"
            " reach = max(reach, excluded.reach), forever = max(forever, excluded.forever)",
            (account.scope, account.key, account.of, now, max(KEPT, window or 0), window is None),
        )
        connection.execute(
            "INSERT INTO reserved SELECT ?, ?, id, ?, newest, ?, ? FROM accounts"
            " WHERE scope = ? AND key = ? AND of = ?",
            (grant, position, amount, expires, grain(claim.window_ns), account.scope, account.key, account.of),
        )
    return grant


def _book(connection: sqlite3.Connection, grant: int, amounts: tuple[int, ...] | None) -> None:
    """Close a grant: what it really used counts; None: what it had set aside."""
    query = "SELECT position, account, amount, at, grain FROM reserved WHERE grant_id = ?"
    for position, account, reserved, at, grain_ns in connection.execute(query, (grant,)).fetchall():
        amount = reserved if amounts is None else amounts[position] if position < len(amounts) else reserved
        if amount:
            _spend(connection, account, amount, at, at - at % grain_ns)
    connection.execute("DELETE FROM reserved WHERE grant_id = ?", (grant,))
    connection.execute("DELETE FROM grants WHERE id = ?", (grant,))


def _spend(connection: sqlite3.Connection, account: int, amount: int, at: int, start: int) -> None:
    known = connection.execute(
        "UPDATE sums SET amount = min(amount + ?, ?), newest = max(newest, ?) WHERE account = ? AND start = ?",
        (amount, _MOST_KEPT, at, account, start),
    )
    if not known.rowcount:
        connection.execute("INSERT INTO sums VALUES (?, ?, ?, ?)", (account, start, at, amount))
        connection.execute(
            "DELETE FROM sums WHERE account = ?1 AND start < (SELECT newest - reach FROM accounts WHERE id = ?1) - ?2",
            (account, COARSEST),
        )
    connection.execute("UPDATE accounts SET total = min(total + ?, ?) WHERE id = ?", (amount, _MOST_KEPT, account))


def _forget(connection: sqlite3.Connection, now: int) -> None:
    """Accounts in which nothing can count any more, some at a time: sessions come and go."""
    query = (
        "SELECT id FROM accounts WHERE NOT forever AND newest + reach <= ?"
        " AND NOT EXISTS (SELECT 1 FROM reserved WHERE account = accounts.id) LIMIT 1000"
    )
    old = connection.execute(query, (now - COARSEST,)).fetchall()
    for table, column in (("sums", "account"), ("accounts", "id")):
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", old)
