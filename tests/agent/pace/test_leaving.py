from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.house.source import environment

PROGRAM = """
import pathlib, signal, sys, threading, time
import tachograph
from tachograph import Agent
from tachograph.providers.scripted import Call, ScriptedModel

home = pathlib.Path(sys.argv[1])
tachograph.configure(home=home, drain_interval=0.05)
told = []

def say(request):
    print("asked", "after" if told else "before", flush=True)
    return Call("work", {"n": len(request.messages)})

def work(n: int) -> str:
    if n > 4:
        told.append(n)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        time.sleep(0.2)
    return str(n)

Agent(name="a", model=ScriptedModel(say), tools=[work], limits="40 turns").run_sync("go")
print("went on")
"""


def test_a_process_that_is_told_to_terminate_asks_nothing_more(tmp_path: Path) -> None:
    """The tool that was running ends, no request follows, the run is closed, and the process dies of the signal."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, tmp_path],
        capture_output=True, text=True, timeout=30, check=False, env=environment(),
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("asked before\n" * 3, "")
    assert done.returncode == -signal.SIGTERM
    store = sqlite3.connect(tmp_path / "tachograph.db")
    assert store.execute("SELECT status, stop_reason FROM runs").fetchall() == [("cancelled", "signal")]
    store.close()
