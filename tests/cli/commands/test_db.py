from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.cli.conftest import Run, objects


def test_a_backup_is_a_store_of_its_own(cli: Run, desk: Path, tmp_path: Path) -> None:
    """The copy answers like the original; a file that is there is not replaced unasked."""
    copy = tmp_path / "copy.db"
    assert cli("db", "backup", str(copy), store=desk).exit_code == 0
    assert cli("ls", "--json", store=copy).stdout == cli("ls", "--json", store=desk).stdout
    refused = cli("db", "backup", str(copy), store=desk)
    assert (refused.exit_code, "--force" in refused.stderr) == (2, True)
    [done] = objects(cli("db", "backup", str(copy), "--force", "--json", store=desk).stdout)
    assert done == {"file": str(copy), "bytes": copy.stat().st_size}


def test_tables_are_made_again_from_the_log(cli: Run, desk: Path) -> None:
    """What a rebuild makes is what was there, even after a table was emptied."""
    before = cli("ls", "--json", store=desk).stdout, cli("stats", "--json", "--by", "agent", store=desk).stdout
    with sqlite3.connect(desk) as connection:
        connection.execute("UPDATE runs SET cost_nano = 1, llm_calls = 99")
        connection.execute("DELETE FROM tool_calls")
    connection.close()
    [done] = objects(cli("db", "rebuild", "--json", store=desk).stdout)
    assert (done["rows"]["runs"], done["rows"]["tool_calls"]) == (7, 16)
    assert cli("ls", "--json", store=desk).stdout == before[0]
    assert "rebuilt: " in cli("db", "rebuild", store=desk).stdout


def test_a_check_finds_what_is_wrong(cli: Run, desk: Path) -> None:
    """A store that is whole is said to be; an altered one is not, with a sentence for each fault and code 1."""
    result = cli("db", "check", store=desk)
    assert (result.exit_code, result.stdout) == (0, "No faults found.\n")
    with sqlite3.connect(desk) as connection:
        connection.execute("UPDATE payloads SET size = size + 1 WHERE id = 1")
    connection.close()
    result = cli("db", "check", store=desk)
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 1)
    [found] = objects(cli("db", "check", "--json", store=desk).stdout)
    assert (found["ok"], len(found["faults"])) == (False, 1)


def test_without_a_word_the_commands_are_listed(cli: Run) -> None:
    """`tachograph db` alone is bad usage, and shows what there is."""
    result = cli("db")
    assert result.exit_code == 2
    assert [word for word in ("backup", "rebuild", "check") if word not in result.output] == []
