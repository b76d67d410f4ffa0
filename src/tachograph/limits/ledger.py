"""The ledger's port: counts that several processes share, and that no two of them can pass together.

An account is a session or a tenant with one thing that is counted. An amount is reserved before it is used, in one
atomic step with the question whether it fits; it is settled with what was really used. What was reserved by a process
that died, or for longer than it may, counts as used: it had begun, and may have been billed. Then it ages as all that
was used does, while what is still open counts however old it is.
"""

from __future__ import annotations

from typing import Protocol

from tachograph.events.account import Account, Claim, Denied, Grant

__all__ = ["Account", "Claim", "Denied", "Grant", "Ledger"]


class Ledger(Protocol):
    """Keeps count. Times are UTC nanoseconds. Raises StoreUnavailable, and nothing else that a caller must expect.

    An amount belongs to the moment at which it was set aside. The clock of an account never goes back: a time before
    one that it has seen is taken for that one.
    """

    def reserve(self, claims: tuple[Claim, ...], now: int, expires: int) -> Grant | Denied:
        """Set aside all of it or nothing: used and reserved within the window must stay at or below the threshold.

        From `expires` on, or when this process is dead, it counts as used. Claims on one account add up.
        """
        ...

    def settle(self, grant: int, amounts: tuple[int, ...], now: int) -> None:
        """What was really used, in the order of the claims; more than was reserved is possible, and counts.

        A grant that was settled before, or whose account was reset since, is passed over.
        """
        ...

    def used(self, account: Account, window_ns: int | None, now: int) -> int:
        """Used and set aside within the window."""
        ...

    def reset(self, account: Account, now: int) -> int:
        """Begin anew at 0; what it had come to. What is open belongs to before: settling it changes nothing."""
        ...
