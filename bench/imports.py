"""How fast session logs are imported, and how fast an unchanged folder is passed over the second time."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.kit.table import show
from bench.kit.work import COMMAND

MEGABYTES = 60
FILES = 12
WORDS = [f"word{number}" for number in range(4_000)]


def session(chance: random.Random, number: int, size: int) -> Iterator[dict[str, Any]]:
    """A coding agent's log of about `size` bytes: prompts, replies with tool calls, results of many sizes."""
    name, at, written = f"session-{number}", 1_750_000_000, 0
    parent = None
    turn = 0
    while written < size:
        turn += 1
        at += 5
        common = {"sessionId": name, "cwd": "/project/desk", "version": "2.0.1", "isSidechain": False}
        if turn % 12 == 1:
            prompt = {"role": "user", "content": text(chance, 60)}
            entries = [{"type": "user", "message": prompt}]
        else:
            usage = {
                "input_tokens": 5, "cache_read_input_tokens": 20_000, "cache_creation_input_tokens": 900,
                "output_tokens": 300,
            }  # fmt: skip
            reply = {
                "id": f"msg_{number}_{turn}",
                "role": "assistant",
                "model": "claude-sonnet-4-5-20250929",
                "usage": usage,
                "stop_reason": "tool_use",
                "content": [
                    {"type": "text", "text": text(chance, 40)},
                    {
                        "type": "tool_use",
                        "id": f"toolu_{number}_{turn}",
                        "name": "Read",
                        "input": {"p": text(chance, 3)},
                    },
                ],
            }
            result = text(chance, chance.choice((20, 200, 900, 2_000)))
            content = [{"type": "tool_result", "tool_use_id": f"toolu_{number}_{turn}", "content": result}]
            entries = [
                {"type": "assistant", "message": reply},
                {
                    "type": "user",
                    "message": {"role": "user", "content": content},
                    "toolUseResult": {"type": "text", "file": {"content": result}},
                },
            ]
        for place, entry in enumerate(entries):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at + place))
            line = {**common, **entry, "uuid": f"{number}-{turn}-{place}", "parentUuid": parent}
            line["timestamp"] = f"{stamp}.000Z"
            parent = line["uuid"]
            written += len(json.dumps(line))
            yield line


def text(chance: random.Random, words: int) -> str:
    """Words."""
    return " ".join(chance.choices(WORDS, k=words))


def run(folder: Path, store: Path) -> float:
    """Seconds of one `tachograph import`, start-up included."""
    start = time.perf_counter()
    subprocess.run([*COMMAND, "import", str(folder), "--store", f"sqlite:{store}"], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as name:
        logs = Path(name) / "logs"
        logs.mkdir()
        for number in range(FILES):
            lines = session(chance, number, MEGABYTES * 1_000_000 // FILES)
            (logs / f"{number}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        size = sum(path.stat().st_size for path in logs.iterdir()) / 1e6
        first, again = run(logs, Path(name) / "store.db"), run(logs, Path(name) / "store.db")
    rows = [
        ("first time", f"{first:.2f}", f"{size / first:.1f}", "≥ 15 MB/s"),
        ("again, unchanged", f"{again:.2f}", "", "< 1 s"),
    ]
    show(f"Importing {size:.0f} MB of session logs", ("run", "seconds", "MB/s", "wanted"), rows)


if __name__ == "__main__":
    main()
