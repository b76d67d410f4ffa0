from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.events.account import Account, Claim, Counted, Grant
from tachograph.queries.answers.audit import AuditAsked, audit
from tachograph.record.clock import SYSTEM
from tachograph.store.heads import open_heads
from tachograph.store.ledger import open_ledger
from tachograph.store.open import open_store
from tachograph.store.sessions.head import Changes, Point, Taken
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


@pytest.fixture
def led(file: Path) -> Path:
    """Sessions s-1 of two tenants as a runtime leaves them, and one whose next turn is under way."""
    heads = open_heads(f"sqlite:{file}", file.parent, "", "process 7 on here")
    now = SYSTEM.now()
    for tenant, session in (("default", "s-1"), ("blue", "s-1"), ("default", "busy")):
        found = heads.acquire((tenant, session), now, HOUR)
        assert isinstance(found, Taken)
        changes = Changes(Point("run-1", 7), "desk", {"n": 1}, 1)
        heads.commit((tenant, session), found.head.epoch, 0, changes, now)
        if session == "busy":
            heads.begin((tenant, session), found.head.epoch, "run-2")
        else:
            heads.release((tenant, session), found.head.epoch)
    heads.close()
    return file


def test_sessions_are_listed(cli: Run, led: Path) -> None:
    """Who speaks next, what limits have counted, who holds it; of one tenant, or those that stand so."""
    done = cli("session", "list", store=led)
    first = done.stdout.splitlines()[0].split()
    assert (done.exit_code, first) == (
        0, ["session", "tenant", "status", "agent", "version", "runs", "24h", "changed", "held", "by"]
    )  # fmt: skip
    found = objects(cli("session", "list", "--json", store=led).stdout)
    assert {(one["tenant"], one["session"], one["runs_24h"], one["holder"], one["run"]) for one in found} == {
        ("default", "s-1", 2, None, None), ("blue", "s-1", None, None, None),
        ("default", "busy", None, "process 7 on here", "run-2"),
    }  # fmt: skip
    assert len(objects(cli("session", "list", "--tenant", "blue", "--json", store=led).stdout)) == 1
    assert cli("session", "list", "--status", "closed", store=led).stderr == "No such sessions.\n"
    assert cli("session", "list", store=led.with_name("other.db")).stderr == "No sessions yet.\n"
    assert cli("session", "list", "--status", "open", store=led).exit_code == 2


def test_a_session_is_shown(cli: Run, led: Path) -> None:
    """A line for each fact, its state, and what its limits have counted."""
    done = cli("session", "show", "s-1", store=led)
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line)
    assert (lines["agent"], lines["history"], lines["state"]) == ("desk", '{"run":"run-1","seq":7}', '{"n":1}')
    assert lines["cost"].split() == ["$0.07", "$0.00", "$0.07"]
    [found] = objects(cli("session", "show", "s-1", "--json", store=led).stdout)
    assert (found["state"], [count["of"] for count in found["counts"]]) == ({"n": 1}, ["runs", "tokens", "usd"])
    assert cli("session", "show", "nobody", store=led).exit_code == 3


def test_a_session_is_closed_and_reopened(cli: Run, led: Path) -> None:
    """Another tenant's of the same id stays as it is; both are in the audit."""
    assert cli("session", "close", "s-1", store=led).stdout == "s-1 is closed.\n"
    found = objects(cli("session", "list", "--status", "closed", "--json", store=led).stdout)
    assert [(one["tenant"], one["session"]) for one in found] == [("default", "s-1")]
    [told] = objects(cli("session", "reopen", "s-1", "--json", store=led).stdout)
    assert told == {"session": "s-1", "tenant": "default", "status": "active"}
    assert cli("session", "close", "nobody", store=led).exit_code == 3
    store = open_store(f"sqlite:{led}")
    actions = [entry.action for entry in audit(store, AuditAsked()).entries]
    store.close()
    assert actions == ["session_reopened", "session_closed"]


def test_a_reset_takes_history_and_state_if_asked(cli: Run, led: Path) -> None:
    """Else only what was counted; a session of which nothing was counted can be reset too."""
    assert cli("session", "reset", "s-1", store=led).exit_code == 0
    [kept] = objects(cli("session", "show", "s-1", "--json", store=led).stdout)
    assert (kept["history"]["run"], kept["state"]) == ("run-1", {"n": 1})
    done = cli("session", "reset", "s-1", "--tenant", "blue", "--history", "--state", store=led)
    assert done.stdout == "s-1 begins anew.\n"
    [gone] = objects(cli("session", "show", "s-1", "--tenant", "blue", "--json", store=led).stdout)
    assert (gone["history"], gone["state"], gone["version"]) == (None, {}, 2)
