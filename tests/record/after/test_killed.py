"""Runs that go on in another process: after a kill, and when several want the same one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tachograph import compose
from tachograph.cli.adopt import Adoption
from tachograph.events.run import RunResumed
from tachograph.fold import receipt
from tachograph.fold.state import fold
from tachograph.fold.tree import grow
from tachograph.queries.checkup import examine
from tachograph.settings import Settings
from tachograph.store.query import Query
from tachograph.store.relations import PROJECTIONS
from tests.contracts.kept import dump

HEAD = """
import os, signal, sys, tachograph
from tachograph import LLMCall, ToolCall, run, step
from tachograph.errors import NotResumable
from tachograph.record.after.resumed import resumed
tachograph.configure(store=sys.argv[1])
def die(): os.kill(os.getpid(), signal.SIGKILL)
"""
BEGIN = (
    HEAD
    + """
with run("desk", session="s", limits="3 tool calls") as desk:
    with step("turn", kind="iteration"), step(ToolCall("look", {"q": 1})) as tool:
        tool.output = "nothing"
    with step(ToolCall("pay")):
        print(desk.run_id, flush=True)
        die()
"""
)
GO_ON = (
    HEAD
    + """
import contextlib
with contextlib.suppress(tachograph.LimitExceeded), resumed(sys.argv[2], limits="3 tool calls") as desk:
    print(desk.epoch, int(desk.remaining()["max_tool_calls"]), len(desk.log), flush=True)
    with step(ToolCall("look", {"q": 2})):
        if sys.argv[3] == "die":
            die()
    desk.output = "done"
"""
)
RACE = (
    HEAD
    + """
from tachograph import compose
compose.current().recorder.ready()
print("ready", flush=True)
for line in sys.stdin:
    try:
        with resumed(line.strip()) as desk:
            desk.note("mine", os.getpid())
            with step("work"):
                pass
            desk.fail("again")
        said = f"won {desk.epoch}"
    except NotResumable as problem:
        said = f"lost {problem.status} {problem.reason}"
    print(said, flush=True)
    sys.stdin.readline()
