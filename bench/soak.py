"""Eight readers and four writers at once on one file for a minute: no error, no loss, and how long reads take.

    python -m bench.soak [SECONDS]

One `tachograph serve` over a store of 50,000 calls. Two writers record with a recorder of their own into journals that
the server drains; two send batches to `POST /api/events`. Eight readers ask the API in turn. At the end every event
that was recorded or acknowledged is looked for in the store, and every run is read back whole.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from bench.analytics import run
from bench.kit.table import show
from tachograph.compose import admitter_for, scrubber_for
from tachograph.events import codec
from tachograph.settings import Settings
from tachograph.store.open import open_store
from tachograph.store.query import Query

SECONDS = 60
READERS, RECORDERS, SENDERS = 8, 2, 2
RUNS_BEFORE = 5_000
_NANO = 1_000_000_000

_RECORDER = """
import sys, time
import tachograph
from tachograph import LLMCall, ToolCall, Usage
until, runs = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < until:
    with tachograph.run("soak", session=f"s{runs % 50}", agent_type="recorder") as run:
        for turn in range(5):
            asked = [{"role": "user", "content": f"turn {turn} of {runs}"}]
            with tachograph.step(LLMCall("gpt-5-mini", asked, "openai")) as call:
                call.reply, call.usage = "yes", Usage(input_uncached=100, output=10, basis="provider")
            with tachograph.step(ToolCall("look", {"turn": turn})) as tool:
                tool.output = {"found": runs}
    runs += 1
    time.sleep(0.02)
print(runs, tachograph.flush(30), flush=True)
"""
_PATHS = (
    "/execution-logs/executions?limit=50",
    "/execution-logs/executions?agent_type=agent-7&status=failed",
    "/execution-logs/llm-calls?provider=openai&limit=50",
    "/execution-logs/llm-calls?model_id=google-m&status=completed",
    "/execution-logs/analytics/summary",
    "/api/runs?limit=50",
    "/api/sessions?limit=20",
    "/api/tool-calls?limit=20",
    "/api/runs/last",
    "/api/runs/last/events",
)


def main() -> None:
    """Fill, start, read and write, count."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        fill(settings)
        with serving(settings) as address:
            took, failures, wrote = work(settings, address, seconds)
            lost = missing(settings, wrote)
    rows = [(path, *quantiles(times)) for path, times in sorted(took.items())]
    rows.append(("all reads", *quantiles(list(itertools.chain(*took.values())))))
    show(
        f"{READERS} readers, {RECORDERS + SENDERS} writers, {seconds:g} s",
        ("question", "reads", "p50 ms", "p99 ms", "max ms"),
        rows,
    )
    print(f"errors: {len(failures)} {failures[:3]}")
    print(f"runs written: {sum(wrote.values())} ({wrote}); runs missing or incomplete: {lost}")


def fill(settings: Settings) -> None:
    """A store that has something in it: runs of the last month."""
    chance, now = random.Random(7), time.time_ns()
    store = open_store(settings.store_url)
    admitter = admitter_for(settings, store, scrubber_for(settings))
    for start in range(0, RUNS_BEFORE, 100):
        events = [
            event
            for _ in range(start, start + 100)
            for event in run(chance, now - chance.randrange(30 * 86_400) * _NANO)
        ]
        store.append(admitter.admit(events, scrubbed=False))
    store.refresh(now)
    store.close()


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """A server process over the store, and its address."""
    program = "from tachograph.cli.main import main; main()"
    command = [sys.executable, "-c", program, "serve", "--port", "0", "--json", "--store", settings.store_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split('"')[3]
        finally:
            process.terminate()


def work(settings: Settings, address: str, seconds: float) -> tuple[dict[str, list[float]], list[str], dict[str, int]]:
    """Everybody at once: milliseconds of reads by path, what went wrong, runs written by whom."""
    took: dict[str, list[float]] = {path: [] for path in _PATHS}
    failures: list[str] = []
    wrote: dict[str, int] = {}
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=read, args=(address, number, until, took, failures)) for number in range(READERS)
    ]
    threads += [
        threading.Thread(target=send, args=(address, number, until, wrote, failures)) for number in range(SENDERS)
    ]
    environment = {"TACHOGRAPH_HOME": str(settings.home), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    recorders = [
        subprocess.Popen(
            [sys.executable, "-c", _RECORDER, str(seconds)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(RECORDERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, recorder in enumerate(recorders):
        runs, flushed = recorder.communicate(timeout=120)[0].split()
        wrote[f"recorder {number}"] = int(runs)
        if flushed != "True":
            failures.append(f"recorder {number} could not flush")
    return took, failures, wrote


def read(address: str, number: int, until: float, took: dict[str, list[float]], failures: list[str]) -> None:
    """One reader: every question in turn."""
    with httpx2.Client(base_url=address, timeout=30) as client:
        for place in itertools.count(number):
            if time.monotonic() > until:
                return
            path = _PATHS[place % len(_PATHS)]
            begun = time.perf_counter()
            answer = client.get(path)
            took[path].append((time.perf_counter() - begun) * 1_000)
            if answer.status_code != 200:
                failures.append(f"{path}: {answer.status_code} {answer.text[:200]}")


def send(address: str, number: int, until: float, wrote: dict[str, int], failures: list[str]) -> None:
    """One sender: batches of ten runs, each sent again until it is acknowledged."""
    chance = random.Random(number)
    runs = 0
    with httpx2.Client(base_url=address, timeout=30) as client:
        headers = {
            "X-Tachograph-Token": client.get("/api/token").json()["token"],
            "Content-Type": "application/x-ndjson",
        }
        while time.monotonic() < until:
            events = [event for _ in range(10) for event in run(chance, time.time_ns())]
            body = b"\n".join(map(codec.to_json, events))
            while (answer := client.post("/api/events", content=body, headers=headers)).status_code == 503:
                time.sleep(0.1)
            if answer.status_code != 200:
                failures.append(f"POST: {answer.status_code} {answer.text[:200]}")
            else:
                runs += 10
            time.sleep(0.2)
    wrote[f"sender {number}"] = runs


def missing(settings: Settings, wrote: dict[str, int]) -> int:
    """Runs that are not in the store, or not whole."""
    store = open_store(settings.store_url)
    rows = store.find(Query("runs", columns=("id", "status", "next_seq"), limit=None)).rows
    broken = sum(row["status"] == "started" or len(list(store.read(row["id"]))) != row["next_seq"] for row in rows)
    faults = list(store.check())
    store.close()
    if faults:
        print(f"faults: {faults[:3]}")
    return int(RUNS_BEFORE + sum(wrote.values()) - len(rows) + broken + len(faults))


def quantiles(times: list[float]) -> tuple[int, str, str, str]:
    """How many, p50, p99 and the longest, milliseconds."""
    ordered = sorted(times) or [0.0]
    half, most, longest = (f"{ordered[min(len(ordered) - 1, int(q * len(ordered)))]:.1f}" for q in (0.5, 0.99, 1))
    return len(times), half, most, longest


if __name__ == "__main__":
    main()
