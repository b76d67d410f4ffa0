"""Limits of sessions and tenants: what a run's actions claim of counts that it shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tachograph.errors import StoreUnavailable
from tachograph.events.account import Account, Claim, Denied, Grant
from tachograph.events.usage import Usage
from tachograph.fold.cost import price_book
from tachograph.limits.budget import Budget, World
from tachograph.limits.estimate import tokens_of
from tachograph.limits.guard import Intent, Refused, Settled, Spent, Ticket
from tachograph.limits.ledger import Ledger
from tachograph.limits.limit import Limits
from tachograph.store.ledgers.memory import MemoryLedger

BOOK = price_book(per_million={"m": {"input": 1000, "output": 1000}}, bundled=False)
DAY = 86_400_000_000_000


class Away:
    """A ledger that cannot be reached."""

    def reserve(self, claims: tuple[Claim, ...], now: int, expires: int) -> Grant | Denied:
        """Not now."""
        raise StoreUnavailable("sqlite:x", "locked")

    def settle(self, grant: int, amounts: tuple[int, ...], now: int) -> None:
        """Not now."""
        raise StoreUnavailable("sqlite:x", "locked")

    def used(self, account: Account, window_ns: int | None, now: int) -> int:
        """Not now."""
        raise StoreUnavailable("sqlite:x", "locked")

    def reset(self, account: Account, now: int) -> int:
        """Not now."""
        raise StoreUnavailable("sqlite:x", "locked")


class Clock:
    """UTC as the test says."""

    def __init__(self) -> None:
        self.at = 10 * DAY

    def __call__(self) -> int:
        """Now."""
        return self.at


def opener(ledger: Ledger, clock: Callable[[], int] | None = None) -> Callable[..., Budget]:
    """Makes budgets that share a ledger."""
    world = World(
        prices=lambda provider, model, tier: BOOK.schedule(provider, model, tier).at(0), ledger=lambda: ledger,
        utc=clock or Clock(),
    )  # fmt: skip

    def begin(above: Budget | None = None, *, tenant: str = "acme", session: str | None = "s", **limits: Any) -> Budget:
        policy = Limits(**limits) if limits else None
        return Budget(policy, 0, above=above, world=world, tenant=tenant, session=session)

    return begin


def ask(guard: Budget, kind: str = "run", **facts: Any) -> Ticket | Refused:
    """One question."""
    return guard.admit(Intent("run", kind, "m", **facts), Spent(), 0)


def denied(
    what: str, used: float, wanted: float, allowed: float, scope: str = "session", above: int = 0
) -> Refused:  # fmt: skip
    """A refusal that says of what, and how much."""
    words = f"{scope} limit on {what}: {used:.12g} used, {wanted:.12g} more asked for, {allowed:.12g} allowed"
    metric = "quota" if scope == "tenant" else "session_limit"
    return Refused(metric, used, wanted, allowed, scope, "stop", words, above=above)


def test_runs_of_a_session_are_counted_across_budgets() -> None:
    """Two runs a day: the third is refused, another session's and another tenant's are not, a day later it may."""
    clock = Clock()
    begin = opener(MemoryLedger(), clock)
    assert [isinstance(ask(begin(session_runs=2)), Ticket) for _ in range(2)] == [True, True]
    assert ask(begin(session_runs=2)) == denied("runs", 2, 1, 2)
    assert isinstance(ask(begin(session_runs=2, session="other")), Ticket)
    assert isinstance(ask(begin(session_runs=2, tenant="else")), Ticket)
    assert isinstance(ask(begin(session_runs=2, session=None)), Ticket)
    clock.at += DAY + 1
    assert isinstance(ask(begin(session_runs=2)), Ticket)


def test_a_run_inside_a_run_of_its_session_is_no_further_one() -> None:
    """Nor of its tenant; in a session of its own it counts there, and what it does counts towards the tenant."""
    begin = opener(MemoryLedger())
    top = begin(session_runs=1, tenant_runs=1, tenant_tool_calls=1)
    assert isinstance(ask(top), Ticket)
    child = begin(top, tenant="default")
    assert isinstance(ask(child), Ticket)
    elsewhere = begin(top, session="t")
    assert isinstance(ask(elsewhere), Ticket)
    assert isinstance(ask(elsewhere, "tool"), Ticket)
    assert ask(child, "tool") == denied("tool calls", 1, 1, 1, "tenant", above=1)
    assert ask(begin(top, session="t")) == denied("runs", 1, 1, 1)


def test_tokens_and_money_are_set_aside_and_settled() -> None:
    """What two runs have in flight is within the tenant's limit; what was not used comes back, and room knows of it."""
    begin = opener(MemoryLedger())
    frame = tokens_of(0, "m")
    one, other = (begin(tenant_tokens=1_000, tenant_usd=1.0, usd=None) for _ in range(2))
    first = ask(one, "llm", max_output=600)
    assert isinstance(first, Ticket)
    assert other.room(Intent("run", "llm", "m")) == 1_000 - 600 - 2 * frame
    assert ask(other, "llm", max_output=600) == denied("tokens", 600 + frame, 600 + frame, 1_000, "tenant")
    one.settle(first, Settled(usage=Usage(10, 0, 0, 90)), 0)
    assert other.room(Intent("run", "llm", "m")) == 900 - frame
    assert isinstance(ask(other, "llm", max_output=600), Ticket)
    assert one.remaining(0)["token_budget"] == 1_000_000 - 100


