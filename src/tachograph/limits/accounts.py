"""Limits of a session or a tenant: what a run claims of the counts that it shares with other processes.

Runs, calls and tool calls count from the moment they are admitted, however they end. Tokens and money are set aside and
settled, as in the run's own budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tachograph.errors import StoreError
from tachograph.events.account import Account, Claim, Denied, Grant
from tachograph.limits.guard import Notice, Refused
from tachograph.limits.ledger import Ledger
from tachograph.limits.limit import Limit, Limits
from tachograph.limits.money import nano_of, usd_of
from tachograph.limits.purse import QUIET, least

_CLAIMED: Mapping[str, tuple[str, ...]] = {
    "run": ("runs",), "llm": ("llm_calls", "tokens", "nano_usd"), "tool": ("tool_calls",),
}  # fmt: skip
"""Kind of an action → what it counts towards."""
_COUNTED: Mapping[str, str] = {
    "runs": "runs", "llm_calls": "model calls", "tool_calls": "tool calls", "tokens": "tokens", "nano_usd": "USD",
}  # fmt: skip
"""What an account counts, in words."""
_ENDLESS: Final = 1 << 62
_SECOND: Final = 1_000_000_000
KEPT: Final = 86_400 * _SECOND
"""How long (ns) an amount stays set aside when nobody settles it and its run has no deadline."""


class Line(NamedTuple):
    """One limit and the account it is about."""

    account: Account
    limit: Limit
    threshold: int
    window_ns: int | None
    again: bool = False
    """Whether another line is about the same account, and claims the amount: this one only asks whether it fits."""

    def said(self, amount: int) -> float:
        """An amount in the unit of the limit."""
        return usd_of(amount) if self.account.of == "nano_usd" else amount

    def words(self, used: int, amount: int) -> str:
        """What was used and asked for, and of what: the metric alone does not tell."""
        figures = self.said(used), self.said(amount), self.limit.threshold
        had, wanted, allowed = (f"{figure:.12g}" for figure in figures)
        what = f"{self.limit.scope} limit on {_COUNTED[self.account.of]}"
        return f"{what}: {had} used, {wanted} more asked for, {allowed} allowed"


class Taken(NamedTuple):
    """What was set aside in the ledger for one action, and what there is to say of it."""

    grant: Grant | None
    ledger: Ledger | None
    """Where; None: nowhere."""
    lines: Sequence[Line]
    notices: tuple[Notice, ...] = ()


class Accounts:
    """The shared counts that one run's actions go towards."""

    def __init__(self, lines: Iterable[Line], ledger: Callable[[], Ledger], utc: Callable[[], int]) -> None:
        every = tuple(lines)
        self._by_kind = {
            kind: tuple(line for line in every if line.account.of in wanted) for kind, wanted in _CLAIMED.items()
        }
        self._ledger, self._utc = ledger, utc

    def concerns(self, kind: str) -> bool:
        """Whether an action of this kind counts towards anything."""
        return bool(self._by_kind.get(kind))

    @property
    def costs(self) -> Iterator[Limit]:
        """Limits on money."""
        return (line.limit for line in self._by_kind["llm"] if line.account.of == "nano_usd")

    def take(self, kind: str, tokens: int, nano: int, lasts: int | None) -> Taken | Refused:
        """Set aside what an action needs, all of it or nothing. `lasts` is how many ns it may take."""
        lines = self._by_kind[kind]
        wanted = {"tokens": tokens, "nano_usd": nano}
        amounts = tuple(wanted.get(line.account.of, 1) for line in lines)
        claimed = _once(lines, amounts)
        claims = tuple(
            Claim(line.account, amount, _ENDLESS if line.limit.mode in QUIET else line.threshold, line.window_ns)
            for line, amount in zip(lines, claimed, strict=True)
        )
        now = self._utc()
        try:
            ledger = self._ledger()
            found = ledger.reserve(claims, now, now + (KEPT if lasts is None else max(lasts, 0) + 60 * _SECOND))
            if isinstance(found, Grant) and kind == "run":
                ledger.settle(found.id, claimed, now)
        except StoreError as problem:
            return _unavailable(lines, amounts, problem)
        if isinstance(found, Denied):
            place = claims.index(found.claim)
            return _denied(lines[place], found.used, amounts[place])
        notices = (
            _notice(line, used, amount)
            for line, used, amount in zip(lines, found.used, amounts, strict=True)
            if line.limit.mode in QUIET and used + amount > line.threshold
        )
        return Taken(None if kind == "run" else found, ledger, lines, tuple(notices))

    def settle(self, taken: Taken, tokens: int, nano: int) -> tuple[Notice, ...]:
        """What was really used."""
        if taken.grant is None:
            return ()
        used = {"tokens": tokens, "nano_usd": nano}
        amounts = _once(taken.lines, tuple(used.get(line.account.of, 1) for line in taken.lines))
        try:
            ledger = self._ledger()
            # Another ledger is that of a forked child: what was taken before is the parent's to settle.
            if ledger is taken.ledger:
                ledger.settle(taken.grant.id, amounts, self._utc())
        except StoreError as problem:
            limit = taken.lines[0].limit
            why = f"not settled, what was set aside counts until it expires: {problem}"
            return (Notice(limit.metric, 0, 0, limit.threshold, limit.scope, "observe", why),)
        return ()

    def room(self) -> tuple[int | None, int | None]:
        """Tokens and nano-USD that a next call may use; None where nothing limits them, or nobody can say."""
        found: dict[str, int | None] = {"tokens": None, "nano_usd": None}
        for line in self._by_kind["llm"]:
            of = line.account.of
            if of not in found or line.limit.mode in QUIET:
                continue
            try:
                used = self._ledger().used(line.account, line.window_ns, self._utc())
            except StoreError:
                continue
            found[of] = least(found[of], max(0, line.threshold - used))
        return found["tokens"], found["nano_usd"]


