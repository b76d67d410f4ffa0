from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.providers.scripted import ScriptedModel
from tachograph.testing import Captured
from tests.agent.running import agent
from tests.house.source import environment

pytestmark = pytest.mark.anyio


def test_a_run_works_without_and_inside_an_event_loop(events: Captured) -> None:
    """`run_sync` on a loop of its own, also where one is running."""
    assert agent(["a"]).run_sync("go").answer == "a"

    async def inside() -> str | None:
        return agent(["b"]).run_sync("go").answer

    assert asyncio.run(inside()) == "b"


INTERRUPTED = """
import asyncio, os, signal, threading
import tachograph
from tachograph import Agent
from tachograph.testing import Call, ScriptedModel

tachograph.configure(store="runs.db")

async def wait() -> str:
    for seconds in (0.2, 0.4):  # asyncio keeps the first for the loop that is blocked
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        print("called off", flush=True)
        raise

async def inside() -> None:
    Agent(name="a", model=ScriptedModel([Call("wait")]), tools=[wait]).run_sync("go")

try:
    asyncio.run(inside())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_ends_a_run_that_blocks_a_loop(tmp_path: Path) -> None:
    """A second Ctrl-C reaches the run in its thread before it goes on."""
    found = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert found.stdout.split("\n")[:2] == ["called off", "interrupted"], found.stderr


def test_an_outcome_is_not_lost_to_connections_that_cannot_be_closed(
    events: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; the run was over."""

    class Stuck(ScriptedModel):
        async def close(self) -> None:
            raise OSError("stuck")

    assert agent(Stuck(["a"])).run_sync("go").answer == "a"
    assert "could not be closed" in caplog.text
