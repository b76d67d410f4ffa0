"""How long it takes to begin: the import of the package, the first step, the first command."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from bench.kit.table import named, show
from bench.kit.work import COMMAND

REPEATS = 9
CODE = {
    "import tachograph": "import tachograph",
    "the same, and what recording needs": "import tachograph; tachograph.run; tachograph.step",
    "python alone": "pass",
}
PEERS = {
    "opentelemetry-sdk": "from opentelemetry.sdk.trace.export import BatchSpanProcessor",
    "langfuse": "import langfuse",
}


def wall(command: list[str], home: str) -> float:
    """Median wall time of a process, ms."""
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TACHOGRAPH_HOME": home})
        found.append((time.perf_counter() - start) * 1e3)
    return statistics.median(found)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as home:
        subprocess.run([*COMMAND, "demo"], check=True, capture_output=True, env={**os.environ, "TACHOGRAPH_HOME": home})
        alone = wall([sys.executable, "-c", CODE["python alone"]], home)
        rows: list[tuple[object, ...]] = [("python alone", alone, "")]
        for name, code in CODE.items():
            if name != "python alone":
                spent = wall([sys.executable, "-c", code], home) - alone
                rows.append((f"{name} (above python)", spent, "≤ 80" if name == "import tachograph" else ""))
        rows += [
            (f"{named(peer)} (above python)", wall([sys.executable, "-c", code], home) - alone, "")
            for peer, code in PEERS.items()
        ]
        listed = wall([*COMMAND, "ls", "--store", f"sqlite:{home}/demo.db"], home)
        rows.append(("tachograph ls (all of it)", listed, "≤ 350"))
    show("Start", ("what", "ms", "wanted"), rows)


if __name__ == "__main__":
    main()