def lines_of(
    limits: Sequence[Limits], tenant: str, session: str | None, *, runs: Sequence[str], above: Iterable[Line] = ()
) -> Iterator[Line]:
    """The shared limits of a run and of those above it; of several on one account the lowest of each window.

    `runs` are the scopes (session, tenant) in which the run counts as one more, `above` the lines of the run it is
    inside, whose session or tenant may be another. One that only warns stands beside one that does more.
    """
    lowest: dict[tuple[Account, int | None, bool], Line] = {}
    inherited = (line for line in above if line.account.of != "runs")
    for line in (*_stated(limits, tenant, session, runs), *inherited):
        kind = line.account, line.window_ns, line.limit.mode in QUIET
        if kind not in lowest or line.threshold < lowest[kind].threshold:
            lowest[kind] = line
    known: set[Account] = set()
    # The shortest window claims the amount: the time of amounts is kept as exactly as that needs.
    for line in sorted(lowest.values(), key=lambda line: _ENDLESS if line.window_ns is None else line.window_ns):
        yield line._replace(again=line.account in known)
        known.add(line.account)


def _stated(limits: Sequence[Limits], tenant: str, session: str | None, runs: Sequence[str]) -> Iterator[Line]:
    for policy in limits:
        for limit in policy.each():
            if limit.scope not in ("session", "tenant") or (limit.scope == "session" and session is None):
                continue
            if limit.of == "runs" and limit.scope not in runs:
                continue
            most = nano_of(limit.threshold) if limit.of == "usd" else int(limit.threshold)
            window = None if limit.window is None else int(limit.window * _SECOND)
            yield Line(_account(limit, tenant, session), limit, most, window)


def _account(limit: Limit, tenant: str, session: str | None) -> Account:
    of: Any = "nano_usd" if limit.of == "usd" else limit.of
    if limit.scope == "tenant" or session is None:
        return Account.of_tenant(tenant, of)
    return Account.of_session(tenant, session, of)


def _notice(line: Line, used: int, amount: int) -> Notice:
    limit = line.limit
    told = line.said(used), line.said(amount), limit.threshold
    return Notice(limit.metric, *told, limit.scope, limit.mode, line.words(used, amount))


def _denied(line: Line, used: int, amount: int) -> Refused:
    limit, before = line.limit, used - amount if line.again else used
    told = line.said(before), line.said(amount), limit.threshold
    return Refused(limit.metric, *told, limit.scope, limit.mode, line.words(before, amount))


def _once(lines: Sequence[Line], amounts: Sequence[int]) -> tuple[int, ...]:
    """The amounts, each account's at the first of its lines."""
    return tuple(0 if line.again else amount for line, amount in zip(lines, amounts, strict=True))


def _unavailable(lines: Sequence[Line], amounts: Sequence[int], problem: StoreError) -> Taken | Refused:
    """The ledger cannot be reached: each limit says what then."""
    for line, amount in zip(lines, amounts, strict=True):
        limit = line.limit
        if limit.unavailable == "refuse" and limit.mode not in QUIET:
            why = f"the {limit.scope} limit on {limit.of} cannot be checked: {problem}"
            return Refused(limit.metric, 0, line.said(amount), limit.threshold, limit.scope, limit.mode, why)
    limit = lines[0].limit
    why = f"not counted: {problem}"
    return Taken(None, None, lines, (Notice(limit.metric, 0, 1, limit.threshold, limit.scope, "observe", why),))
