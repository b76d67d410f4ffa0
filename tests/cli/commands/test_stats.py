from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.cli.commands.stats import key_text
from tests.cli.conftest import Run, objects


def test_a_period_is_added_up(cli: Run, filled: Path) -> None:
    """Runs, calls, tools, tokens and cost of everything, then a line a model, dearest first."""
    lines = cli("stats", store=filled).stdout.splitlines()
    labels = [line.split("  ")[0] for line in lines[:7]]
    assert labels == ["period", "runs", "model calls", "tool calls", "tokens", "cost", "first token"]
    assert "7 · 100.0 % completed · p50 " in lines[1]
    assert "≥ $" in lines[5]
    assert "2 calls without a price" in lines[5]
    groups = lines[lines.index("") + 1 :]
    models = ["claude-sonnet-4-5", "gpt-4o-mini", "claude-haiku-4-5", "back-room-7b"]
    assert [line.split()[0] for line in groups[:5]] == ["model", *models]
    assert lines[-1].startswith("errors  ")


def test_groups_may_be_combined(cli: Run, filled: Path) -> None:
    """More than one --by, or names with commas, group by their combinations; days are dates."""
    combined = cli("stats", "--by", "day", "--by", "agent", store=filled).stdout
    assert combined == cli("stats", "--by", "day,agent", store=filled).stdout
    assert "2025-10-09  refunds" in combined


def test_json_has_every_group(cli: Run, filled: Path) -> None:
    """Keys are named, rates and USD stand beside what they are made of, unknown costs are null."""
    [found] = objects(cli("stats", "--by", "model", "--json", store=filled).stdout)
    by_model = {group["key"]["model"]: group for group in found["groups"]}
    assert by_model["back-room-7b"]["cost"] == {
        **by_model["back-room-7b"]["cost"],
        "total": None,
        "total_usd": None,
        "unpriced": 1,
    }
    assert by_model["gpt-4o-mini"]["calls"]["success_rate"] == 1.0
    assert found["total"]["runs"]["by_status"] == {"completed": 7}


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        (("--since", "2025-10-10"), 0),
        (("--until", "2025-10-10"), 7),
        (("--agent", "refunds"), 1),
        (("--project", "harbour-bikes"), 7),
        (("--session", "demo-ferry"), 1),
        (("--only", "status=completed", "--only", "agent=front-desk"), 3),
        (("--only", "status=failed"), 0),
    ],
)
def test_conditions_limit_what_is_counted(cli: Run, filled: Path, options: tuple[str, ...], runs: int) -> None:
    """Each condition leaves the runs that meet it."""
    [found] = objects(cli("stats", *options, "--json", store=filled).stdout)
    assert found["total"]["runs"]["count"] == runs


@pytest.mark.parametrize(
    "options", [("--by", "colour"), ("--only", "model"), ("--only", "colour=red"), ("--since", "x")]
)
def test_what_cannot_be_asked_is_refused(cli: Run, filled: Path, options: tuple[str, ...]) -> None:
    """A dimension, condition or time that there is not is bad usage, in one line."""
    result = cli("stats", *options, store=filled)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


def test_keys_are_told_as_people_say_them() -> None:
    """Days and hours since 1970 become dates; a group without a name is a dash."""
    assert key_text("day", 20_000) == "2024-10-04"
    assert key_text("hour", 480_001) == "2024-10-04 01:00"
    assert key_text("agent", "") == "—"
