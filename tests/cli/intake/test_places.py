from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.cli.intake.places import agents, looked_in
from tests.cli.logs import claude_turn, write


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def test_agents_are_found_by_what_they_left(machine: Path) -> None:
    """An agent with logs is found with its files; those without any are not named."""
    folder = machine / ".claude" / "projects" / "-work-bikes"
    folder.mkdir(parents=True)
    log = write(folder / "session.jsonl", claude_turn(0))
    (folder / "notes.txt").write_text("x")
    (machine / ".codex" / "sessions").mkdir(parents=True)
    found = agents()
    assert [(agent.format, agent.home, [file.path for file in agent.files]) for agent in found] == [
        ("claude-code", machine / ".claude", [log])
    ]
    assert found[0].bytes == log.stat().st_size


def test_an_agents_own_variable_names_its_home(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an agent is told to keep its logs is where they are looked for."""
    monkeypatch.setenv("CODEX_HOME", str(machine / "elsewhere"))
    assert str(machine / "elsewhere") in looked_in()
    assert str(machine / ".codex") not in looked_in()
    assert agents() == []
