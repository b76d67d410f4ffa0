"""Processes that are killed, at any moment: nothing that was recorded is lost, and nothing stays open."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tachograph import compose
from tachograph.settings import Settings
from tachograph.store.query import Measure, Query

PROGRAM = Path(__file__).with_name("recording.py")
KILLS = 200
AT_ONCE = 4


@contextmanager
def nursery(home: Path) -> Iterator[Callable[[int], int]]:
    """A warm process that forks recording processes: number → pid. They need no start-up, so kills hit recording."""
    home.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        env={**os.environ, "TACHOGRAPH_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        reader, writer = parent.stdout, parent.stdin
        assert reader is not None
        assert writer is not None

        def start(number: int) -> int:
            writer.write(f"{number}\n")
            writer.flush()
            return int(reader.readline())

        yield start


def gone(pid: int) -> None:
    """Wait until a process is no more."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.001)


def acknowledged(home: Path) -> Counter[tuple[str, int]]:
    """Every (run, seq) the processes were told is recorded; a last line cut by the kill does not count."""
    found: Counter[tuple[str, int]] = Counter()
    for path in home.glob("*.acks"):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                run, seq = line.split()
                found[run, int(seq)] += 1
    return found


def stored(settings: Settings) -> tuple[Counter[tuple[str, int]], dict[str, int]]:
    """Every (run, seq) in the store, and how many runs have each status."""
    store = compose.open_store(settings)
    runs = store.find(Query("runs", columns=("id",), limit=None)).rows
    events = Counter((run["id"], event.seq) for run in runs for event in store.read(run["id"]))
    groups = store.find(Query("runs", group=("status",), measures=(Measure("count"),), limit=None)).rows
    store.close()
    return events, {row["status"]: row["count"] for row in groups}


def recover(settings: Settings) -> None:
    """Drain everything that is left."""
    drain = compose.drain_for(settings, compose.scrubber_for(settings))
    assert drain.elected()
    assert drain.round().finished
    drain.close()


@pytest.mark.timeout(300)
def test_kill_9_at_200_random_points_loses_nothing(tmp_path: Path) -> None:
    """Four processes record and drain into one file; each is killed at a random moment, fifty times over."""
    chance, settings = random.Random(20), Settings(home=tmp_path)
    with nursery(tmp_path) as start:
        children = [start(number) for number in range(AT_ONCE)]
        for number in range(AT_ONCE, KILLS + AT_ONCE):
            time.sleep(chance.random() * 0.1)
            victim = children.pop(chance.randrange(len(children)))
            os.kill(victim, signal.SIGKILL)
            gone(victim)
            if number < KILLS:
                children.append(start(number))
    recover(settings)
    acks, (events, statuses) = acknowledged(tmp_path), stored(settings)
    assert len(acks) > KILLS * 10
    assert [place for place in acks if events[place] != 1] == []
    assert max(events.values()) == 1
    assert set(statuses) <= {"completed", "abandoned"}
    assert statuses["abandoned"] > KILLS // 2
    assert list(compose.journals_folder(settings).glob("*/*.seg")) == []


