from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from tachograph.events import codec
from tachograph.store.ports import Batch
from tachograph.store.sqlite.store import SqliteStore
from tests.cli.conftest import PROGRAM, Run, objects
from tests.strategies import Tape

RECORDING = """
import sys, tachograph
tachograph.configure(store=sys.argv[1])
with tachograph.run("greet") as run:
    with tachograph.step("look around", kind="plan"):
        pass
    print("busy", flush=True)
    sys.stdin.readline()
    run.output = "hello"
tachograph.flush()
"""


def test_a_run_that_has_ended_is_told_whole(cli: Run, filled: Path) -> None:
    """`tail --run` of a run that is over tells all of it and leaves."""
    result = cli("tail", "--run", "last", store=filled)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0][8:].split()[:3] == ["0", "run", "evening-note"]
    assert any("completed" in line for line in lines[-2:])
    events = [
        codec.from_json(line) for line in cli("tail", "--run", "last", "--json", store=filled).stdout.splitlines()
    ]
    assert len(events) == len(lines)


def test_a_run_is_followed_while_it_happens(tmp_path: Path, filled: Path) -> None:
    """Events of another process appear as they are recorded; Ctrl-C ends the watching."""
    url = f"sqlite:{tmp_path / 'live.db'}"
    first = [sys.executable, "-c", RECORDING, url]
    done = subprocess.run(first, input="\n", capture_output=True, text=True, check=True)
    assert done.stderr == ""
    command = [*PROGRAM, "tail", "--json", "--store", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        timer = threading.Timer(30, watcher.kill)
        timer.start()
        with subprocess.Popen(first, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdin is not None
            seen = objects("".join(watcher.stdout.readline() for _ in range(3)))
            assert program.poll() is None
            program.stdin.write("\n")
            program.stdin.close()
            seen += objects(watcher.stdout.readline())
        watcher.send_signal(signal.SIGINT)
        _, said = watcher.communicate()
        timer.cancel()
    assert [each["body"]["type"] for each in seen] == ["run_started", "step_started", "step_ended", "run_ended"]
    assert seen[-1]["body"]["output"]["text"] == '"hello"'
    assert (watcher.returncode, said) == (130, "")


def test_imported_runs_are_not_followed(cli: Run, filled: Path) -> None:
    """A run that is not there cannot be followed."""
    assert cli("tail", "--run", "beefbeef", store=filled).exit_code == 3


def test_a_run_that_was_resumed_is_told_to_its_last_end(cli: Run, tmp_path: Path) -> None:
    """Its former ends are not the end of the watching."""
    store = SqliteStore(tmp_path / "runs.db")
    tape = Tape()
    tape.begin()
    tape.finish("failed")
    tape.resume()
    tape.finish("completed")
    store.append(Batch(tape.events))
    store.close()
    lines = cli("tail", "--run", tape.run, store=tmp_path / "runs.db").stdout.splitlines()
    assert [line.split()[2:4] for line in lines] == [
        ["run", "desk"], ["run", "failed"], ["run", "goes"], ["run", "completed"],
    ]  # fmt: skip
