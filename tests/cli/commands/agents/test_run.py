from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

from tests.cli.conftest import PROGRAM, objects
from tests.cli.talk.agents import written


def command(*words: str, store: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """A command as a process of its own: it runs somebody's file."""
    return subprocess.run(
        [*PROGRAM, *words, "--store", f"sqlite:{store}"],
        input=given, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_answer_streams_to_stdout_and_is_recorded(tmp_path: Path) -> None:
    """Exit code 0, nothing but the answer on stdout, and the run in the store."""
    store = tmp_path / "runs.db"
    done = command("run", str(written(tmp_path)), "hi", store=store)
    assert (done.returncode, done.stdout) == (0, "Hello there, friend.\n")
    assert "look completed" in done.stderr
    assert "or remove the limit with usd=None" in done.stderr
    (run,) = objects(command("ls", "--json", store=store).stdout)
    assert (run["name"], run["status"], run["stop_reason"]) == ("bot", "completed", "final_answer")


def test_the_prompt_may_come_from_standard_input(tmp_path: Path) -> None:
    """`-` reads it there."""
    store = tmp_path / "runs.db"
    done = command("run", str(written(tmp_path)), "-", "--json", store=store, given="from a pipe")
    (outcome,) = objects(done.stdout)
    assert (outcome["answer"], outcome["llm_calls"], outcome["tool_calls"]) == ("Hello there, friend.", 2, 1)
    assert "from a pipe" in command("show", "last", "--messages", store=store).stdout


def test_limits_on_the_command_line_stop_a_run_with_an_exit_code_of_their_own(tmp_path: Path) -> None:
    """Exit code 5; with --trace the tree stands on stderr."""
    store = tmp_path / "runs.db"
    done = command("run", f"{written(tmp_path)}:looping", "hi", "--limits", "2 turns", "--trace", store=store)
    assert (done.returncode, done.stdout) == (5, "")
    assert "failed: max_iterations" in done.stderr
    assert "├─ iteration" in done.stderr


def test_a_run_that_failed_says_why(tmp_path: Path) -> None:
    """Exit code 1, and the reason on stderr."""
    done = command("run", f"{written(tmp_path)}:keyless", "hi", store=tmp_path / "runs.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert "provider_error" in done.stderr


def test_a_wrong_limit_or_agent_is_a_wrong_use(tmp_path: Path) -> None:
    """Exit code 2 for what cannot be used, 3 for a file that is not there."""
    path, store = written(tmp_path), tmp_path / "runs.db"
    assert command("run", str(path), "hi", "--limits", "15 moons", store=store).returncode == 2
    assert command("run", f"{path}:nobody", "hi", store=store).returncode == 2
    assert command("run", str(tmp_path / "none.py"), "hi", store=store).returncode == 3


def test_ctrl_c_calls_the_run_off_and_closes_it(tmp_path: Path) -> None:
    """Exit code 130; the record says cancelled, and nothing in it stays open."""
    store = tmp_path / "runs.db"
    words = [*PROGRAM, "run", f"{written(tmp_path)}:endless", "hi", "--store", f"sqlite:{store}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        timer = threading.Timer(30, program.kill)
        timer.start()
        assert program.stdout is not None
        assert program.stdout.read(3) == "la "
        program.send_signal(signal.SIGINT)
        _, said = program.communicate()
        timer.cancel()
    assert (program.returncode, "cancelled: user_cancel" in said) == (130, True)
    (run,) = objects(command("ls", "--json", store=store).stdout)
    assert (run["status"], run["stop_reason"]) == ("cancelled", "user_cancel")
