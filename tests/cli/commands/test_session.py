from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.events.account import Account, Claim, Counted, Grant
from tachograph.queries.answers.audit import AuditAsked, audit
from tachograph.record.clock import SYSTEM
from tachograph.store.ledger import open_ledger
from tachograph.store.open import open_store
from tests.cli.conftest import Run, objects

HOUR = 3_600_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store beside which session s-1 has used 3 runs and 7 cents, 2 of the runs and the cents an hour ago."""
    store = tmp_path / "a.db"
    _use(store, "default", 1, 0, 30 * HOUR)
    _use(store, "default", 2, 70_000_000, HOUR)
    return store


def test_what_a_session_has_used_is_shown(cli: Run, file: Path) -> None:
    """Within the window, on its way, in all: a line for everything that a limit counted."""
    done = cli("session", "usage", "s-1", store=file)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert (done.exit_code, lines) == (
        0,
        [
            ["in", "24h", "set", "aside", "in", "all", "reset"],
            ["runs", "2", "0", "3"],
            ["tokens", "0", "500", "0"],
            ["cost", "$0.07", "$0.00", "$0.07"],
        ],
    )
    assert "in 7d" in cli("session", "usage", "s-1", "--window", "7d", store=file).stdout


def test_json_has_every_figure(cli: Run, file: Path) -> None:
    """One object, money in US dollars."""
    [found] = objects(cli("session", "usage", "s-1", "--window", "48h", "--json", store=file).stdout)
    none = {"cleared": 0, "reset_at": None}
    assert found == {
        "session": "s-1",
        "tenant": "default",
        "window_seconds": 48 * 3600,
        "counts": [
            {"of": "runs", "used": 3, "reserved": 0, "total": 3, **none},
            {"of": "tokens", "used": 0, "reserved": 500, "total": 0, **none},
            {"of": "usd", "used": 0.07, "reserved": 0, "total": 0.07, **none},
        ],
    }


def test_a_reset_begins_anew_and_is_in_the_audit(cli: Run, file: Path) -> None:
    """What it had come to is told and remembered, another tenant's session of the same id stays as it is."""
    _use(file, "blue", 4, 0, HOUR)
    [done] = objects(cli("session", "reset", "s-1", "--json", store=file).stdout)
    assert done == {"session": "s-1", "tenant": "default", "cleared": {"runs": 3, "tokens": 500, "usd": 0.07}}
    [runs, *_] = objects(cli("session", "usage", "s-1", "--json", store=file).stdout)[0]["counts"]
    assert (runs["used"], runs["total"], runs["cleared"], runs["reset_at"] is None) == (0, 0, 3, False)
    assert " at 3" in cli("session", "usage", "s-1", store=file).stdout
    said = cli("session", "reset", "s-1", "--tenant", "blue", store=file).stdout
    assert said == "s-1 begins anew. It had come to: 4 runs · 500 tokens.\n"
    store = open_store(f"sqlite:{file}")
    entries = audit(store, AuditAsked()).entries
    store.close()
    assert [(entry.action, entry.tenant) for entry in entries] == [
        ("session_reset", "blue"),
        ("session_reset", "default"),
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("usage", "s-2"), 3, "no counted session of tenant 'default' has the id 's-2'"),
        (("reset", "s-2"), 3, "no session of tenant 'default' has the id 's-2'"),
        (("usage", "s-1", "--tenant", "red"), 3, "of tenant 'red'"),
        (("usage", "s-1", "--window", "soon"), 2, "--window='soon'"),
        (("usage", "s-1", "--window", "0h"), 2, "--window='0h'"),
        (("usage", "s-1", "--store", "memory:"), 2, "outlives its process"),
    ],
)
def test_what_cannot_be_told_is_said(cli: Run, file: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """A session that nobody counted, a time that is none, a store without a file: one line, and its code."""
    done = cli("session", *words, store=None if "--store" in words else file)
    assert (done.exit_code, said in done.stderr, done.stdout) == (code, True, "")


def test_asking_makes_no_file(cli: Run, tmp_path: Path) -> None:
    """Where nothing was counted yet, nothing is there afterwards either."""
    assert cli("session", "usage", "s-1", store=tmp_path / "a.db").exit_code == 3
    assert not list(tmp_path.glob("a.db*"))


def test_a_server_s_sessions_are_counted_on_this_machine(cli: Run, own_home: Path) -> None:
    """For a store that is a server the ledger lies in the data folder; nothing is sent."""
    url = "https://a.example"
    ledger = open_ledger(url, own_home, "me", lambda _: True)
    answer = ledger.reserve((Claim(Account.of_session("default", "s-1", "runs"), 2, 9),), 1, 2)
    assert isinstance(answer, Grant)
    ledger.close()
    done = cli("session", "reset", "s-1", "--store", url)
    assert (done.exit_code, done.stdout) == (0, "s-1 begins anew. It had come to: 2 runs.\n")


def _use(file: Path, tenant: str, runs: int, nano: int, ago: int) -> None:
    """Count runs and money of session s-1 some time ago; tokens stay set aside the second time."""
    now = SYSTEM.now() - ago
    ledger = open_ledger(f"sqlite:{file}", file.parent, "me", lambda _: True)
    wanted: dict[Counted, int] = {"runs": runs, "nano_usd": nano} if nano else {"runs": runs}
    claims = tuple(
        Claim(Account.of_session(tenant, "s-1", of), amount, 10**12, 240 * HOUR) for of, amount in wanted.items()
    )
    answer = ledger.reserve(claims, now, now + HOUR)
    assert isinstance(answer, Grant)
    ledger.settle(answer.id, tuple(wanted.values()), now)
    if ago == HOUR:
        tokens = Claim(Account.of_session(tenant, "s-1", "tokens"), 500, 10**12)
        ledger.reserve((tokens,), now, now + 10 * HOUR)
    ledger.close()
