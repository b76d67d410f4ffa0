"""What one model call costs all threads together until it is in the store."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tachograph
from bench.kit.sink import sink
from bench.kit.table import named, show
from bench.kit.work import ANSWER, PROMPT, Record, langfuse_call, opentelemetry_call, tachograph_call

CALLS = 5_000


def spent(record: Record, finish: Callable[[], object]) -> float:
    """CPU of the whole process, µs a call, from the first call until everything was delivered."""
    for number in range(200):
        record([{"role": "user", "content": f"warm {number}: {PROMPT}"}], ANSWER)
    start = time.process_time_ns()
    for number in range(CALLS):
        record([{"role": "user", "content": f"{number}: {PROMPT}"}], ANSWER)
        if number % 100 == 99:
            time.sleep(0.005)
    finish()
    return (time.process_time_ns() - start) / CALLS / 1e3


def ours() -> float:
    """Into SQLite, everything included."""
    with tempfile.TemporaryDirectory() as home:
        system = tachograph.configure(home=Path(home), journal_bytes=1 << 30)
        with tachograph.run("warm"):
            tachograph_call()([{"role": "user", "content": "warm"}], ANSWER)
        assert tachograph.flush(60)
        with tachograph.run("bench"):
            found = spent(tachograph_call(), lambda: tachograph.flush(120))
        system.close()
        return found


def full_copy() -> float:
    """A plain table with one row a call, committed each time: what one writes without a recorder."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "calls.db")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, at REAL, model TEXT, prompt TEXT, answer TEXT)")

        def record(messages: object, answer: str) -> object:
            with database:
                return database.execute(
                    "INSERT INTO calls (at, model, prompt, answer) VALUES (?, ?, ?, ?)",
                    (time.time(), "gpt-4o", json.dumps(messages), answer),
                )

        return spent(record, database.close)


def main() -> None:
    """Print the table."""
    mine = ours()
    copied = full_copy()
    with sink() as url:
        langfuse = spent(*langfuse_call(url))
    otel = spent(*opentelemetry_call())
    rows = [
        (f"{named('opentelemetry-sdk')} → an exporter that does nothing", otel),
        (f"{named('langfuse')} → a sink on this machine", langfuse),
        ("one row a call in SQLite, whole copy, a commit each", copied),
        ("tachograph → SQLite: events, rows, message tree, costs", mine),
    ]
    show(
        "One model call, all threads, until it is stored", ("product", "CPU µs"), rows, "Wanted: ≤ 110 µs into SQLite."
    )


if __name__ == "__main__":
    main()
