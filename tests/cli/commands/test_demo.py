from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Run, objects


def test_the_demo_shows_its_runs_and_what_they_add_up_to(cli: Run, own_home: Path) -> None:
    """Without keys or network five jobs are done, drawn as trees, and added up; the store's name is told."""
    result = cli("demo")
    assert result.exit_code == 0
    text = result.stdout
    wanted = (
        "│     └─ handoff to bookings",
        "└─ agent bookings",
        "tool ask_refunds",
        "└─ run refunds",
        "attempt 2",
        "completed: human_handoff",
        "6 of 6×",
        "limit handoff: run tool_loop",
        "└─ handoff to a person",
        "given to a person: the customer is told “I noticed that I was repeating myself.",
        "iteration 3 abandoned ProcessDied",
        "├─ run goes on by the owner  abandoned 8 s before",
        "Everything together",
        "back-room-7b",
    )
    assert [word for word in wanted if word not in text] == []
    assert f"Recorded in sqlite:{own_home / 'demo.db'}." in text


def test_the_demo_ends_with_the_command_that_shows_it(cli: Run, tmp_path: Path) -> None:
    """Its last line serves what was recorded, as a shell takes it: a blank in the path of the store is quoted."""
    url = f"sqlite:{tmp_path / 'my records'}/demo.db"
    (tmp_path / "my records").mkdir()
    last = cli("demo", "--store", url).stdout.rstrip().splitlines()[-1]
    assert shlex.split(last) == ["tachograph", "serve", "--store", url]


def test_a_command_that_a_shell_does_not_find_is_told_by_its_path(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout the command lies in `.venv/bin`, and what the demo tells to run runs."""
    monkeypatch.setattr("sys.argv", [".venv/bin/tachograph", "demo"])
    monkeypatch.setenv("PATH", "")
    last = cli("demo").stdout.rstrip().splitlines()[-1]
    assert shlex.split(last)[:2] == [".venv/bin/tachograph", "serve"]


def test_the_killed_run_goes_on_without_making_its_first_payment_again(cli: Run) -> None:
    """One run, of one start and two processes: what was done before the kill is done once, and the rest afterwards."""
    [found] = objects(cli("demo", "--json").stdout)
    [night] = [detail for detail in found["runs"] if detail["run"]["name"] == "deposits"]
    assert (night["run"]["status"], night["run"]["stop_reason"]) == ("completed", "final_answer")
    assert [(each["epoch"], each["status"], each["by"]) for each in night["resumed"]] == [(1, "abandoned", "the owner")]
    [went_on] = [each["seq"] for each in night["resumed"]]
    calls = [(step["name"], step["input"], step["step"] > went_on) for step in night["steps"] if step["kind"] == "tool"]
    assert calls == [
        ("returned_today", "{}", False),
        ("send_deposit", '{"rental":"R-2203"}', False),
        ("send_deposit", '{"rental":"R-2211"}', True),
    ]


def test_every_demo_tells_the_same(cli: Run) -> None:
    """Steps, outcomes and costs do not depend on how busy the machine is, nor on when the other process was killed."""

    def told() -> list[object]:
        [found] = objects(cli("demo", "--json").stdout)
        facts = ("depth", "kind", "name", "status", "output", "cost")
        return [[step.get(fact) for fact in facts] for detail in found["runs"] for step in detail["steps"]]

    first = told()
    assert len(first) > 60
    assert told() == first


def test_a_second_demo_starts_anew(cli: Run, own_home: Path) -> None:
    """The records of the last demo are replaced, not added to; no journal is left, of the killed process neither."""
    cli("demo")
    [found] = objects(cli("demo", "--json").stdout)
    assert len(found["runs"]) == 5
    assert found["stats"]["total"]["runs"]["count"] == 8
    assert len(objects(cli("ls", "--json", store=own_home / "demo.db").stdout)) == 8
    assert [path.name for path in (own_home / "demo.db.journals").iterdir() if path.is_dir()] == []


def test_a_named_store_is_added_to(cli: Run, desk: Path) -> None:
    """With --store the runs go there, beside what it holds."""
    assert cli("demo", store=desk).exit_code == 0
    assert len(objects(cli("ls", "--json", store=desk).stdout)) == 15


@pytest.mark.parametrize("store", ["memory:", "https://localhost:1"])
def test_two_processes_need_a_store_that_both_can_read(cli: Run, store: str) -> None:
    """Any other is refused before anything happens."""
    result = cli("demo", "--store", store)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--store='{store}' cannot be used: a file" in result.stderr


def test_a_program_that_does_not_drain_shows_its_demo_too(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded has to be read back, whoever else moves records into the store."""
    monkeypatch.setenv("TACHOGRAPH_DRAIN", "0")
    result = cli("demo")
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_second_demo_has_as_many_runs_left(cli: Run, own_home: Path) -> None:
    """What a session may do in a day is counted beside the store, and begins anew with it."""
    cli("demo")
    cli("demo")
    [found] = objects(cli("session", "usage", "demo-ferry", "--json", store=own_home / "demo.db").stdout)
    assert {each["of"]: each["used"] for each in found["counts"]} == {"runs": 1}