"""
)


def program(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def done(code: str, *arguments: str) -> tuple[int, list[str]]:
    """Its exit status, and the words of its first line."""
    with program(code, *arguments) as process:
        out, said = process.communicate(timeout=60)
    assert said == ""
    return process.returncode, out.split()


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    """Where the processes record."""
    return Settings(home=tmp_path, store=f"sqlite:{tmp_path / 'runs.db'}")


@contextmanager
def opened(kept: Settings) -> Iterator[Any]:
    """The store, when everything that dead processes left is in it."""
    store = compose.open_store(kept)
    try:
        assert Adoption(kept, store).round(None).finished
        yield store
    finally:
        store.close()


@pytest.mark.timeout(240)
def test_a_killed_run_goes_on_in_another_process(kept: Settings) -> None:
    """Killed, resumed, killed again and resumed again: one run, whose numbers, limits and rows are those of all."""
    status, (name,) = done(BEGIN, kept.store)
    assert status == -signal.SIGKILL
    # 6 events, the ends of the tool and the run, and what took it over
    assert done(GO_ON, kept.store, name, "die") == (-signal.SIGKILL, ["1", "1", "9"])
    with opened(kept) as store:
        row = store.find(Query("runs", columns=("status", "stop_reason", "epoch"))).rows[0]
        assert tuple(row.values()) == ("abandoned", "process_died", 1)
    assert done(GO_ON, kept.store, name, "live") == (0, ["2", "0", "13"])
    with opened(kept) as store:
        events = list(store.read(name))
        assert [event.seq for event in events] == list(range(len(events)))
        assert [event.body.epoch for event in events if isinstance(event.body, RunResumed)] == [1, 2]
        assert [event.mono for event in events] == sorted(event.mono for event in events)
        state, tree = fold(events), grow(events)
        assert (state.status, state.stop_reason) == ("failed", "max_tool_calls")
        assert [node.status for node in tree.nodes.values()] == [
            "failed", "completed", "completed", "abandoned", "abandoned", "rejected",
        ]  # fmt: skip
        assert receipt.fold(events, len(events)).complete
        assert (state.totals.runs, state.totals.tool_calls, state.totals.run_ends) == (1, 4, {"failed": 1})
        assert [(each["runs"], each["tool_calls"]) for each in store.find(Query("sessions")).rows] == [(1, 4)]
        assert store.check() == []
        before = dump(store, PROJECTIONS)
        store.rebuild()
        assert dump(store, PROJECTIONS) == before
        assert examine(kept, store).problems == []
        store.erase([name], events[-1].at)
        assert (store.check(), store.find(Query("sessions")).rows) == ([], [])


@pytest.mark.timeout(240)
def test_of_two_processes_one_gets_it(kept: Settings) -> None:
    """Twenty times two want the same run at the same moment: one goes on with it, the other is told why not."""
    _, (name,) = done(BEGIN, kept.store)
    racers = [program(RACE, kept.store) for _ in range(2)]
    said = []
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for _ in range(20):
        for line in (f"{name}\n", "\n"):
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(line)
                racer.stdin.flush()
            if line != "\n":
                said.append(sorted(racer.stdout.readline() for racer in racers if racer.stdout is not None))
    for racer in racers:
        _, errors = racer.communicate(timeout=60)
        assert (racer.returncode, errors) == (0, "")
    with opened(kept) as store:
        events = list(store.read(name))
        epochs = [event.body.epoch for event in events if isinstance(event.body, RunResumed)]
        assert epochs == list(range(1, len(epochs) + 1))
        won = sorted(int(word.split()[1]) for pair in said for word in pair if word.startswith("won"))
        assert won == epochs
        assert all(any(word.startswith("won") for word in pair) for pair in said)
        lost = {word.split()[1] for pair in said for word in pair if word.startswith("lost")}
        assert lost <= {"started"}
        assert [event.seq for event in events] == list(range(len(events)))
        assert (store.check(), examine(kept, store).problems) == ([], [])


@pytest.mark.timeout(240)
def test_a_paused_run_outlives_its_process(kept: Settings) -> None:
    """Killed while it waits, it still waits: nobody buries it, `doctor` has nothing to say, and another goes on."""
    waits = (
        HEAD
        + """
with run("desk") as desk:
    desk.stop("paused", "approval")
tachograph.flush()
print(desk.run_id, flush=True)
die()
"""
    )
    _, (name,) = done(waits, kept.store)
    with opened(kept) as store:
        assert [row["status"] for row in store.find(Query("runs")).rows] == ["paused"]
        assert examine(kept, store).problems == []
        assert store.next_seq(name) == 2
    assert done(GO_ON, kept.store, name, "live") == (0, ["1", "3", "3"])
    with opened(kept) as store:
        assert fold(store.read(name)).status == "completed"


@pytest.mark.timeout(240)
def test_what_a_former_owner_still_says_is_lost_and_counted(kept: Settings) -> None:
    """It lives on and speaks of the run that another has resumed: nothing of the other's is displaced."""
    speaks = (
        HEAD
        + """
with run("desk") as desk:
    desk.fail("no")
tachograph.flush()
print(desk.run_id, flush=True)
sys.stdin.readline()
for number in range(5):
    desk.note("late")
tachograph.flush()
"""
    )
    with program(speaks, kept.store) as former:
        assert former.stdout is not None
        name = former.stdout.readline().strip()
        assert done(GO_ON, kept.store, name, "live")[0] == 0
        _, errors = former.communicate("\n", timeout=60)
        assert (former.returncode, errors) == (0, "")
    with opened(kept) as store:
        kinds = [type(event.body).__name__ for event in store.read(name)]
        assert kinds == ["RunStarted", "RunEnded", "RunResumed", "ToolStarted", "ToolEnded", "RunEnded"]
        losses = store.find(Query("losses", columns=("reason", "events"))).rows
        assert [tuple(row.values()) for row in losses] == [("taken_over", 5)]
        assert examine(kept, store).problems == ["losses outside any run: 1"]
        assert store.check() == []