def script(home: Path, code: str, *, timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
    """Run a few lines of a program with its own home."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "TACHOGRAPH_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=timeout,
        check=False,
    )


def test_sigterm_ends_open_steps_as_cancelled(tmp_path: Path) -> None:
    """A program without a handler of its own still dies of the signal, after everything was closed."""
    done = script(
        tmp_path,
        "import os, signal, time, tachograph\n"
        "with tachograph.run('job'), tachograph.step('outer'), tachograph.step(tachograph.LLMCall('m')):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(20)\n",
    )
    settings = Settings(home=tmp_path)
    recover(settings)
    store = compose.open_store(settings)
    steps = store.find(Query("steps", columns=("kind", "status"), order=("step",), limit=None)).rows
    runs = store.find(Query("runs", columns=("status", "stop_reason"), limit=None)).rows
    store.close()
    assert (done.returncode, [dict(row) for row in runs]) == (
        -signal.SIGTERM,
        [{"status": "cancelled", "stop_reason": "signal"}],
    )
    assert [(row["kind"], row["status"]) for row in steps] == [
        ("run", "cancelled"), ("custom", "cancelled"), ("llm", "cancelled"),
    ]  # fmt: skip


def test_a_handler_of_the_program_is_left_alone(tmp_path: Path) -> None:
    """Whoever handles SIGTERM decides; leaving by it closes as leaving does."""
    done = script(
        tmp_path,
        "import os, signal, sys, time, tachograph\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "with tachograph.run('job'):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(20)\n",
    )
    assert (done.returncode, stored(Settings(home=tmp_path))[1]) == (3, {"cancelled": 1})


def test_leaving_the_interpreter_drains_and_closes(tmp_path: Path) -> None:
    """A short program's runs are in the store when it is gone; a step it never left is abandoned."""
    done = script(
        tmp_path,
        "import tachograph\n"
        "with tachograph.run('short'): pass\n"
        "held = tachograph.run('held').__enter__(); tachograph.step('open').__enter__()",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    events, statuses = stored(Settings(home=tmp_path))
    assert (statuses, len(events)) == ({"completed": 1, "abandoned": 1}, 6)


def test_a_fork_waits_until_a_store_is_opened(tmp_path: Path) -> None:
    """Opening one imports it: a child that was forked in between would have half of a module."""
    done = script(
        tmp_path,
        "import os, time, tachograph\n"
        "from tachograph import compose\n"
        "seen, real = [], compose.open_store\n"
        "def slow(settings):\n"
        "    seen.append('begun'); time.sleep(0.5); seen.append('done')\n"
        "    return real(settings)\n"
        "compose.open_store = slow\n"
        "with tachograph.run('parent'):\n"
        "    while not seen: time.sleep(0.01)\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os._exit(len(seen) % 2)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n",
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_hundred_forks_record_child_runs(tmp_path: Path) -> None:
    """Each forked child writes a journal of its own, as child runs of where it was forked; the parent goes on."""
    done = script(
        tmp_path,
        "import os, sys, tachograph\n"
        "with tachograph.run('parent'), tachograph.step('spawn'):\n"
        "    children = []\n"
        "    for number in range(100):\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n"
        "            with tachograph.step(f'child-{number}'): pass\n"
        "            os._exit(0)\n"
        "        children.append(pid)\n"
        "    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)\n"
        "    with tachograph.step('after'): pass\n"
        "assert tachograph.flush()",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    settings = Settings(home=tmp_path)
    recover(settings)
    store = compose.open_store(settings)
    runs = store.find(Query("runs", columns=("id", "name", "status", "parent_run", "parent_step"), limit=None)).rows
    store.close()
    parent = next(run for run in runs if run["name"] == "parent")
    children = [run for run in runs if run["name"] != "parent"]
    assert {(run["parent_run"], run["parent_step"], run["status"]) for run in children} == {
        (parent["id"], 1, "completed")
    }
    assert sorted(run["name"] for run in children) == sorted(f"child-{number}" for number in range(100))


def test_a_forked_child_that_unwinds_leaves_the_parents_run_alone(tmp_path: Path) -> None:
    """The child leaves through the parent's `with` blocks; what it says there is not the parent's."""
    done = script(
        tmp_path,
        "import os, sys, tachograph\n"
        "with tachograph.run('parent') as run:\n"
        "    with tachograph.step('before'): pass\n"
        "    assert tachograph.flush()\n"
        "    pid = os.fork()\n"
        "    if pid == 0: sys.exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    for number in range(3):\n"
        "        with tachograph.step(f'after{number}'): pass\n",
    )
    settings = Settings(home=tmp_path)
    recover(settings)
    store = compose.open_store(settings)
    steps = store.find(Query("steps", columns=("name", "status"), order=("step",), limit=None)).rows
    store.close()
    assert (done.returncode, done.stderr) == (0, b"")
    assert [(row["name"], row["status"]) for row in steps] == [
        (name, "completed") for name in ("parent", "before", "after0", "after1", "after2")
    ]


def test_children_that_record_nothing_can_be_terminated(tmp_path: Path) -> None:
    """A forked child has no worker until it records; SIGTERM still ends it. So does it after configuring again."""
    done = script(
        tmp_path,
        "import multiprocessing, os, signal, time, tachograph\n"
        "from pathlib import Path\n"
        "with tachograph.run('parent'):\n"
        "    child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(20,))\n"
        "    child.start(); time.sleep(0.2); child.terminate(); child.join(5)\n"
        "print(child.exitcode, flush=True)\n"
        f"tachograph.configure(home=Path({str(tmp_path / 'two')!r}))\n"
        "with tachograph.run('again'):\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)\n",
    )
    assert (done.stdout, done.returncode) == (b"-15\n", -signal.SIGTERM)
