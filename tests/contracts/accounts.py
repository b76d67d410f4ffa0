"""An account and some times, for the contract of ledgers and for the programs that ask them."""

from __future__ import annotations

from tachograph.events.account import Account, Counted

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
NOW = 1_760_000_000 * SECOND


def account(session: str = "s", of: Counted = "runs") -> Account:
    """A session's account."""
    return Account.of_session("default", session, of)
