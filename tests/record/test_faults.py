"""When our own parts fail: the program gets the same results, the provider is called once, the loss is counted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tachograph
from tachograph import LLMCall, Usage, compose, run, step
from tachograph.compose import System
from tachograph.events.note import Loss
from tachograph.events.run import RunStarted
from tachograph.record import scope
from tachograph.record.clock import Clock
from tachograph.settings import Settings
from tachograph.store.query import Query
from tachograph.testing import CountIds, TickClock, tick_clock

STORED_SOON = 20.0


class Provider:
    """Counts its calls; every third fails."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, prompt: str) -> str:
        """An answer, or an error."""
        self.calls += 1
        if self.calls % 3 == 0:
            raise ConnectionError(prompt)
        return f"answer to {prompt}"


def program(provider: Provider) -> list[str]:
    """A small agent: a run, steps, streams and tools around a provider; what a user of it sees."""
    seen: list[str] = []

    def stream(text: str) -> Iterator[str]:
        with step(LLMCall("m", [{"role": "user", "content": text}], streaming=True)) as call:
            for word in text.split():
                call.add(word)
                yield word

    @tachograph.tool
    def look(key: str) -> str:
        return key.upper()

    with run("agent", metadata={"a": 1}) as agent:
        for number in range(6):
            try:
                with step(LLMCall("gpt-4o", [{"role": "user", "content": str(number)}], provider="openai")) as call:
                    call.reply = provider(str(number))
                    call.usage = Usage(1, 0, 0, 1, basis="provider")
                    seen.append(call.reply)
            except ConnectionError as error:
                seen.append(f"failed {error}")
        with step("work", input=object()) as work:
            work.note("n", {1, 2})
            work.score("s", 1.0)
            seen.extend(stream("a b c"))
            seen.append(look("key"))
        agent.output = seen
    return seen


WANTED = ["answer to 0", "answer to 1", "failed 2", "answer to 3", "answer to 4", "failed 5", "a", "b", "c", "KEY"]


@pytest.fixture
def system() -> Iterator[System]:
    """A recorder of its own, without a worker."""
    with tempfile.TemporaryDirectory() as home:
        made = System(Settings(home=Path(home), drain=False), clock=tick_clock())
        made.recorder.on_activity = None
        before = scope.use(lambda: made.recorder)
        yield made
        scope.use(before)
        made.recorder.close()


def explode(*_: object, **__: object) -> Any:
    """Any part of us that breaks."""
    raise RuntimeError("our own fault")