def test_what_the_ledger_refuses_costs_the_run_nothing() -> None:
    """Counts and reservations of the run are as before."""
    begin = opener(MemoryLedger())
    guard = begin(tenant_llm_calls=0)
    before = guard.remaining(0)
    assert isinstance(ask(guard, "llm"), Refused)
    assert guard.remaining(0) == before
    assert guard.room(Intent("run", "llm", "m")) == Budget(Limits(), 0, world=guard.world).room(
        Intent("run", "llm", "m")
    )


def test_quiet_modes_count_and_say_so() -> None:
    """An observed quota admits, and each action beyond it carries a notice."""
    begin = opener(MemoryLedger())
    guard = begin(tenant_tool_calls=1, modes={"tenant_tool_calls": "observe"})
    first, second = ask(guard, "tool", arguments=1), ask(guard, "tool", arguments=2)
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    assert [(notice.metric, notice.mode, notice.used) for notice in (*first.notices, *second.notices)] == [
        ("quota", "observe", 1)
    ]


def test_a_ledger_that_is_away_refuses_unless_its_limit_allows() -> None:
    """The reason says what could not be checked; where it is allowed, that it was not counted."""
    begin = opener(Away())
    found = ask(begin(session_runs=2))
    assert found == Refused(
        "session_limit", 0, 1, 2, "session", "stop",
        "the session limit on runs cannot be checked: store sqlite:x is not available: locked",
    )  # fmt: skip
    lax = begin(session_runs=2, tenant_tokens=5, unavailable="allow")
    allowed = ask(lax)
    assert isinstance(allowed, Ticket)
    assert [(notice.mode, notice.reason) for notice in allowed.notices] == [
        ("observe", "not counted: store sqlite:x is not available: locked")
    ]
    assert lax.room(Intent("run", "llm", "m")) is not None
    assert isinstance(ask(Budget(Limits(session_runs=2), 0, session="s")), Refused)


def test_a_claim_that_cannot_be_settled_is_said() -> None:
    """It counts as set aside until it expires."""

    class Lost(MemoryLedger):
        def settle(self, grant: int, amounts: tuple[int, ...], now: int) -> None:
            raise StoreUnavailable("sqlite:x", "disk full")

    guard = opener(Lost())(tenant_tokens=10_000)
    ticket = ask(guard, "llm", max_output=5)
    assert isinstance(ticket, Ticket)
    notices = guard.settle(ticket, Settled(usage=Usage(1, 0, 0, 1)), 0)
    assert [(notice.metric, notice.mode) for notice in notices] == [("quota", "observe")]
    assert "disk full" in notices[0].reason


