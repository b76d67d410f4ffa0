"""Accounts: what sessions and tenants have used, and amounts that are set aside on them.

An account counts one thing for one session or tenant. Whoever wants an amount claims it; what is granted stands beside
what was used until it is known how much it really was.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Counted = Literal["runs", "llm_calls", "tool_calls", "tokens", "nano_usd"]
COUNTED: tuple[Counted, ...] = ("runs", "llm_calls", "tool_calls", "tokens", "nano_usd")
"""What an account can count."""


class Account(Struct, frozen=True):
    """What is counted, and for whom."""

    scope: str
    """session or tenant."""
    key: str
    """Which one: the tenant, or tenant and session; see `of_session`."""
    of: str
    """One of COUNTED."""

    @classmethod
    def of_session(cls, tenant: str, session: str, of: Counted) -> Account:
        """A session's account. Sessions of two tenants are two, also when they have the same id."""
        return cls("session", _plain(f"{tenant.replace('%', '%25').replace('/', '%2F')}/{session}"), of)

    @classmethod
    def of_tenant(cls, tenant: str, of: Counted) -> Account:
        """A tenant's account."""
        return cls("tenant", _plain(tenant), of)


class Claim(Struct, frozen=True):
    """One account and how much of it is wanted."""

    account: Account
    amount: int
    """0 asks only whether the account is above its threshold."""
    threshold: int
    window_ns: int | None = None
    """How far it looks back; None: for ever."""


class Grant(Struct, frozen=True):
    """Amounts that were set aside, for all claims of one request at once."""

    id: int
    used: tuple[int, ...]
    """Of each claim's account, before this grant."""


class Denied(Struct, frozen=True):
    """One claim does not fit; nothing was set aside for any."""

    claim: Claim
    used: int


class Standing(Struct, frozen=True):
    """How an account stands."""

    used: int
    """Within the window; of what has ended."""
    reserved: int
    """Set aside for what has not."""
    total: int
    """Of what has ended, since it began or was last reset, however long ago."""
    reset_at: int | None = None
    """When it was last reset, UTC ns; None: never."""
    cleared: int = 0
    """What it had come to then, `total` and `reserved` together."""


def _plain(key: str) -> str:
    """Half a surrogate pair, which no file can hold, as its escape."""
    return key.encode("utf-8", "backslashreplace").decode()
