from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, objects


def test_the_demo_shows_its_runs_and_what_they_add_up_to(cli: Run, own_home: Path) -> None:
    """Without keys or network four tickets are served, drawn as trees, and added up; the store's name is told."""
    result = cli("demo")
    assert result.exit_code == 0
    text = result.stdout
    wanted = (
        "failed: tool_loop",
        "attempt 2",
        "└─ run refunds",
        "6 of 6×",
        "limit stop: run tool_loop",
        "Everything together",
        "back-room-7b",
    )
    assert [word for word in wanted if word not in text] == []
    assert f"Recorded in sqlite:{own_home / 'demo.db'}." in text


def test_a_second_demo_starts_anew(cli: Run, own_home: Path) -> None:
    """The records of the last demo are replaced, not added to."""
    cli("demo")
    [found] = objects(cli("demo", "--json").stdout)
    assert len(found["runs"]) == 4
    assert found["stats"]["total"]["runs"]["count"] == 7
    assert len(objects(cli("ls", "--json", store=own_home / "demo.db").stdout)) == 7


def test_a_named_store_is_added_to(cli: Run, desk: Path) -> None:
    """With --store the runs go there, beside what it holds."""
    assert cli("demo", store=desk).exit_code == 0
    assert len(objects(cli("ls", "--json", store=desk).stdout)) == 14


def test_a_second_demo_has_as_many_runs_left(cli: Run, own_home: Path) -> None:
    """What a session may do in a day is counted beside the store, and begins anew with it."""
    cli("demo")
    cli("demo")
    [found] = objects(cli("session", "usage", "demo-ferry", "--json", store=own_home / "demo.db").stdout)
    assert {each["of"]: each["used"] for each in found["counts"]} == {"runs": 1}
