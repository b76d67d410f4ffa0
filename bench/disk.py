"""Bytes on disk for real conversations, against one full copy of every call's messages.

Needs the recorded airline conversations (TACHOGRAPH_SHARED, or ../shared beside the repository); says so and stops
where they are absent.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from bench.kit.table import show
from bench.kit.work import COMMAND

SHARED = Path(os.environ.get("TACHOGRAPH_SHARED") or Path(__file__).parents[2] / "shared")
RECORDED = SHARED / "data" / "trajectories" / "tau_bench" / "gpt-4o-airline.jsonl.gz"


def full_copy(folder: Path) -> tuple[int, int, int]:
    """Calls, bytes of every call's messages as JSON, and the size of a plain SQLite table that holds them."""
    database = sqlite3.connect(folder / "full.db")
    database.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, messages TEXT)")
    calls = size = 0
    with gzip.open(RECORDED) as lines:
        for line in lines:
            messages = json.loads(line)["record"]["traj"]
            for place, message in enumerate(messages, 1):
                if message["role"] == "assistant":
                    text = json.dumps(messages[:place])
                    calls, size = calls + 1, size + len(text.encode())
                    database.execute("INSERT INTO calls (messages) VALUES (?)", (text,))
    database.commit()
    database.close()
    return calls, size, (folder / "full.db").stat().st_size


def ours(folder: Path) -> tuple[int, int]:
    """Size of our store after importing the same conversations, everything included; and of its list indexes."""
    store = folder / "ours.db"
    subprocess.run([*COMMAND, "import", str(RECORDED), "--store", f"sqlite:{store}"], check=True, capture_output=True)
    database = sqlite3.connect(store)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = store.stat().st_size
    before: int = database.execute("PRAGMA freelist_count").fetchone()[0]
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name GLOB '*_list'").fetchall():
        database.execute(f"DROP INDEX {name}")
    free: int = database.execute("PRAGMA freelist_count").fetchone()[0]
    page: int = database.execute("PRAGMA page_size").fetchone()[0]
    database.close()
    return whole, (free - before) * page


def main() -> None:
    """Print the table."""
    if not RECORDED.is_file():
        print(f"skipped: no recorded conversations at {RECORDED} (set TACHOGRAPH_SHARED)")
        return
    with tempfile.TemporaryDirectory() as name:
        calls, raw, copied = full_copy(Path(name))
        mine, lists = ours(Path(name))
    rows = [
        ("every call's messages, raw", raw, raw // calls, "100 %"),
        ("the same in a plain SQLite table", copied, copied // calls, f"{copied / raw:.1%}"),
        ("tachograph, everything included", mine, mine // calls, f"{mine / raw:.1%}"),
        ("of that, the indexes of the lists", lists, lists // calls, f"{lists / raw:.1%}"),
    ]
    show(
        f"Disk for {calls:,} calls of 100 recorded airline conversations",
        ("what", "bytes", "a call", "of raw"),
        rows,
        "Wanted: ≤ 12 %.",
    )


if __name__ == "__main__":
    main()
