from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import StoreUnavailable
from tachograph.events.account import Account, Claim, Denied, Grant, Standing
from tachograph.store.ledgers.memory import MemoryLedger
from tachograph.store.ledgers.sqlite import SqliteLedger
from tests.contracts.accounts import DAY, HOUR, MINUTE, NOW, SECOND, account
from tests.contracts.ledger import EXAMPLES, LedgerContract, spend, take
from tests.store.ledgers.asking import named, start, told


class TestSqliteLedger(LedgerContract):
    """Counts in a file keep the contract."""

    def open(self, folder: Path) -> SqliteLedger:
        """A ledger in a new file."""
        return SqliteLedger(folder / "contract.ledger", "me", lambda _: True)

    @EXAMPLES
    @given(steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 2 * HOUR)), max_size=40))
    def test_it_answers_as_the_one_in_memory(self, steps: list[tuple[int, int, int]]) -> None:
        """The same requests, settled in the same order: the same answers, one by one, to the last figure."""
        with self.fresh() as file:
            memory, now = MemoryLedger(), NOW
            open_: list[tuple[int, int]] = []
            for kind, amount, later in steps:
                now += later
                if kind == 0 and open_:
                    for ledger, grant in zip((file, memory), open_.pop(0), strict=True):
                        ledger.settle(grant, (amount, amount), now)
                    continue
                claims = (Claim(account(), amount, 40, (kind or 3) * HOUR), Claim(account(of="tokens"), amount, 60))
                one, two = (ledger.reserve(claims, now, now + 5 * HOUR) for ledger in (file, memory))
                if isinstance(one, Grant) and isinstance(two, Grant):
                    open_.append((one.id, two.id))
                    assert one.used == two.used
                else:
                    assert one == two
                for claim in claims:
                    stood = [ledger.standing(claim.account, claim.window_ns, now) for ledger in (file, memory)]
                    assert stood[0] == stood[1]


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    """An empty ledger whose other owners are all dead."""
    return SqliteLedger(tmp_path / "a.ledger", "me", lambda _: False)


_ASK = """
granted = 0
for number in range(200):
    answer = ledger.reserve((claim(1, 500),), NOW + number, NOW + HOUR)
    if isinstance(answer, Grant):
        granted += 1
        if number % 2:
            ledger.settle(answer.id, (1,), NOW + number)
print(granted)
"""


def test_processes_cannot_pass_a_threshold_together(tmp_path: Path) -> None:
    """Eight processes ask 200 times each for one of 500, on a file that none has made yet: exactly 500 are granted."""
    children = [start(_ASK, tmp_path, f"child-{number}") for number in range(8)]
    assert sum(int(told(child)) for child in children) == 500
    ledger = named(tmp_path, "after")
    ledger.reserve((), NOW, NOW)
    assert ledger.standing(account(), DAY, NOW) == Standing(500, 0, 500)
    assert ledger.reserve((Claim(account(), 1, 500, DAY),), NOW, NOW) == Denied(Claim(account(), 1, 500, DAY), 500)
    ledger.close()


