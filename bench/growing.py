"""A conversation of 100 KB that grows: what one more call costs when almost everything was said before."""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tachograph
from bench.kit.table import named, show
from bench.kit.work import ANSWER, PROMPT, Message, opentelemetry_call, tachograph_call

TURNS = 50
ROUNDS = 40


def talk() -> list[Message]:
    """100 KB in 50 messages."""
    return [{"role": "user" if turn % 2 else "assistant", "content": f"{turn} {PROMPT}"} for turn in range(TURNS)]


def cost(work: Callable[[int], object]) -> float:
    """Median CPU of the calling thread, µs."""
    found = []
    for number in range(ROUNDS):
        start = time.thread_time_ns()
        work(number)
        found.append((time.thread_time_ns() - start) / 1e3)
    return sorted(found)[len(found) // 2]


def first(scrub: str) -> float:
    """The first call of a run: nothing is known yet."""
    record = tachograph_call()

    def one(number: int) -> None:
        messages = [{**message, "content": f"{number} {message['content']}"} for message in talk()]
        with tachograph.run("bench"):
            start = time.thread_time_ns()
            record(messages, ANSWER)
            spent.append((time.thread_time_ns() - start) / 1e3)

    spent: list[float] = []
    with recording(scrub):
        for number in range(ROUNDS):
            one(number)
    return sorted(spent)[len(spent) // 2]


def repeated(scrub: str, *, parsed: bool) -> float:
    """A call whose 100 KB were recorded before, as the same string objects or parsed again."""
    record, messages = tachograph_call(), talk()
    spare = iter([json.loads(json.dumps(messages)) for _ in range(ROUNDS + 1)])
    with recording(scrub), tachograph.run("bench"):
        record(messages, ANSWER)
        if not parsed:
            return cost(lambda _: record(messages, ANSWER))
        return cost(lambda _: record(next(spare), ANSWER))


class recording:  # noqa: N801 - read as a word after `with`
    """A recorder with a store of its own."""

    def __init__(self, scrub: str) -> None:
        self._scrub, self._home = scrub, tempfile.TemporaryDirectory()

    def __enter__(self) -> None:
        self._system = tachograph.configure(home=Path(self._home.name), scrub=self._scrub, journal_bytes=1 << 30)

    def __exit__(self, *_: object) -> None:
        self._system.close()
        self._home.cleanup()


def main() -> None:
    """Print the table."""
    record, stop = opentelemetry_call()
    messages = talk()
    otel = cost(lambda _: record(copy.copy(messages), ANSWER))
    stop()
    plain, scrubbed = first("drain"), first("inline")
    rows = [
        (f"{named('opentelemetry-sdk')}: a whole copy each time", otel, ""),
        ("tachograph, first time, without scrubbing", plain, "≤ 200"),
        ("tachograph, what scrubbing adds to that", scrubbed - plain, "reported apart"),
        ("tachograph, repeated, same string objects", repeated("inline", parsed=False), "≤ 25"),
        ("tachograph, repeated, parsed again", repeated("inline", parsed=True), "≤ 90"),
    ]
    show("100 KB prompt in a growing conversation", ("product", "CPU µs a call", "wanted"), rows)


if __name__ == "__main__":
    main()