PARTS: dict[str, Callable[[System, pytest.MonkeyPatch], object]] = {
    "journal": lambda system, patch: patch.setattr(system.recorder.journal, "append", explode),
    "codec": lambda _, patch: patch.setattr("tachograph.record.recorder.codec.encode_all", explode),
    "sanitize": lambda _, patch: patch.setattr("tachograph.record.recorder.to_json", explode),
    "scrub": lambda system, patch: patch.setattr(system.scrubber, "capture", explode),
    "plain": lambda system, patch: patch.setattr(system.scrubber, "plain", explode),
    "scope": lambda _, patch: patch.setattr("tachograph.record.scope.enter", explode),
    "current": lambda _, patch: patch.setattr("tachograph.record.scope.current", explode),
    "prefix": lambda _, patch: patch.setattr("tachograph.record.prefix.Prefix.split", explode),
    "learn": lambda _, patch: patch.setattr("tachograph.record.prefix.Prefix.learn", explode),
    "failure": lambda _, patch: patch.setattr("tachograph.record.door.failure_of", explode),
    "clock": lambda system, patch: patch.setattr(system.recorder, "clock", Clock(explode, explode, explode)),
    "feed": lambda system, patch: (
        system.recorder.feed.subscribe(),
        patch.setattr(system.recorder.feed, "publish", explode),
    ),
    "worker": lambda system, patch: patch.setattr(system.recorder, "on_activity", explode),
    "recorder": lambda _, patch: patch.setattr("tachograph.record.scope._source", explode),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_program_is_never_touched_by_a_broken_recorder(
    part: str, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever part of us raises: same answers, same errors, as many provider calls as without us."""
    provider = Provider()
    with monkeypatch.context() as patch:
        PARTS[part](system, patch)
        assert (program(provider), provider.calls) == (WANTED, 6)
    health = system.recorder.health
    if part != "recorder":
        assert sum(health.lost.values()) + sum(health.faults.values()) > 0


def test_the_program_of_these_tests_records_when_nothing_is_broken(system: System) -> None:
    """Else the tests above would prove nothing."""
    provider = Provider()
    assert (program(provider), system.recorder.health.lost, system.recorder.health.faults) == (WANTED, {}, {})
    assert system.recorder.recorded > 30


def test_settings_that_cannot_be_used_do_not_stop_a_program(tmp_path: Path) -> None:
    """The log says once why nothing is recorded."""
    done = subprocess.run(
        [sys.executable, "-c", "import tachograph\nfor _ in range(2):\n  with tachograph.step('x'): print('ran')"],
        env={**os.environ, "TACHOGRAPH_CAPTURE": "some", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "ran\nran\n",
        "nothing is recorded: capture='some' cannot be used: one of none, hashed, redacted, full\n",
    )


def recording(home: Path, **settings: Any) -> System:
    """A whole system, worker and all."""
    return compose.configure(home=home, drain_interval=0.02, **settings)


def bodies(settings: Settings) -> list[Any]:
    """Bodies of all stored events."""
    store = compose.open_store(settings)
    runs = store.find(Query("runs", columns=("id",), limit=None)).rows
    found = [event.body for run in runs for event in store.read(run["id"])]
    store.close()
    return found


def test_a_journal_folder_that_cannot_be_written_and_then_can(tmp_path: Path) -> None:
    """The program goes on; what was lost is counted, and said in the run as soon as there is room."""
    home = tmp_path / "home"
    home.write_text("in the way")
    system = recording(home)
    provider = Provider()
    assert (program(provider), provider.calls) == (WANTED, 6)
    assert set(system.recorder.health.lost) == {"journal_write"}
    home.unlink()
    time.sleep(0.15)
    assert (program(provider), tachograph.flush(STORED_SOON)) == (WANTED, True)
    system.close()
    assert sum(isinstance(body, RunStarted) for body in bodies(system.settings)) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_and_then_room_again(tmp_path: Path) -> None:
    """Events that found no room are counted and stand as a loss in their run; later ones are all there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False).returncode != 0:
        pytest.skip("this machine does not allow mounting a small disk")
    try:
        system = recording(disk, segment_bytes=1 << 18, drain=False)
        filler = disk / "filler"
        seen = []
        with run("agent") as agent:
            for number in range(8):
                if number == 1:
                    filler.write_bytes(bytes(os.statvfs(disk).f_bavail * 4096))
                with step(LLMCall("m", [{"role": "user", "content": f"{number} " + "x" * 200_000}])) as call:
                    seen.append(number)
                    call.reply = "ok"
                if number == 5:
                    filler.unlink()
                    time.sleep(0.2)
            agent.output = "done"
        lost = system.recorder.health.lost["journal_write"]
        system.close()
        drain = compose.drain_for(system.settings, system.scrubber)
        assert drain.elected()
        assert drain.round().finished
        drain.close()
        losses = [body.events for body in bodies(system.settings) if isinstance(body, Loss)]
        assert (seen, lost > 0, sum(losses)) == (list(range(8)), True, lost)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_locked_database_keeps_events_in_the_journal(tmp_path: Path) -> None:
    """While another process holds the lock nothing is lost and nothing waits; afterwards everything is stored once."""
    system = recording(tmp_path)
    with run("first"):
        pass
    assert tachograph.flush(STORED_SOON)
    holder = sqlite3.connect(tmp_path / "tachograph.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    provider = Provider()
    assert (program(provider), tachograph.flush(0.5)) == (WANTED, False)
    holder.execute("COMMIT")
    holder.close()
    assert tachograph.flush(STORED_SOON)
    recorded = system.recorder.recorded
    system.close()
    assert (len(bodies(system.settings)), system.recorder.health.lost) == (recorded, {})


def test_a_database_that_is_gone_and_comes_back(tmp_path: Path) -> None:
    """The store's folder cannot be used: events wait; when it can, they are stored."""
    folder = tmp_path / "db"
    (tmp_path / "db").write_text("in the way")
    store = f"sqlite:{folder / 'x.db'}"
    system = recording(tmp_path / "home", store=store)
    program(Provider())
    assert tachograph.flush(0.3) is False
    assert set(system.recorder.health.lost) == {"journal_write"}
    folder.unlink()
    time.sleep(0.15)
    program(Provider())
    assert tachograph.flush(STORED_SOON)
    system.close()
    assert sum(isinstance(body, RunStarted) for body in bodies(system.settings)) == 1


def test_a_clock_that_is_set_back_changes_no_order_and_no_duration(tmp_path: Path) -> None:
    """Order is by seq and durations by the monotonic clock."""
    times = iter(range(2_000_000_000_000_000_000, 0, -1_000_000_000))
    system = compose.configure(
        home=tmp_path, drain_interval=0.02, clock=Clock(lambda: next(times), TickClock(0), CountIds())
    )
    program(Provider())
    assert tachograph.flush(STORED_SOON)
    system.close()
    store = compose.open_store(system.settings)
    rows = store.find(Query("steps", columns=("status", "duration_ns"), limit=None)).rows
    store.close()
    assert len(rows) == 10
    assert all(row["duration_ns"] >= 0 and row["status"] in ("completed", "failed") for row in rows)


MEMORY = """
import os, sqlite3, sys, tachograph
from tachograph import LLMCall, step
recorded = sys.argv[1] == "recorded"
text = "word " * 500
if recorded:
    tachograph.configure(home=__import__("pathlib").Path(sys.argv[2]))
    with tachograph.run("first"):
        pass
    assert tachograph.flush(20)
    holder = sqlite3.connect(sys.argv[2] + "/tachograph.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
for number in range(30_000):
    messages = [{"role": "user", "content": f"{number} {text}"}]
    if recorded:
        if number % 300 == 0:
            if number: run.__exit__(None, None, None)
            run = tachograph.run("agent").__enter__()
        with step(LLMCall("m", messages)) as call:
            call.reply = f"{number} answer"
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_bounded_under_a_stalled_store(tmp_path: Path) -> None:
    """30,000 calls, 75 MB of prompts, the database locked: at most 64 MiB above the same program unrecorded."""

    def peak(mode: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, mode, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    # The store exists already: making one loads the migrations, once in its life.
    store = compose.open_store(Settings(home=tmp_path))
    store.refresh(0)
    store.close()
    assert peak("recorded") - peak("unrecorded") <= 64
