from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import Run, objects


@pytest.fixture
def policies(own_home: Path) -> Path:
    """The file of policies in the data folder."""
    own_home.mkdir(parents=True)
    return own_home / "policies.toml"


def test_what_is_old_goes(cli: Run, desk: Path) -> None:
    """Runs, steps and calls are told, and how much was given back to the file system: the file is really smaller."""
    before = sum(file.stat().st_size for file in desk.parent.glob("desk.db*") if file.is_file())
    result = cli("prune", "--older-than", "1d", "--yes", store=desk)
    after = sum(file.stat().st_size for file in desk.parent.glob("desk.db*") if file.is_file())
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first == "7 runs, 27 steps, 21 model calls, 16 tool calls erased"
    assert " given back: the store had " in second
    assert after < before
    assert cli("ls", "--json", store=desk).stdout == ""
    assert cli("db", "check", store=desk).stdout == "No faults found.\n"
    assert cli("prune", "--older-than", "1d", "--yes", store=desk).stdout.startswith("Nothing to prune.")
    with sqlite3.connect(desk) as connection:
        audits = connection.execute("SELECT name, source, status FROM runs").fetchall()
    connection.close()
    assert audits == [("pruned", "audit", "completed")]


def test_all_options_must_be_met(cli: Run, with_a_failure: Path) -> None:
    """Status, tag and age together choose; what was started by somebody else goes only with them."""
    every = objects(cli("ls", "--json", store=with_a_failure).stdout)
    failed = [run for run in every if run["status"] == "failed" and run["parent"] is None]
    [done] = objects(
        cli("prune", "--status", "failed", "--older-than", "1d", "--json", "--yes", store=with_a_failure).stdout
    )
    assert done["runs"] == sum(run["id"] in {each["id"] for each in failed} for run in every) > 0
    assert (done["dry"], done["returned"]) == (False, done["bytes_before"] - done["bytes_after"])
    [rule] = done["rules"]
    assert (rule["rule"], rule["conditions"]) == ("command line", "older than 1d, failed")
    [none] = objects(cli("prune", "--tag", "no such tag", "--json", store=with_a_failure).stdout)
    assert none["runs"] == 0


def test_a_dry_run_only_says_so(cli: Run, desk: Path) -> None:
    """What would go and about how much would be left; the store is untouched, and nobody is asked."""
    result = cli("prune", "--older-than", "1d", "--dry-run", store=desk)
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first == "7 runs, 27 steps, 21 model calls, 16 tool calls would go"
    assert second.startswith("the store has ")
    assert len(objects(cli("ls", "--json", store=desk).stdout)) == 7
    [told] = objects(cli("prune", "--older-than", "1d", "--dry-run", "--json", store=desk).stdout)
    assert (told["runs"], told["steps"], told["llm_calls"], told["tool_calls"], told["dry"]) == (7, 27, 21, 16, True)


def test_without_a_yes_nothing_goes(cli: Run, desk: Path) -> None:
    """Where nobody can be asked, it says what would go and what to say, and leaves with 2."""
    result = cli("prune", "--older-than", "1d", store=desk)
    assert (result.exit_code, result.stdout) == (2, "")
    assert " ".join(result.stderr.split()) == (
        "Nothing erased: 7 runs, 27 steps, 21 model calls, 16 tool calls would go. Say --yes to erase them."
    )
    assert len(objects(cli("ls", "--json", store=desk).stdout)) == 7


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 7)])
def test_a_person_is_asked(cli: Run, desk: Path, monkeypatch: pytest.MonkeyPatch, answer: str, left: int) -> None:
    """On a terminal the answer decides; no is bad usage, as for whoever cannot be asked."""
    monkeypatch.setattr("tachograph.cli.terminal.Terminal.interactive", True)
    result = cli("prune", "--older-than", "1d", store=desk, input=f"{answer}\n")
    assert "Erase 7 runs, 27 steps, 21 model calls, 16 tool calls for good?" in result.stderr
    assert (result.exit_code, len(objects(cli("ls", "--json", store=desk).stdout))) == (0 if left == 0 else 2, left)


def test_the_policies_decide_when_nothing_is_said(cli: Run, desk: Path, policies: Path) -> None:
    """Each rule is told with its conditions; without a file, or with a mistake in it, the command says which file."""
    bare = cli("prune", "--yes", store=desk)
    assert (bare.exit_code, str(policies) in bare.stderr) == (2, True)
    policies.write_text(
        "[[retention]]\nname = 'failed'\nstatus = 'failed'\n[[retention]]\nname = 'old'\nolder_than = '1d'"
    )
    result = cli("prune", "--yes", store=desk)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("7 runs, ")
    assert [line.split(":")[0].strip() for line in lines[1:3]] == ["failed", "old"]
    assert lines[2].endswith("(older than 1d)")
    policies.write_text("[[retention]]\nname = 'failed'\nstate = 'failed'")
    broken = cli("prune", "--yes", store=desk)
    assert (broken.exit_code, len(broken.stderr.splitlines())) == (2, 1)
    assert f"{policies}: retention failed: state='failed' cannot be used" in broken.stderr


def test_what_goes_is_archived_first(cli: Run, desk: Path, tmp_path: Path) -> None:
    """The folder is told, and what is imported from it is what was there."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped] # the package brings no types

    before = cli("ls", "--json", store=desk).stdout
    result = cli("prune", "--older-than", "1d", "--archive", str(tmp_path / "archive"), "--yes", store=desk)
    assert result.exit_code == 0
    [folder] = [path for path in (tmp_path / "archive").iterdir() if path.is_dir()]
    assert result.stdout.splitlines()[1] == f"archived in {folder}"
    events = [pq.read_table(file).column("event").to_pylist() for file in sorted(folder.glob("day=*/events.parquet"))]
    lines = tmp_path / "back.jsonl"
    lines.write_text("\n".join(line for day in events for line in day))
    assert cli("import", str(lines), store=tmp_path / "fresh.db").exit_code == 0
    assert cli("ls", "--json", store=tmp_path / "fresh.db").stdout == before


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("--older-than", "a month", "a time such as 30d"),
        ("--max-bytes", "5", "a size such as 5 GB"),
        ("--status", "started", "one of completed, failed"),
    ],
)
def test_a_bad_option_is_named(cli: Run, desk: Path, option: str, value: str, wanted: str) -> None:
    """With what would have done, in one line, and code 2."""
    result = cli("prune", option, value, "--yes", store=desk)
    assert (result.exit_code, len(result.stderr.splitlines()), wanted in result.stderr) == (2, 1, True)
    assert option.strip("-").replace("-", "_") in result.stderr.replace("-", "_")


def test_a_store_is_cut_to_size(cli: Run, desk: Path) -> None:
    """Nothing goes when it fits; when it does not, the oldest do."""
    [fits] = objects(cli("prune", "--max-bytes", "1 GB", "--json", "--yes", store=desk).stdout)
    assert fits["runs"] == 0
    [cut] = objects(cli("prune", "--max-bytes", "1 B", "--json", "--yes", store=desk).stdout)
    assert (cut["runs"], cut["returned"] > 0) == (7, True)
