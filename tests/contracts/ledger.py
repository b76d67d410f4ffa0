"""What every ledger does, shown on each of them; and a model of it that keeps every amount by itself."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.events.account import Account, Claim, Denied, Grant, Standing
from tachograph.limits.ledger import Ledger
from tachograph.store.ledger import AnyLedger
from tests.contracts.accounts import DAY, HOUR, MINUTE, NOW, SECOND, account

EXAMPLES = settings(
    max_examples=40,
    # every ledger runs the same inherited test: for it alone an example means the same
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)


def take(ledger: Ledger, claim: Claim, now: int = NOW, *, lasts: int = HOUR) -> int:
    """Reserve one claim that must fit; the grant's id."""
    answer = ledger.reserve((claim,), now, now + lasts)
    assert isinstance(answer, Grant)
    return answer.id


def spend(ledger: Ledger, claim: Claim, now: int = NOW) -> None:
    """Reserve and settle as reserved."""
    ledger.settle(take(ledger, claim, now), (claim.amount,), now)


class LedgerContract:
    """A ledger of its own for each test."""

    def open(self, folder: Path) -> AnyLedger:
        """An empty ledger; it may use `folder`."""
        raise NotImplementedError

    @contextlib.contextmanager
    def fresh(self) -> Iterator[AnyLedger]:
        """An empty ledger of its own, for one example."""
        with tempfile.TemporaryDirectory() as folder:
            opened = self.open(Path(folder))
            try:
                yield opened
            finally:
                opened.close()

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[AnyLedger]:
        """An empty ledger."""
        opened = self.open(tmp_path)
        yield opened
        opened.close()

    def test_what_fits_is_set_aside_and_what_does_not_is_denied(self, ledger: AnyLedger) -> None:
        """Up to the threshold, that amount included; a denial says what there is and changes nothing."""
        claim = Claim(account(), 2, 5)
        assert [answer.used for answer in _grants(ledger, claim, 2)] == [(0,), (2,)]
        assert ledger.reserve((claim,), NOW, NOW + HOUR) == Denied(claim, 4)
        last = Claim(account(), 1, 5)
        assert _grants(ledger, last, 1)[0].used == (4,)
        assert ledger.used(account(), None, NOW) == 5

    def test_all_claims_or_none(self, ledger: AnyLedger) -> None:
        """When the last of three does not fit, the first two are not set aside either; else each has its figure."""
        claims = tuple(Claim(account(of=of), 3, 5) for of in ("runs", "tokens", "tool_calls"))
        spend(ledger, claims[2])
        assert ledger.reserve(claims, NOW, NOW + HOUR) == Denied(claims[2], 3)
        assert [ledger.used(claim.account, None, NOW) for claim in claims] == [0, 0, 3]
        ledger.reset(claims[2].account, NOW)
        spend(ledger, claims[1], NOW)
        answer = ledger.reserve((*claims[::2], Claim(claims[1].account, 2, 5)), NOW, NOW + HOUR)
        assert isinstance(answer, Grant)
        assert answer.used == (0, 0, 3)

    def test_claims_on_one_account_add_up(self, ledger: AnyLedger) -> None:
        """A second claim on the same account counts the first one."""
        claim = Claim(account(), 3, 5)
        assert ledger.reserve((claim, claim), NOW, NOW + HOUR) == Denied(claim, 3)
        assert isinstance(ledger.reserve((claim, Claim(account(), 2, 5)), NOW, NOW + HOUR), Grant)
        assert ledger.used(account(), None, NOW) == 5

    def test_no_claims_are_granted(self, ledger: AnyLedger) -> None:
        """Nothing wanted, nothing denied; settling it is no error."""
        answer = ledger.reserve((), NOW, NOW + HOUR)
        assert isinstance(answer, Grant)
        assert answer.used == ()
        ledger.settle(answer.id, (), NOW)

    def test_accounts_are_apart(self, ledger: AnyLedger) -> None:
        """Another scope, another key, another thing that is counted: another account."""
        spend(ledger, Claim(Account("session", "a/b", "runs"), 1, 9))
        others = (
            Account("tenant", "a/b", "runs"),
            Account("session", "a", "runs"),
            Account("session", "a/b", "tokens"),
        )
        assert [ledger.used(other, None, NOW) for other in others] == [0, 0, 0]

    def test_settling_puts_what_was_used_in_the_place_of_what_was_set_aside(self, ledger: AnyLedger) -> None:
        """Less gives the rest back; more is recorded, and what comes next is denied; nothing costs nothing."""
        claim = Claim(account(of="tokens"), 50, 100)
        first, second = take(ledger, claim), take(ledger, claim)
        ledger.settle(first, (10,), NOW)
        assert ledger.used(claim.account, None, NOW) == 60
        ledger.settle(second, (95,), NOW)
        assert ledger.reserve((Claim(claim.account, 0, 100),), NOW, NOW) == Denied(Claim(claim.account, 0, 100), 105)
        ledger.reset(claim.account, NOW)
        ledger.settle(take(ledger, claim), (0,), NOW)
        assert ledger.standing(claim.account, None, NOW) == Standing(0, 0, 0, reset_at=NOW, cleared=105)

    def test_a_grant_is_settled_once(self, ledger: AnyLedger) -> None:
        """Settling again, or what nobody granted, changes nothing; an amount that is left out is as it was reserved."""
        grant = ledger.reserve((Claim(account(), 3, 9), Claim(account(of="tokens"), 5, 9)), NOW, NOW + HOUR)
        assert isinstance(grant, Grant)
        ledger.settle(grant.id, (1,), NOW)
        ledger.settle(grant.id, (7, 7), NOW)
        ledger.settle(grant.id + 1000, (7,), NOW)
        assert [ledger.used(account(of=of), None, NOW) for of in ("runs", "tokens")] == [1, 5]

    def test_a_window_slides(self, ledger: AnyLedger) -> None:
        """Each amount leaves a window's length after it was set aside, not all at the end of a day."""
        for hour in range(3):
            spend(ledger, Claim(account(), 1, 3, DAY), NOW + hour * HOUR)
        at = [NOW + DAY + hour * HOUR for hour in range(3)]
        assert [ledger.used(account(), DAY, moment) for moment in (at[0] - 1, at[0], at[1], at[2])] == [3, 2, 1, 0]
        assert ledger.reserve((Claim(account(), 1, 3, DAY),), at[0] - 1, at[2]) == Denied(
            Claim(account(), 1, 3, DAY), 3
        )
        assert ledger.used(account(), None, at[2]) == 3
        assert isinstance(ledger.reserve((Claim(account(), 1, 3, DAY),), at[0], at[2]), Grant)

    def test_what_is_open_counts_however_old_it_is(self, ledger: AnyLedger) -> None:
        """An open grant outlives its window; once it has expired, or was settled, it ages by when it was set aside."""
        claim = Claim(account(), 1, 1, HOUR)
        long = take(ledger, claim, lasts=DAY)
        assert ledger.reserve((claim,), NOW + 2 * HOUR, NOW + DAY) == Denied(claim, 1)
        ledger.settle(long, (1,), NOW + 2 * HOUR)
        assert ledger.used(account(), HOUR, NOW + 2 * HOUR) == 0
        take(ledger, claim, NOW + 3 * HOUR, lasts=MINUTE)
        assert ledger.used(account(), HOUR, NOW + 3 * HOUR + 2 * MINUTE) == 1
        assert ledger.used(account(), HOUR, NOW + 4 * HOUR) == 0
        assert ledger.used(account(), None, NOW + 4 * HOUR) == 2

    def test_what_expired_can_still_be_settled(self, ledger: AnyLedger) -> None:
        """It counts as it was reserved, until what was really used takes its place."""
        claim = Claim(account(of="tokens"), 40, 100)
        grant = take(ledger, claim, lasts=MINUTE)
        assert ledger.used(claim.account, None, NOW + HOUR) == 40
        ledger.settle(grant, (7,), NOW + HOUR)
        assert ledger.standing(claim.account, None, NOW + HOUR) == Standing(7, 0, 7)

    def test_a_clock_that_steps_back_frees_nothing(self, ledger: AnyLedger) -> None:
        """The clock of an account stands until time has caught up; amounts of meanwhile belong to where it stands."""
        spend(ledger, Claim(account(), 1, 2, HOUR), NOW)
        back = NOW - 5 * HOUR
        assert ledger.used(account(), HOUR, back) == 1
        spend(ledger, Claim(account(), 1, 2, HOUR), back)
        assert ledger.reserve((Claim(account(), 1, 2, HOUR),), back, NOW) == Denied(Claim(account(), 1, 2, HOUR), 2)
        assert ledger.used(account(), HOUR, NOW + HOUR - 1) == 2
        assert ledger.used(account(), HOUR, NOW + HOUR) == 0

    def test_a_reset_begins_anew(self, ledger: AnyLedger) -> None:
        """It tells what the account had come to, and remembers; what was open then changes nothing any more."""
        claim, other = Claim(account(), 4, 9), Claim(account(of="tokens"), 2, 9)
        spend(ledger, claim)
        grant = ledger.reserve((claim, other), NOW, NOW + HOUR)
        assert isinstance(grant, Grant)
        assert ledger.reset(account(), NOW + 1) == 8
        assert ledger.standing(account(), DAY, NOW + 1) == Standing(0, 0, 0, reset_at=NOW + 1, cleared=8)
        ledger.settle(grant.id, (9, 1), NOW + 2)
        assert ledger.used(account(), None, NOW + 2) == 0
        assert ledger.standing(other.account, DAY, NOW + 2) == Standing(1, 0, 1)

    def test_nobody_has_claimed_it(self, ledger: AnyLedger) -> None:
        """An account that is not kept stands at nothing, and a reset makes none of it."""
        assert (ledger.used(account(), DAY, NOW), ledger.reset(account(), NOW)) == (0, 0)
        assert ledger.standing(account(), DAY, NOW) == Standing(0, 0, 0)

    def test_absurd_amounts_are_counted_as_far_as_numbers_go(self, ledger: AnyLedger) -> None:
        """A provider may say anything: it breaks nothing, and the account is over its threshold from then on."""
        of = account(of="tokens")
        for amount in (10**30, 1 << 62, 10**40):
            ledger.settle(take(ledger, Claim(of, 1, 10**60, 10**30)), (amount,), NOW)
        for _ in range(8):
            ledger.settle(take(ledger, Claim(of, 1, 10**60, DAY)), (10**30,), NOW)
        assert ledger.used(of, None, NOW) > 10**18
        assert isinstance(ledger.reserve((Claim(of, 1, 10**9, DAY),), NOW, 10**30), Denied)
        assert ledger.reset(of, NOW) > 10**18

    def test_amounts_are_not_negative(self, ledger: AnyLedger) -> None:
        """Giving back by claiming less than nothing is refused, and what was reserved stays."""
        with pytest.raises(ValueError, match="cannot be negative"):
            ledger.reserve((Claim(account(), -1, 5),), NOW, NOW + HOUR)
        grant = take(ledger, Claim(account(), 2, 5))
        with pytest.raises(ValueError, match="cannot be negative"):
            ledger.settle(grant, (-2,), NOW)
        assert ledger.used(account(), None, NOW) == 2

    def test_threads_cannot_pass_a_threshold_together(self, ledger: AnyLedger) -> None:
        """Eight threads ask a hundred times each for one of 333: exactly as many are granted."""
        granted: list[int] = []

        def ask() -> None:
            for _ in range(100):
                answer = ledger.reserve((Claim(account(), 1, 333, DAY),), NOW, NOW + HOUR)
                if isinstance(answer, Grant):
                    granted.append(answer.id)
                    ledger.settle(answer.id, (1,), NOW)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(granted), len(set(granted)), ledger.used(account(), DAY, NOW)) == (333, 333, 333)

    @EXAMPLES
    @given(data=st.data())
    def test_it_agrees_with_a_model_that_keeps_every_amount(self, data: st.DataObject) -> None:
        """Never less than what lies in the window, never more than what lies in one a sixtieth longer, or a minute."""
        with self.fresh() as ledger:
            model = Model()
            now = NOW
            for _ in range(data.draw(st.integers(1, 30))):
                now += data.draw(st.sampled_from((0, 1, SECOND, 20 * SECOND, 50 * MINUTE, -7 * MINUTE, DAY)))
                model.pass_to(now)
                self._step(ledger, model, data, now)
                for which in _ACCOUNTS:
                    for window in _WINDOWS:
                        least, most = model.used(which, window, now)
                        assert least <= ledger.used(which, window, now) <= most

    def _step(self, ledger: AnyLedger, model: Model, data: st.DataObject, now: int) -> None:
        kind = data.draw(st.sampled_from(("reserve", "reserve", "reserve", "settle", "reset")))
        if kind == "reserve":
            claims = tuple(data.draw(st.lists(_claims, max_size=3)))
            expires = now + data.draw(st.sampled_from((SECOND, HOUR, 3 * DAY)))
            answer = ledger.reserve(claims, now, expires)
            model.check(claims, answer, now)
            if isinstance(answer, Grant):
                model.take(answer.id, claims, now, expires)
        elif kind == "settle" and model.grants:
            grant = data.draw(st.sampled_from(sorted(model.grants)))
            amounts = tuple(data.draw(st.integers(0, 9)) for _ in model.grants[grant])
            ledger.settle(grant, amounts, now)
            model.settle(grant, amounts)
        elif kind == "reset":
            which = data.draw(st.sampled_from(_ACCOUNTS))
            least, most = model.used(which, None, now)
            assert least <= ledger.reset(which, now) <= most
            model.reset(which)


