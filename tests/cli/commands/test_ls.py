from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, objects


def test_runs_are_listed_newest_first(cli: Run, filled: Path) -> None:
    """A line a run: its name, how it ended, what it did; runs of runs are marked."""
    result = cli("ls", store=filled)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split() == [
        "run", "outcome", "name", "session", "started", "time", "iter", "calls", "tools", "tokens", "cost", "repeats",
        "asked",
    ]  # fmt: skip
    names = [
        name for line in lines[1:] for name in ("evening-note", "front-desk", "↳ refunds", "↳ figures") if name in line
    ]
    assert sorted(names) == ["evening-note", "front-desk", "front-desk", "front-desk", "↳ figures", "↳ refunds"]


def test_a_runaway_stands_out(cli: Run, filled: Path) -> None:
    """The run that looped shows what became of it and how often it did the same."""
    line = next(line for line in cli("ls", store=filled).stdout.splitlines() if "tandem" in line)
    assert line.split()[1:4] == ["completed:", "human_handoff", "front-desk"]
    assert " 6×  Where is the tandem I ordered? " in line


def test_json_has_an_object_a_line(cli: Run, filled: Path) -> None:
    """Each object has the run's facts, its repeats, and null for what nobody knows."""
    found = objects(cli("ls", "--json", store=filled).stdout)
    assert len(found) == 7
    by_name = {each["name"]: each for each in found}
    assert by_name["listener"]["cost"] is None
    assert by_name["listener"]["unpriced"] == 1
    assert [each["max_identical_calls"] for each in found if each["stop_reason"] == "human_handoff"] == [6]
    assert by_name["refunds"]["parent"] in {each["id"] for each in found}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--status", "failed"), []),
        (("--status", "completed", "--sort", "time", "--limit", "1"), ["front-desk"]),
        (("--agent", "refunds"), ["refunds"]),
        (("--session", "demo-ferry"), ["front-desk"]),
        (("--project", "harbour-bikes", "--top", "--limit", "2"), ["evening-note", "front-desk"]),
        (("--project", "another"), []),
        (("--search", "NOTE"), ["evening-note"]),
        (("--since", "2025-10-10"), []),
        (("--until", "2025-10-10", "--sort", "tools", "--limit", "1"), ["front-desk"]),
        (("--sort", "cost", "--limit", "1"), ["refunds"]),
    ],
)
def test_filters_choose(cli: Run, filled: Path, options: tuple[str, ...], names: list[str]) -> None:
    """Each filter leaves the runs that meet it, in the order asked for."""
    assert [each["name"] for each in objects(cli("ls", "--json", *options, store=filled).stdout)] == names


def test_no_runs_are_no_error(cli: Run, filled: Path) -> None:
    """A filter that nothing meets prints nothing, says so beside, and succeeds."""
    result = cli("ls", "--status", "paused", store=filled)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No such runs.\n")


def test_more_runs_than_asked_for_are_hinted_at(cli: Run, filled: Path) -> None:
    """When the list is cut, a remark says how to see more."""
    result = cli("ls", "--limit", "3", store=filled)
    assert (len(result.stdout.splitlines()), result.stderr) == (4, "The first 3; more with --limit.\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--sort", "luck"), "--sort='luck' cannot be used"), (("--limit", "0"), "--limit=0 cannot be used: at least 1")],
)
def test_options_that_cannot_be_used_are_refused(cli: Run, filled: Path, options: tuple[str, ...], said: str) -> None:
    """A wrong value is bad usage, and the sentence names the option."""
    result = cli("ls", *options, store=filled)
    assert (result.exit_code, said in result.stderr) == (2, True)
