from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.store.open import open_store
from tests.cli.conftest import Run, objects
from tests.paused import NOW, SECOND, keep, paused, request
from tests.strategies import BEGAN, Tape

YEARS = 10**18
FIRST = paused("first", request(0), request(1, tool="mail", expires_at=NOW + YEARS))
SECOND_RUN = paused("second", request(0, arguments={"to": "a\nb", "amount": 5}), at=BEGAN + SECOND)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with two paused runs: one waits for two calls, the other for one."""
    path = tmp_path / "a.db"
    store = open_store(f"sqlite:{path}")
    keep(store, FIRST, SECOND_RUN)
    store.close()
    return path


def short(tape: Tape) -> str:
    """What lists call a run."""
    return str(tape.events[0].body.execution_id).removeprefix("exec_")[:8]


def test_what_waits_is_listed(cli: Run, file: Path) -> None:
    """A line for each call: what would be done, since when, until when."""
    done = cli("approvals", "ls", store=file)
    lines = done.stdout.splitlines()
    assert (done.exit_code, len(lines)) == (0, 4)
    assert [line.split()[0] for line in lines[1:]] == [
        f"{short(SECOND_RUN)}.1.0", f"{short(FIRST)}.1.0", f"{short(FIRST)}.1.1",
    ]  # fmt: skip
    assert '"amount":5' in lines[1]
    assert all(line.rstrip().endswith("waiting") for line in lines[1:])
    [found] = objects(cli("approvals", "ls", "--limit", "1", "--json", store=file).stdout)
    assert [call["tool"] for run in found["runs"] for call in run["approvals"]] == ["pay"]


def test_a_call_is_allowed_denied_or_edited(cli: Run, file: Path) -> None:
    """By the id of the list, by the run where one call waits, by the tool where several do; with who decided."""
    allowed = cli("approvals", "allow", short(SECOND_RUN), "--by", "ada", store=file)
    assert (allowed.exit_code, allowed.stdout) == (0, f"allow: pay of {short(SECOND_RUN)}, by ada.\n")
    [denied] = objects(
        cli("approvals", "deny", f"{short(FIRST)}.1.0", "--reason", "no", "--by", "bo", "--json", store=file).stdout
    )
    assert (denied["status"], denied["reason"], denied["decided_by"], denied["id"]) == (
        "deny", "no", "bo", f"{FIRST.run}.1.0",
    )  # fmt: skip
    edited = cli("approvals", "edit", FIRST.run, "--call", "mail", "--arguments", '{"to": "c"}', store=file)
    assert edited.exit_code == 0
    assert " by " in edited.stdout
    [found] = objects(cli("approvals", "ls", "--json", store=file).stdout)
    assert [call["status"] for run in found["runs"] for call in run["approvals"]] == ["allow", "deny", "edit"]
    assert "deny by bo" in cli("approvals", "ls", store=file).stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("allow", "nobody"), 3, "nobody"),
        (("allow", f"{FIRST.run}.7.0"), 3, "approval"),
        (("allow", FIRST.run, "--call", "x"), 3, "waiting call"),
        (("allow", FIRST.run), 2, "waiting call"),
        (("edit", SECOND_RUN.run, "--arguments", "[1]"), 2, "one JSON object"),
        (("edit", SECOND_RUN.run, "--arguments", "{"), 2, "one JSON object"),
        (("ls", "--limit", "0"), 2, "1 to 500"),
    ],
)
def test_what_cannot_be_decided_is_said(cli: Run, file: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """One line, and an exit code that says whose fault it is."""
    done = cli("approvals", *words, store=file)
    assert (done.exit_code, said in done.stderr) == (code, True)


def test_what_is_decided_stays_so(cli: Run, file: Path) -> None:
    """The second person is told who was first."""
    cli("approvals", "allow", SECOND_RUN.run, "--by", "ada", store=file)
    done = cli("approvals", "deny", SECOND_RUN.run, store=file)
    assert (done.exit_code, "ada has decided already: allow" in done.stderr) == (1, True)


def test_nothing_may_wait(cli: Run, tmp_path: Path) -> None:
    """An empty list says so."""
    path = tmp_path / "a.db"
    store = open_store(f"sqlite:{path}")
    keep(store, paused("over", request(0), status="failed"))
    store.close()
    assert cli("approvals", "ls", store=path).stdout == "Nothing waits for a person.\n"