_ACCOUNTS = (account("a"), account("b"), Account.of_tenant("default", "tokens"))
_WINDOWS = (None, MINUTE, HOUR, DAY)
_claims = st.builds(Claim, st.sampled_from(_ACCOUNTS), st.integers(0, 5), st.integers(0, 20), st.sampled_from(_WINDOWS))


@dataclass
class Entry:
    """One amount."""

    account: Account
    amount: int
    at: int
    expires: int
    is_open: bool = True
    counts: bool = True
    sure: bool = True
    """False once its account may have been forgotten: only who asks without a window can tell."""


@dataclass
class Model:
    """Every amount by itself, and the latest time each account has seen."""

    entries: list[Entry] = field(default_factory=list)
    grants: dict[int, list[Entry]] = field(default_factory=dict)
    newest: dict[Account, int] = field(default_factory=dict)
    forever: set[Account] = field(default_factory=set)
    """Accounts that were claimed without a window. Others may be forgotten when nothing of them can count."""

    def pass_to(self, now: int) -> None:
        """Time has come to `now`."""
        for entry in self.entries:
            entry.sure &= entry.account in self.forever or now < self.newest[entry.account] + DAY

    def used(self, which: Account, window: int | None, now: int) -> tuple[int, int]:
        """The exact amount, and that of a window which is as much longer as sums may be coarse."""
        moment = max(now, self.newest.get(which, 0))
        own = [entry for entry in self.entries if entry.account == which and entry.counts]
        if window is None:
            return sum(entry.amount for entry in own if entry.sure), sum(entry.amount for entry in own)
        least, most = (
            sum(
                entry.amount
                for entry in own
                if (entry.is_open and entry.expires > moment) or entry.at > moment - window - longer
            )
            for longer in (0, MINUTE)
        )
        return least, most

    def check(self, claims: tuple[Claim, ...], answer: Grant | Denied, now: int) -> None:
        """Granted is what fits by the exact amounts, denied what does not by the coarse ones."""
        wanted: dict[Account, int] = {}
        fits, certain = True, True
        for claim in claims:
            least, most = self.used(claim.account, claim.window_ns, now)
            wanted[claim.account] = wanted.get(claim.account, 0) + claim.amount
            fits &= least + wanted[claim.account] <= claim.threshold
            certain &= most + wanted[claim.account] <= claim.threshold
        assert fits if isinstance(answer, Grant) else not certain

    def take(self, grant: int, claims: tuple[Claim, ...], now: int, expires: int) -> None:
        """Note a grant."""
        for claim in claims:
            self.newest[claim.account] = max(now, self.newest.get(claim.account, 0))
            if claim.window_ns is None:
                self.forever.add(claim.account)
        self.grants[grant] = [
            Entry(claim.account, claim.amount, self.newest[claim.account], expires) for claim in claims
        ]
        self.entries += self.grants[grant]

    def settle(self, grant: int, amounts: tuple[int, ...]) -> None:
        """Note what was really used."""
        for entry, amount in zip(self.grants.pop(grant), amounts, strict=True):
            entry.amount, entry.is_open = amount, False

    def reset(self, which: Account) -> None:
        """Note that everything of an account counts no more."""
        for entry in self.entries:
            entry.counts &= entry.account != which


def _grants(ledger: Ledger, claim: Claim, count: int) -> list[Grant]:
    answers = [ledger.reserve((claim,), NOW, NOW + HOUR) for _ in range(count)]
    return [answer for answer in answers if isinstance(answer, Grant)]
