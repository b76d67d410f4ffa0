"""A month of analytics: totals with latency percentiles by model, provider, agent and project, beside plain SQLite.

    python -m bench.analytics [CALLS]

Every hour of the month has one of a few recorded shapes; its roll-ups are those that the store makes of it. The hour
that is open is really recorded. The plain table holds every call, with the index a careful person would make.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.kit.table import show
from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.envelope import Body, Event
from tachograph.events.run import Failure, RunEnded, RunStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.queries.period import Period, moment
from tachograph.queries.stats import stats
from tachograph.store.ports import Batch
from tachograph.store.rollup import DAY_HOURS, HOUR, KEYS, Row, day_rows, hour_rows, summed
from tachograph.store.sqlite.store import SqliteStore

HOURS, SHAPES, CALLS_A_RUN = 720, 6, 10
NOW = 490_008 * HOUR + HOUR // 2
MODELS = [
    (provider, f"{provider}-{size}") for provider in ("openai", "anthropic", "google") for size in ("s", "m", "l")
]
AGENTS = [f"agent-{number}" for number in range(20)]
PLAIN = "CREATE TABLE calls (id INTEGER PRIMARY KEY, at INTEGER, provider TEXT, model TEXT, agent TEXT, project TEXT, \
status TEXT, duration INTEGER, input INTEGER, output INTEGER, cost INTEGER, metadata TEXT)"


def run(chance: random.Random, at: int) -> list[Event]:
    """One run of ten calls and ten tool calls."""
    name = ids.run_id(at, chance.randbytes(6))
    events: list[Event] = []
    mono = 0

    def add(body: Body, step: int | None = None, took: int = 0) -> int:
        nonlocal mono
        mono += took
        events.append(Event(name, len(events), at, mono, len(events) if step is None else step, body))
        return len(events) - 1

    agent = chance.choice(AGENTS)
    tags = (f"project:{AGENTS.index(agent) % 5}",)
    add(RunStarted(name="bench", execution_id=ids.execution_id(at, name), agent_type=agent, tags=tags))
    for _ in range(CALLS_A_RUN):
        provider, model = chance.choice(MODELS)
        failed = chance.random() < 0.04
        call = add(CallStarted(provider=provider, model=model))
        end = CallEnded(
            status="failed" if failed else "completed",
            usage=Usage(500, 100, 0, 120, basis="provider"),
            cost=Cost("priced", input=600, output=400, total=1_000),
            first_token_ns=int(chance.lognormvariate(19.9, 0.6)),
            error=Failure(chance.choice(("RateLimit", "Timeout", "Overloaded"))) if failed else None,
        )
        add(end, call, int(chance.lognormvariate(21.4, 0.7)))
        tool = add(ToolStarted(name="look"))
        add(ToolEnded(state="completed"), tool, int(chance.lognormvariate(18, 1.2)))
    add(RunEnded(status="completed", stop_reason="final_answer"), 0)
    return events


def recorded(store: SqliteStore, calls: int, seed: int, at: int) -> None:
    """An hour's calls, in the store."""
    chance = random.Random(seed)
    runs = calls // CALLS_A_RUN
    for first in range(0, runs, 100):
        batch = [event for number in range(first, min(first + 100, runs)) for event in run(chance, at + number * 1_000)]
        store.append(Batch(batch))


def filled(folder: Path, calls: int) -> SqliteStore:
    """A store with a month of roll-ups and half an open hour."""
    per_hour, first = calls // HOURS, NOW // HOUR - HOURS
    shapes: list[list[Row]] = []
    for seed in range(SHAPES):
        hour = SqliteStore(folder / f"shape-{seed}.db")
        recorded(hour, per_hour, seed, NOW)
        shapes.append(hour_rows(summed(hour, 0, None, KEYS)))
        hour.close()
    store = SqliteStore(folder / "month.db")
    for day in range(first // DAY_HOURS, NOW // HOUR // DAY_HOURS + 1):
        hours = {hour: shapes[hour % SHAPES] for hour in range(day * DAY_HOURS, (day + 1) * DAY_HOURS)}
        hours = {hour: rows for hour, rows in hours.items() if first <= hour < NOW // HOUR}
        mark = {"tenant": "default", "hour": first, "ver": 1}
        store.replace_rollups([mark], hours, {day: day_rows(row for rows in hours.values() for row in rows)})
    recorded(store, per_hour // 2, SHAPES, NOW - HOUR // 2)
    return store


def plain(folder: Path, calls: int) -> sqlite3.Connection:
    """The same calls as rows of one table, with an index on time."""
    chance = random.Random(1)
    lengths = [int(chance.lognormvariate(21.4, 0.7)) for _ in range(10_000)]
    step = HOURS * HOUR // calls

    def rows() -> Iterator[tuple[object, ...]]:
        for number in range(calls):
            provider, model = MODELS[number * 7 % len(MODELS)]
            agent = number * 13 % len(AGENTS)
            status = "failed" if number % 25 == 0 else "completed"
            at, length = NOW - HOURS * HOUR + number * step, lengths[number % 10_000]
            yield at, provider, model, AGENTS[agent], str(agent % 5), status, length, 600, 120, 1_000, "{}" + " " * 190

    database = sqlite3.connect(folder / "plain.db")
    database.execute("PRAGMA journal_mode=OFF")
    database.execute(PLAIN)
    with database:
        names = "at, provider, model, agent, project, status, duration, input, output, cost, metadata"
        database.executemany(f"INSERT INTO calls ({names}) VALUES ({', '.join('?' * 11)})", rows())
    database.execute("CREATE INDEX calls_at ON calls (at)")
    return database


def milliseconds(ask: Callable[[], object], rounds: int = 5) -> float:
    """Wall time of the median of some rounds, after one that warms up."""
    ask()
    found: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        ask()
        found.append((time.perf_counter() - start) * 1e3)
    return sorted(found)[rounds // 2]


def compared(calls: int) -> Sequence[tuple[str, float, float]]:
    """(grouped by, plain SQLite ms, ours ms)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, database = filled(folder, calls), plain(folder, calls)
        period = Period(moment("30d", NOW))
        sums = "count(*), sum(status = 'completed'), sum(input), sum(output), sum(cost), avg(duration)"
        rows = []
        for by in ("model", "provider", "agent", "project"):
            query = f"SELECT {by}, {sums} FROM calls WHERE at >= {period.since} GROUP BY {by}"
            theirs = milliseconds(lambda query=query: database.execute(query).fetchall(), 1)  # type: ignore[misc]
            ours = milliseconds(lambda by=by: stats(store, NOW, period, by=(by,)))  # type: ignore[misc]
            rows.append((by, theirs, ours))
        database.close()
        store.close()
    return rows


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    calls = int(arguments[0]) if arguments else 1_000_000
    rows = [(by, theirs, ours, theirs / ours) for by, theirs, ours in compared(calls)]
    head = ("grouped by", "plain SQLite, sums only: ms", "tachograph, with percentiles: ms", "times as fast")
    show(f"Analytics of 30 days, {calls:,} calls", head, rows, "Wanted: ≤ 50 ms at 1 M and at 5 M calls.")


if __name__ == "__main__":
    main(sys.argv[1:])