_HANG = """
for amount in (3, 4):
    ledger.reserve((claim(amount, 10),), NOW, NOW + 10 * DAY)
print("open", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_left_open_counts_as_used(tmp_path: Path) -> None:
    """It may have been billed, so it stays; it ages with the window, which it would not do while its owner lives."""
    ledger = named(tmp_path, "survivor")
    child = start(_HANG, tmp_path, "victim")
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    claim = Claim(account(), 4, 10, DAY)
    assert ledger.used(account(), DAY, NOW) == 7
    assert ledger.reserve((claim,), NOW + DAY, NOW + 2 * DAY) == Denied(claim, 7)
    child.kill()
    child.communicate()
    assert ledger.standing(account(), DAY, NOW) == Standing(0, 7, 0)
    assert ledger.reserve((claim,), NOW + DAY - 1, NOW + 2 * DAY) == Denied(claim, 7)
    answer = ledger.reserve((claim,), NOW + DAY, NOW + 2 * DAY)
    assert isinstance(answer, Grant)
    assert answer.used == (0,)
    assert ledger.standing(account(), 3 * DAY, NOW) == Standing(7, 4, 7)
    ledger.close()


def test_the_dead_are_looked_for_only_when_it_can_matter(tmp_path: Path) -> None:
    """Whether others live is not asked with each request: once a minute, and before something old keeps one out."""
    asked: list[str] = []

    def is_alive(owner: str) -> bool:
        asked.append(owner)
        return True

    other = SqliteLedger(tmp_path / "a.ledger", "other", lambda _: True)
    take(other, Claim(account(), 1, 1, HOUR), lasts=DAY)
    ledger = SqliteLedger(tmp_path / "a.ledger", "me", is_alive)
    claim = Claim(account(), 1, 1, HOUR)
    for seconds, so_far in ((0, 1), (1, 1), (59, 1), (60, 2), (61, 2), (3600, 3), (3601, 4)):
        assert ledger.reserve((claim,), NOW + seconds * SECOND, NOW + DAY) == Denied(claim, 1)
        assert asked == ["other"] * so_far
    ledger.close()
    other.close()


def test_grants_of_nobody_end_by_their_time(tmp_path: Path) -> None:
    """Who is on another machine is never seen to be dead: what expired counts as used, and can be settled for a day."""
    away = SqliteLedger(tmp_path / "a.ledger", "away", lambda _: True)
    early, late = (take(away, Claim(account(), 5, 20), lasts=MINUTE) for _ in range(2))
    ledger = SqliteLedger(tmp_path / "a.ledger", "me", lambda _: True)
    assert ledger.used(account(), HOUR, NOW + MINUTE) == 10
    assert ledger.used(account(), HOUR, NOW + HOUR) == 0
    away.settle(early, (7,), NOW + HOUR)
    assert ledger.used(account(), DAY, NOW + HOUR) == 12
    ledger.reserve((), NOW + MINUTE + DAY, NOW + 2 * DAY)
    away.settle(late, (7,), NOW + 2 * DAY)
    assert ledger.standing(account(), None, NOW) == Standing(12, 0, 12)
    ledger.close()
    away.close()


_FORK = """
mine = ledger.reserve((claim(1, 10),), NOW, NOW + HOUR)
pid = os.fork()
if not pid:
    inside = ledger.reserve((claim(2, 10),), NOW, NOW + HOUR)
    print(inside.used, ledger.used(account(), DAY, NOW), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
ledger.settle(mine.id, (5,), NOW)
print(ledger.standing(account(), DAY, NOW), flush=True)
"""


def test_a_forked_child_opens_the_file_for_itself(tmp_path: Path) -> None:
    """It sees its parent's grants and leaves its connection alone; its own are nobody's, and end by their time."""
    assert told(start(_FORK, tmp_path, "parent")).splitlines() == ["(1,) 3", repr(Standing(5, 2, 5))]
    ledger = named(tmp_path, "after")
    assert ledger.used(account(), DAY, NOW + DAY - 1) == 7
    assert ledger.standing(account(), DAY, NOW + DAY - 1) == Standing(5, 2, 5)
    assert ledger.used(account(), DAY, NOW + DAY) == 0
    ledger.close()


def test_a_process_that_dies_in_the_middle_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Killed at any moment while it reserves two claims at once, it leaves both accounts equal."""
    program = """
both = (claim(1, 10**9), Claim(account(of="tokens"), 1, 10**9, DAY))
ledger.reserve(both, NOW, NOW + HOUR)
print("go", flush=True)
while True:
    ledger.reserve(both, NOW, NOW + HOUR)
"""
    for delay in (0.0, 0.011, 0.023):
        child = start(program, tmp_path, f"victim-{delay}")
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        threading.Event().wait(delay)
        child.kill()
        child.communicate()
    ledger = named(tmp_path, "after")
    ledger.reserve((), NOW, NOW + HOUR)
    runs, tokens = (ledger.used(account(of=of), DAY, NOW) for of in ("runs", "tokens"))
    assert (runs == tokens, runs > 0, ledger.standing(account(), DAY, NOW).reserved) == (True, True, 0)
    ledger.close()


def test_what_cannot_be_settled_is_settled_later(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the file settling raises nothing; the next request that gets through does it."""
    monkeypatch.setattr("tachograph.store.ledgers.file.BUSY_SECONDS", 0.05)
    grant = take(ledger, Claim(account(), 5, 9, DAY))
    ledger.close()
    other = SqliteLedger(ledger.path, "other", lambda _: True)
    with other._file.transaction():
        ledger.settle(grant, (2,), NOW)
        with pytest.raises(StoreUnavailable, match="locked"):
            take(ledger, Claim(account(), 1, 9, DAY))
    assert other.used(account(), DAY, NOW) == 5
    take(ledger, Claim(account(), 1, 9, DAY))
    assert other.standing(account(), DAY, NOW) == Standing(2, 1, 2)
    ledger.close()
    other.close()


def test_sums_and_accounts_do_not_pile_up(ledger: SqliteLedger) -> None:
    """A year of a session's and a tenant's requests leaves the sums of the window; a session that is over, nothing."""
    of_tenant = Account.of_tenant("default", "tokens")
    for day in range(365):
        for hour in range(0, 24, 6):
            now = NOW + day * DAY + hour * HOUR
            spend(ledger, Claim(account(f"s{day}"), 1, 9, DAY), now)
            spend(ledger, Claim(of_tenant, 1, 10**6), now)
    with ledger._file.snapshot() as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("accounts", "sums", "grants", "reserved")
        ]
    assert (counts[0] <= 4, counts[1] <= 16, counts[2:]) == (True, True, [0, 0])
    assert ledger.used(of_tenant, None, NOW + 365 * DAY) == 365 * 4
    ledger.close()


def test_a_longer_window_keeps_more(ledger: SqliteLedger) -> None:
    """Amounts stay as long as the longest window that was asked for."""
    for day in range(40):
        spend(ledger, Claim(account(), 1, 99, 30 * DAY), NOW + day * DAY)
    assert [ledger.used(account(), days * DAY, NOW + 39 * DAY) for days in (1, 7, 30)] == [1, 7, 30]
    ledger.close()


def test_short_windows_are_counted_finely(ledger: SqliteLedger) -> None:
    """In a window of ten seconds an amount leaves within a second of its time."""
    claim = Claim(account(), 1, 99, 10 * SECOND)
    for second in range(20):
        spend(ledger, claim, NOW + second * SECOND)
    assert ledger.used(account(), 10 * SECOND, NOW + 19 * SECOND) == 10
    ledger.close()


def test_keys_may_hold_any_text(ledger: SqliteLedger) -> None:
    """Quotes, line ends, letters that no encoding has: each is a name like others."""
    names = ("", "'\"; DROP TABLE sums", "a\nb", "\ud800", "\x00", "ü" * 5000)
    for name in names:
        spend(ledger, Claim(account(name), 1, 9, DAY))
    assert [ledger.used(account(name), DAY, NOW) for name in names] == [1] * len(names)
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is for POSIX")
def test_a_fork_while_a_thread_asks_leaves_a_ledger_that_works(tmp_path: Path) -> None:
    """The child's turn comes at once, though the thread that had it in the parent is not there."""
    program = """
import threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
ledger.reserve((claim(1, 10**9),), NOW, NOW + HOUR)
stop = threading.Event()
def ask():
    while not stop.is_set():
        ledger.settle(ledger.reserve((claim(1, 10**9),), NOW, NOW + HOUR).id, (1,), NOW)
thread = threading.Thread(target=ask, daemon=True)
thread.start()
for _ in range(20):
    pid = os.fork()
    if not pid:
        os._exit(0 if isinstance(ledger.reserve((claim(1, 10**9),), NOW, NOW + HOUR), Grant) else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
thread.join()
print("done")
"""
    assert told(start(program, tmp_path, "parent")) == "done\n"
