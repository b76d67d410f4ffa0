from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

from tests.cli.commands.agents.test_run import command
from tests.cli.conftest import PROGRAM, objects
from tests.cli.talk.agents import written


def test_a_conversation_is_several_runs_of_one_session(tmp_path: Path) -> None:
    """Each line is a turn; what was said before is known; the runs are in the store."""
    store = tmp_path / "runs.db"
    done = command("chat", str(written(tmp_path)), "--session", "s1", store=store, given="hi\nmore\n")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["Hello there, friend.", "And again."]
    runs = objects(command("ls", "--json", store=store).stdout)
    assert [(run["name"], run["session"]) for run in runs] == [("bot", "s1"), ("bot", "s1")]


def test_commands_show_and_change_the_conversation(tmp_path: Path) -> None:
    """Tools, cost, limits, history, undo, clear, and a word that is none of them."""
    given = "\n".join(
        ("hi", "/tools", "/cost", "/limits", "/history", "/undo", "/undo", "/clear", "/history", "/dance")
    )
    done = command("chat", str(written(tmp_path)), "--limits", "7 turns", store=tmp_path / "runs.db", given=given)
    lines = done.stdout.splitlines()
    assert "look: Look it up." in lines
    assert any(line.startswith("2 calls") for line in lines)
    assert any("7 turns" in line for line in lines)
    assert [line.split()[0] for line in lines if line.startswith(("user", "assistant", "tool "))] == [
        "user", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert "The last exchange is taken back." in lines
    assert "There is nothing to take back." in lines
    assert "Nothing was said yet." in lines
    assert "There is no /dance." in lines


def test_with_json_each_turn_is_one_object(tmp_path: Path) -> None:
    """An outcome a line."""
    done = command("chat", str(written(tmp_path)), "--json", store=tmp_path / "runs.db", given="hi\n/undo\nmore\n")
    found = objects(done.stdout)
    assert [one.get("status", "command") for one in found] == ["completed", "command", "completed"]


def test_ctrl_c_ends_the_turn_and_not_the_conversation(tmp_path: Path) -> None:
    """After it the next line is answered, and the conversation is valid."""
    words = [*PROGRAM, "chat", f"{written(tmp_path)}:endless", "--store", f"sqlite:{tmp_path / 'runs.db'}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as program:
        timer = threading.Timer(30, program.kill)
        timer.start()
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write("sing\n")
        program.stdin.flush()
        assert program.stdout.read(3) == "la "
        program.send_signal(signal.SIGINT)
        said, told = program.communicate("again\n")
        timer.cancel()
    assert program.returncode == 0
    assert said.endswith("Back again.\n")
    assert "cancelled: user_cancel" in told
