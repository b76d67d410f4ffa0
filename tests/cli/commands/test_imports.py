from __future__ import annotations

import gzip
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard

from tests.cli.conftest import Run, objects
from tests.cli.logs import claude_turn, conversation, write


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder with a session, a packed list of messages, and something else."""
    folder = tmp_path / "logs"
    folder.mkdir()
    session = write(folder / "session.jsonl", [*claude_turn(0), *claude_turn(1)]).read_bytes()
    (folder / "session.jsonl").unlink()
    (folder / "session.jsonl.gz").write_bytes(gzip.compress(session))
    talk = write(
        folder / "talk.json", [conversation(("user", "hello"), ("assistant", "good day"), id="t1")]
    ).read_bytes()
    (folder / "talk.json").unlink()
    (folder / "talk.json.zst").write_bytes(zstandard.compress(talk))
    (folder / "package.json").write_text('{"name":"x"}')
    return folder


def test_a_folder_is_imported_and_summed_up(cli: Run, logs: Path, tmp_path: Path) -> None:
    """Packed files become runs; the summary counts files, runs, calls, tools, tokens, cost and speed."""
    store = tmp_path / "runs.db"
    result = cli("import", str(logs), store=store)
    assert result.exit_code == 0
    rows = {line[:8].strip(): line[8:].strip() for line in result.stdout.splitlines()}
    assert rows["files"] == "2 read · 0 unchanged · 1 hold no conversation"
    assert rows["runs"] == "3 new · 0 updated · 0 as before"
    assert rows["calls"] == "5 model calls · 2 tool calls"
    assert rows["cost"].startswith("≥ $")
    assert rows["read"].endswith("MB/s")
    assert len(objects(cli("ls", "--json", store=store).stdout)) == 3


def test_again_is_quick_and_changes_nothing(cli: Run, logs: Path, tmp_path: Path) -> None:
    """An unchanged folder is told in a moment to be unchanged."""
    store = tmp_path / "runs.db"
    for number in range(300):
        write(logs / f"{number}.jsonl", claude_turn(number % 60, session=str(number)))
    cli("import", str(logs), store=store)
    before = cli("ls", "--json", "--limit", "1000", store=store).stdout
    started = time.monotonic()
    [found] = objects(cli("import", str(logs), "--json", store=store).stdout)
    assert time.monotonic() - started < 10
    assert found["files"] == {"read": 0, "unchanged": 302, "other": 1}
    assert found["runs"] == {"new": 0, "updated": 0, "same": 0}
    assert cli("ls", "--json", "--limit", "1000", store=store).stdout == before


def test_a_broken_line_is_named_and_the_code_is_one(cli: Run, tmp_path: Path) -> None:
    """The rest goes in; file and line stand on stderr, and in the JSON."""
    path = write(tmp_path / "session.jsonl", claude_turn(0))
    path.write_bytes(path.read_bytes() + b'{"type":"assistant","broken\n')
    result = cli("import", str(path), store=tmp_path / "runs.db")
    assert result.exit_code == 1
    assert f"{path}:5: " in result.stderr
    assert "problems  1" in result.stdout
    result = cli("import", str(path), "--again", "--json", store=tmp_path / "runs.db")
    [found] = objects(result.stdout)
    assert (result.exit_code, found["problems"]) == (1, 1)
    assert [(each["file"], each["line"]) for each in found["named_problems"]] == [(str(path), 5)]


def test_a_file_of_no_known_format_is_a_problem_when_it_is_named(cli: Run, tmp_path: Path) -> None:
    """In a folder it is passed over; asked for by name it is told what could not be done."""
    path = tmp_path / "package.json"
    path.write_text('{"name":"x"}')
    assert cli("import", str(tmp_path), store=tmp_path / "runs.db").exit_code == 0
    result = cli("import", str(path), store=tmp_path / "runs.db")
    assert (result.exit_code, "no conversation in a format that is known" in result.stderr) == (1, True)


def test_a_format_can_be_named(cli: Run, tmp_path: Path) -> None:
    """What the files are need not be guessed; a format that there is not is bad usage."""
    path = write(tmp_path / "talk.txt", [conversation(("user", "a"), ("assistant", "b"))])
    assert cli("import", str(path), "--format", "messages", store=tmp_path / "runs.db").exit_code == 0
    result = cli("import", str(path), "--format", "telegram", store=tmp_path / "runs.db")
    assert (result.exit_code, "--format='telegram' cannot be used: one of auto, " in result.stderr) == (2, True)


def test_what_is_not_there_is_said(cli: Run, tmp_path: Path) -> None:
    """A path that names nothing ends with 3 before anything is stored."""
    result = cli("import", str(tmp_path / "nothing"), store=tmp_path / "runs.db")
    assert (result.exit_code, (tmp_path / "runs.db").exists()) == (3, False)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which one coding agent worked."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / ".claude" / "projects" / "-work-bikes"
    folder.mkdir(parents=True)
    write(folder / "session.jsonl", claude_turn(0))
    return tmp_path


def test_without_a_path_agents_are_named_and_nothing_is_done_unasked(cli: Run, machine: Path) -> None:
    """With nobody to ask, what was found is shown and the code is 2; with --yes it is imported."""
    store = machine / "runs.db"
    result = cli("import", store=store)
    assert (result.exit_code, result.stdout, store.exists()) == (2, "", False)
    assert "claude-code" in result.stderr
    assert "say --yes" in result.stderr
    assert cli("import", "--yes", store=store).exit_code == 0
    assert len(objects(cli("ls", "--json", store=store).stdout)) == 1


def test_without_a_path_and_without_agents_it_says_where_it_looked(cli: Run, machine: Path) -> None:
    """Nothing found ends with 3 and the folders that were searched."""
    for file in machine.glob(".claude/projects/*/*.jsonl"):
        file.unlink()
    result = cli("import", store=machine / "runs.db")
    assert (result.exit_code, f"{machine}/.codex" in result.stderr) == (3, True)


@pytest.mark.parametrize(("answer", "code", "runs"), [("y\n", 0, 1), ("n\n", 2, None)])
def test_a_person_is_asked(machine: Path, answer: str, code: int, runs: int | None) -> None:
    """On a terminal the question is asked, and the answer is followed."""
    leader, follower = pty.openpty()
    store = machine / "runs.db"
    program = "from tachograph.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "import", "--store", str(store)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    os.write(leader, answer.encode())
    try:
        while os.read(leader, 65536):
            pass
    except OSError:
        pass  # Linux says so when the other end is closed
    os.close(leader)
    assert process.wait(20) == code
    assert store.exists() is (runs is not None)


def test_an_interrupted_import_goes_on_where_it_was(tmp_path: Path, cli: Run) -> None:
    """A killed import leaves a store that is whole, and the next one brings in the rest."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(400):
        write(folder / f"{number}.jsonl", claude_turn(number % 60, session=str(number)))
    store = tmp_path / "runs.db"
    code = "from tachograph.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, "import", str(folder), "--store", str(store)])
    time.sleep(0.9)
    process.kill()
    process.wait()
    assert cli("import", str(folder), store=store).exit_code == 0
    assert len(objects(cli("ls", "--json", "--limit", "1000", store=store).stdout)) == 400
    assert cli("db", "check", store=store).exit_code == 0
