"""Measuring and printing: one table a benchmark, with the machine it ran on."""

from __future__ import annotations

import datetime
import gc
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple


class Timing(NamedTuple):
    """One measured piece of work, per call, in microseconds."""

    cpu: float
    """CPU of the calling thread."""
    p50: float
    p99: float
    """Wall time, with everything else that ran beside it."""


def machine() -> str:
    """Where and when: a line for the head of a table."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"{day}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores()} cores"


def cores() -> int:
    """Cores this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def named(package: str) -> str:
    """A package with its version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def timed(work: Callable[[int], object], calls: int, *, rounds: int = 3) -> Timing:
    """Run `work(number)` in rounds; the median round. The first round warms up and does not count.

    After every 25 calls the thread sleeps 5 ms (not measured), as a program that waits for models does: background
    threads get their turn in everybody's run.
    """
    found: list[Timing] = []
    for attempt in range(rounds + 1):
        gc.collect()
        walls: list[int] = []
        cpu = 0
        for first in range(0, calls, 25):
            before = time.thread_time_ns()
            for number in range(first, first + 25):
                start = time.perf_counter_ns()
                work(attempt * calls + number)
                walls.append(time.perf_counter_ns() - start)
            cpu += time.thread_time_ns() - before
            time.sleep(0.005)
        walls.sort()
        found.append(Timing(cpu / len(walls) / 1e3, walls[len(walls) // 2] / 1e3, walls[len(walls) * 99 // 100] / 1e3))
    return Timing(*(statistics.median(column) for column in zip(*found[1:], strict=True)))


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[object]], *notes: str) -> None:
    """Print a Markdown table."""
    text = [[f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *text]) for column in range(len(head))]
    print(f"\n### {title}\n\n{machine()}\n")
    for line in (list(head), ["-" * width for width in widths], *text):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
    for note in notes:
        print(f"\n{note}")
