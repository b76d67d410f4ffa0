from __future__ import annotations

from pathlib import Path

from tests.cli.commands.agents.test_run import command
from tests.cli.conftest import objects
from tests.cli.talk.agents import written


def test_a_recorded_run_is_tried_again_from_the_middle(tmp_path: Path) -> None:
    """The fork says what the model says now, in a run of its own that names where it came from."""
    store, bots = tmp_path / "runs.db", str(written(tmp_path))
    assert command("run", bots, "hi", store=store).returncode == 0
    (first,) = objects(command("ls", "--json", store=store).stdout)
    looping = f"{bots}:looping"
    done = command("fork", first["execution_id"], looping, "--at", "4", "--limits", "2 turns", "--json", store=store)
    (outcome,) = objects(done.stdout)
    assert (done.returncode, outcome["stop_reason"]) == (5, "max_iterations")
    again = command(
        "fork", first["execution_id"].removeprefix("exec_")[:8], bots, "--prompt", "Once more?", "--json", store=store
    )
    (outcome,) = objects(again.stdout)
    assert (again.returncode, outcome["answer"]) == (0, "Hello there, friend.")
    assert outcome["run_id"] != first["id"]
    assert "Once more?" in command("show", outcome["run_id"], "--messages", store=store).stdout


def test_what_cannot_be_forked_is_said(tmp_path: Path) -> None:
    """An execution that is not there, an event that it has not."""
    store, bots = tmp_path / "runs.db", str(written(tmp_path))
    command("run", bots, "hi", store=store)
    (first,) = objects(command("ls", "--json", store=store).stdout)
    missing = command("fork", "exec_nowhere", bots, store=store)
    assert (missing.returncode, "exec_nowhere" in missing.stderr) == (3, True)
    beyond = command("fork", first["execution_id"], bots, "--at", "999", store=store)
    assert (beyond.returncode, "999" in beyond.stderr) == (2, True)
