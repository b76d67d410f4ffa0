"""A program that records until it is killed; started as a process of its own by the crash tests.

It is a nursery: for each number on its input it forks a process that records with that seed, and prints its pid. Every
event that the recorder has put into the journal is written to `NUMBER.acks` as `run seq` right after, unbuffered.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import tachograph
import tachograph.store.open
from tachograph import LLMCall, ToolCall, Usage, compose

PAUSE = float(os.environ.get("RECORDING_PAUSE", "0.0005"))
"""Most seconds that a model call takes."""


def acknowledge(path: str) -> None:
    """Write each recorded event's place to a file, as soon as it is in the journal."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    compose.current().recorder.feed.subscribe(
        lambda event: os.write(descriptor, f"{event.run} {event.seq}\n".encode()) < 0
    )


def record(seed: int) -> None:
    """Runs of a few nested steps and calls, forever."""
    chance = random.Random(seed)
    while True:
        with tachograph.run("agent", session=str(seed)) as run:
            talk = []
            for turn in range(chance.randrange(1, 6)):
                talk.append({"role": "user", "content": f"{seed} {turn} {'word ' * chance.randrange(200)}"})
                with tachograph.step("turn", iteration=turn):
                    with tachograph.step(LLMCall("gpt-4o-mini", talk, provider="openai")) as call:
                        time.sleep(chance.random() * PAUSE)
                        call.reply = "answer " * chance.randrange(50)
                        call.usage = Usage(100, 0, 0, 10, basis="provider")
                    talk.append({"role": "assistant", "content": call.reply})
                    with tachograph.step(ToolCall("look", {"turn": turn})) as tool:
                        tool.output = turn
            run.output = "done"


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            acknowledge(f"{os.environ['TACHOGRAPH_HOME']}/{line.strip()}.acks")
            record(int(line))
        print(child, flush=True)