def test_of_two_limits_on_one_account_the_lower_holds() -> None:
    """A run may state less than the one above it, and not more."""
    begin = opener(MemoryLedger())
    top = begin(tenant_tool_calls=2)
    generous = begin(top, tenant_tool_calls=9)
    answers = [ask(generous, "tool", arguments=turn) for turn in range(3)]
    assert [isinstance(answer, Ticket) for answer in answers] == [True, True, False]


def test_a_tenants_limit_on_money_needs_a_price() -> None:
    """It was stated, so a model without a price is refused."""
    found = opener(MemoryLedger())(tenant_usd=5).admit(Intent("run", "llm", "nobody-knows"), Spent(), 0)
    assert isinstance(found, Refused)
    assert (found.metric, found.scope, "token_prices" in found.reason) == ("quota", "tenant", True)


@pytest.mark.parametrize("order", [1, -1])
def test_a_limit_that_warns_hides_none_that_refuses(order: int) -> None:
    """The lower one of a run inside says so, and the higher one of the run above holds; or the other way round."""
    policies: list[dict[str, Any]] = [
        {"session_tool_calls": 3}, {"session_tool_calls": 2, "modes": {"session_tool_calls": "warn"}},
    ]  # fmt: skip
    ledger = MemoryLedger()
    begin = opener(ledger)
    above, below = policies[::order]
    guard = begin(begin(**above), **below)
    answers = [ask(guard, "tool", arguments=turn) for turn in range(4)]
    told = [[notice.used for notice in answer.notices] for answer in answers if isinstance(answer, Ticket)]
    assert told == [[], [], [2]]
    assert answers[3] == denied("tool calls", 3, 1, 3, above=int(order == 1))
    assert ledger.used(Account.of_session("acme", "s", "tool_calls"), None, 10 * DAY) == 3


@pytest.mark.parametrize("order", [1, -1])
def test_each_window_has_its_own_limit(order: int) -> None:
    """Two an hour inside three a day: the hour passes, the day does not; an amount counts once."""
    clock, ledger = Clock(), MemoryLedger()
    begin = opener(ledger, clock)
    policies = ({"tenant_tokens": 3_000, "tenant_window": 86_400.0}, {"tenant_tokens": 2_000, "tenant_window": 3_600.0})
    above, below = policies[::order]
    guard = begin(begin(**above), **below)

    def use(amount: int) -> bool:
        ticket = ask(guard, "llm", max_output=amount - tokens_of(0, "m"))
        if isinstance(ticket, Ticket):
            guard.settle(ticket, Settled(usage=Usage(0, 0, 0, amount)), 0)
        return isinstance(ticket, Ticket)

    assert [use(1_000), use(1_000), use(1_000)] == [True, True, False]
    clock.at += DAY // 23
    assert guard.room(Intent("run", "llm", "m")) == 1_000 - tokens_of(0, "m")
    assert [use(1_000), use(100)] == [True, False]
    found = ask(guard, "llm", max_output=100 - tokens_of(0, "m"))
    assert found == denied("tokens", 3_000, 100, 3_000, "tenant", above=int(order == 1))
    assert ledger.used(Account.of_tenant("acme", "tokens"), None, clock.at) == 3_000


def test_a_run_inside_draws_from_the_session_above_too() -> None:
    """A session or tenant of its own is no way past the limits of the run that it is inside; its runs are its own."""
    begin = opener(MemoryLedger())
    top = begin(session_tool_calls=2, tenant_tool_calls=9, session_runs=1)
    assert isinstance(ask(top), Ticket)
    children = [begin(top, session=f"s{turn}", tenant=f"t{turn}") for turn in range(3)]
    assert all(isinstance(ask(child), Ticket) for child in children)
    answers = [ask(child, "tool") for child in children]
    assert [isinstance(answer, Ticket) for answer in answers] == [True, True, False]
    assert answers[2] == denied("tool calls", 2, 1, 2, above=1)
