from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tachograph.agent.answer.outcome import Outcome
from tachograph.cli import exits
from tachograph.cli.talk.turn import as_json, exit_code
from tachograph.events.run import STOP_REASONS
from tests.house.source import environment


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        ("completed", "final_answer", exits.OK),
        ("completed", "human_handoff", exits.OK),
        ("cancelled", "user_cancel", exits.INTERRUPTED),
        ("failed", "max_iterations", exits.STOPPED),
        ("failed", "tool_loop", exits.STOPPED),
        ("paused", "approval", exits.WAITS),
        ("failed", "provider_error", exits.FOUND_WRONG),
        ("failed", "schema_failed", exits.FOUND_WRONG),
    ],
)
def test_the_exit_code_tells_how_a_run_ended(status: Any, reason: str, code: int) -> None:
    """Answered, called off, stopped by a limit, failed."""
    assert exit_code(Outcome(status=status, stop_reason=reason)) == code


def test_every_way_to_end_has_an_exit_code_that_is_explained() -> None:
    """No status or reason falls through."""
    for status, reasons in STOP_REASONS.items():
        for reason in reasons:
            assert exit_code(Outcome(status=status, stop_reason=reason)) in exits.MEANINGS  # type: ignore[arg-type]


def test_an_outcome_is_one_json_object() -> None:
    """It reads back, and money is a number."""
    found = msgspec.json.decode(msgspec.json.encode(as_json(Outcome(status="completed", stop_reason="final_answer"))))
    assert (found["status"], found["cost"], found["resumable"]) == ("completed", 0.0, False)


AGENT = """
from tachograph import Agent
from tachograph.agent.tools.command import command_tool
from tachograph.testing import Call, ScriptedModel

nap = command_tool("nap", "touch begun; sleep 30", "Nap.")
agent = Agent(name="a", model=ScriptedModel([Call("nap")]), tools=[nap])
"""


@pytest.mark.parametrize(("number", "reason"), [(signal.SIGINT, "user_cancel"), (signal.SIGTERM, "signal")])
def test_a_signal_calls_the_turn_off(tmp_path: Path, number: int, reason: str) -> None:
    """Ctrl-C, and being asked to terminate: the outcome is told, and the exit code."""
    file = tmp_path / "desk.py"
    file.write_text(AGENT)
    argv = [
        sys.executable,
        "-c",
        "from tachograph.cli.main import main; main()",
        "run",
        f"{file}:agent",
        "go",
        "--json",
    ]
    env = environment() | {"TACHOGRAPH_STORE": f"sqlite:///{tmp_path}/a.db"}
    with subprocess.Popen(argv, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        until = time.monotonic() + 20
        while not (tmp_path / "begun").exists() and time.monotonic() < until:
            time.sleep(0.02)
        program.send_signal(number)
        told = msgspec.json.decode(program.stdout.read())
        assert (told["status"], told["stop_reason"]) == ("cancelled", reason)
    assert program.returncode == exits.INTERRUPTED
