"""What recording one model call costs the thread that makes it: 2 KB prompt, 0.5 KB answer, usage.

Ours is measured with the append included (`kill -9` loses nothing), with redaction left to the drain and done first.
The peers buffer in memory. CPU is the calling thread's; wall p99 of ours is also taken beside its own drain and a
thread that computes all the time.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tachograph
from bench.kit.sink import sink
from bench.kit.table import Timing, named, show, timed
from bench.kit.work import ANSWER, PROMPT, Record, langfuse_call, opentelemetry_call, tachograph_call

CALLS = 3_000


def measured(record: Record) -> Timing:
    """Distinct prompts, one call each."""

    def one(number: int) -> None:
        record([{"role": "user", "content": f"{number}: {PROMPT}"}], ANSWER)

    return timed(one, CALLS)


@contextmanager
def busy() -> Any:
    """A thread that never rests."""
    stop = False

    def spin() -> None:
        while not stop:
            sum(range(1000))

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    yield
    stop = True
    thread.join()


def ours(scrub: str, *, beside: bool = False) -> Timing:
    """Ours, into a store of its own."""
    with tempfile.TemporaryDirectory() as home:
        system = tachograph.configure(home=Path(home), scrub=scrub, journal_bytes=1 << 30)
        with tachograph.run("bench"):
            if beside:
                with busy():
                    found = measured(tachograph_call())
            else:
                found = measured(tachograph_call())
        lost = system.recorder.health.lost
        system.close()
        assert not lost, lost
    return found


def rows() -> Sequence[Sequence[object]]:
    """Every product, each ratio against OpenTelemetry of this run."""
    record, stop = opentelemetry_call()
    otel = measured(record)
    stop()
    with sink() as url:
        record, stop = langfuse_call(url)
        langfuse = measured(record)
        stop()
    found = [
        (f"{named('opentelemetry-sdk')}, batch exporter to nowhere", otel),
        (f"{named('langfuse')}, to a sink on this machine", langfuse),
        ("tachograph, journalled, scrubbing in the drain", ours("drain")),
        ("tachograph, journalled, secrets scrubbed first", ours("inline")),
        ("the same, wall time beside the drain and a busy thread", ours("inline", beside=True)),
    ]
    return [(name, timing.cpu, f"{timing.cpu / otel.cpu:.2f}", timing.p50, timing.p99) for name, timing in found]


if __name__ == "__main__":
    show(
        "Recording one model call (2 KB prompt, 0.5 KB answer, usage)",
        ("product", "CPU µs", "× OTel", "wall p50 µs", "wall p99 µs"),
        rows(),
        "Wanted: ≤ 0.5 × OTel with scrubbing in the drain, ≤ 1.2 × with it first; p99 ≤ 1,000 µs beside a busy thread.",
    )
