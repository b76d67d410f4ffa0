"""Pruning half of a store by age, while another process writes into it: how fast, what comes back, who has to wait.

Recorded conversations where they are (TACHOGRAPH_SHARED, or ../shared beside the repository), and generated ones.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.kit.table import show
from bench.kit.work import COMMAND
from tachograph.compose import admitter_for, scrubber_for
from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import inline
from tachograph.events.envelope import Body, Event
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunEnded, RunStarted
from tachograph.events.usage import Cost, Usage
from tachograph.record.admit import Admitter
from tachograph.settings import Settings
from tachograph.store.open import open_store
from tachograph.store.ports import Store
from tachograph.upkeep.prune import prune
from tachograph.upkeep.rule import Rule

SHARED = Path(os.environ.get("TACHOGRAPH_SHARED") or Path(__file__).parents[2] / "shared")
RECORDED = SHARED / "data" / "trajectories"
RUNS, CALLS = 4_000, 8
SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND
WORDS = [
    f"{first}{last}" for first in ("par", "tick", "ship", "ret", "inv", "ord") for last in ("cel", "et", "urn", "er")
]

WRITER = """
import sys, time
from tachograph.events import ids
from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded, RunStarted
from tachograph.store.open import open_store
from tachograph.store.ports import Batch
store, waits, number = open_store(sys.argv[1]), [], 0
print("ready", flush=True)
import threading
done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
while not done.is_set():
    number += 1
    at = time.time_ns()
    run = ids.run_id_for(f"writer {number}", at)
    start = RunStarted(name="beside", execution_id=ids.execution_id(at, run))
    begun = time.perf_counter()
    store.append(Batch([Event(run, 0, at, at, 0, start), Event(run, 1, at, at, 0, RunEnded(status="completed"))]))
    waits.append(time.perf_counter() - begun)
    time.sleep(0.01)
waits.sort()
print(len(waits), waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1])
"""


class Waits(NamedTuple):
    """What the process that wrote beside the pruning had to wait for a commit, in milliseconds."""

    commits: int
    p50: float
    p99: float
    most: float


def recorded(path: Path) -> None:
    """Everything that was recorded, through the importers."""
    command = [*COMMAND, "import", str(RECORDED), "--store", f"sqlite:{path}"]
    subprocess.run(command, check=False, capture_output=True)


def generated(path: Path) -> None:
    """Runs an hour apart, each a conversation of its own: a few KB that no other run says."""
    store = open_store(f"sqlite:{path}")
    settings = Settings(home=path.parent)
    admitter = admitter_for(settings, store, scrubber_for(settings))
    chance = random.Random(7)
    for first in range(0, RUNS, 50):
        events = [event for number in range(first, first + 50) for event in conversation(number, chance)]
        put(store, admitter, events)
    store.close()


def put(store: Store, admitter: Admitter, events: list[Event]) -> None:
    """Through the gate."""
    store.append(admitter.admit(events, scrubbed=False))


def conversation(number: int, chance: random.Random) -> Iterator[Event]:
    """One run: messages of 0.2 to 2 KB, a call after each."""
    at = BEGAN + number * 3_600 * SECOND
    run = ids.run_id_for(f"bench {number}", at)
    seq, tip = 1, None

    def event(body: Body, step: int) -> Event:
        nonlocal seq
        seq += 1
        return Event(run, seq - 1, at + seq * SECOND, seq * SECOND, step, body)

    start = RunStarted(name="desk", execution_id=ids.execution_id(at, run))
    yield Event(run, 0, at, 0, 0, start)
    for _ in range(CALLS):
        text = " ".join(f"{chance.choice(WORDS)}{chance.randrange(1000)}" for _ in range(chance.randrange(20, 200)))
        yield event(
            MessageAppended(role="user", parent=tip, message=inline(f'{{"role":"user","content":"{text}"}}')), 0
        )
        tip = seq - 1
        call = seq
        yield event(CallStarted(provider="openai", model="gpt-4o", input=tip), call)
        yield event(
            CallEnded(status="completed", usage=Usage(500, 0, 0, 100, 0, "provider"), cost=Cost("priced", total=9)),
            call,
        )
    yield event(RunEnded(status="completed"), 0)


def half(path: Path) -> int:
    """The time by which half of the runs had ended."""
    with sqlite3.connect(path) as database:
        ends = [end for (end,) in database.execute("SELECT ended_at FROM runs WHERE ended_at IS NOT NULL ORDER BY 1")]
    database.close()
    return int(ends[len(ends) // 2])


def measured(name: str, path: Path) -> tuple[object, ...]:
    """One row: prune what ended before the half, beside a writer."""
    store = open_store(f"sqlite:{path}")
    now = half(path) + 1
    store.refresh(time.time_ns())
    store.compact()
    before = store.facts()
    other = subprocess.Popen(
        [sys.executable, "-c", WRITER, f"sqlite:{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    other.stdout.readline()
    begun = time.perf_counter()
    done = prune(store, (Rule(name="half", older_than=1),), now, lambda events: None)
    took = time.perf_counter() - begun
    told, _ = other.communicate("")
    commits, *waits = told.split()
    wait = Waits(int(commits), *(float(each) * 1e3 for each in waits))
    store.compact()
    after: Any = store.facts()
    store.close()
    share = done.sum("events") / before["events"]
    back = 1 - after["bytes"] / before["bytes"]
    return (
        name, f"{before['runs']:,}", f"{done.sum('runs'):,}", took, f"{done.sum('runs') / took:,.0f}",
        f"{before['bytes'] / 1e6:.1f}", f"{share:.0%}", f"{back:.0%}", done.transactions, done.longest_ns / 1e6,
        f"{wait.p50:.1f} / {wait.p99:.1f} / {wait.most:.1f}",
    )  # fmt: skip


def main() -> None:
    """Print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        made = {"generated conversations": generated}
        if RECORDED.is_dir():
            made = {"recorded conversations": recorded, **made}
        for name, make in made.items():
            path = Path(folder) / f"{name.partition(' ')[0]}.db"
            make(path)
            rows.append(measured(name, path))
    head = (
        "store", "runs", "pruned", "seconds", "runs/s", "MB before", "of events", "bytes back", "transactions",
        "longest, ms", "writer waits p50 / p99 / most, ms",
    )  # fmt: skip
    show(
        "Pruning half by age, beside a process that commits a run every 10 ms", head, rows,
        "Seconds include roll-ups and giving the space back; sizes are of the files, write-ahead log included.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
