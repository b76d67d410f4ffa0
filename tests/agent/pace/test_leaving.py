from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import environment

PROGRAM = """
import os, pathlib, signal, sys, threading, time
import tachograph
from tachograph import Agent
from tachograph.providers.scripted import Call, ScriptedModel

home = pathlib.Path(sys.argv[1])
tachograph.configure(home=home, drain_interval=0.05)
told = []

def say(request):
    print("asked", "after" if told else "before", flush=True)
    return Call(work.__name__, {"n": len(request.messages)})

def in_a_thread(n: int) -> str:
    if n > 4:
        told.append(n)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        time.sleep(0.2)
    return str(n)

async def on_the_loop(n: int) -> str:
    if n > 4:
        told.append(n)
        os.kill(os.getpid(), signal.SIGTERM)
    return str(n)

work = {"thread": in_a_thread, "loop": on_the_loop}[sys.argv[2]]
Agent(name="a", model=ScriptedModel(say), tools=[work], limits="40 turns").run_sync("go")
print("went on")
"""


@pytest.mark.parametrize("where", ["thread", "loop"])
def test_a_process_that_is_told_to_terminate_asks_nothing_more(tmp_path: Path, where: str) -> None:
    """The tool that was running ends, no request follows, the run is closed, and the process dies of the signal.

    Also when the signal comes just before the loop waits for the tool, and when the tool returns at once after it.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, tmp_path, where],
        capture_output=True, text=True, timeout=30, check=False, env=environment(),
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("asked before\n" * 3, "")
    assert done.returncode == -signal.SIGTERM
    store = sqlite3.connect(tmp_path / "tachograph.db")
    assert store.execute("SELECT status, stop_reason FROM runs").fetchall() == [("cancelled", "signal")]
    store.close()
