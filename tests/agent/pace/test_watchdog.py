from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tachograph.agent.pace.watchdog import Stall, Watchdog


def blocks_the_loop(seconds: float) -> None:
    """What a watchdog looks for."""
    time.sleep(seconds)


def test_a_loop_that_stands_still_is_reported_with_its_place() -> None:
    """While it stands: for how long, and where; once for each time."""
    stalls: list[Stall] = []

    async def main() -> int:
        with Watchdog().watching(stalls.append, 0.2):
            await asyncio.sleep(0.1)
            blocks_the_loop(0.8)
            during = len(stalls)
            await asyncio.sleep(0.3)
            blocks_the_loop(0.8)
        return during

    assert asyncio.run(main()) == 1
    assert len(stalls) == 2
    assert all(0.2 <= stall.seconds < 0.8 for stall in stalls)
    assert all("blocks_the_loop" in stall.stack.splitlines()[-2] for stall in stalls)


def test_a_loop_that_turns_is_not_reported() -> None:
    """Waiting is no standing still, however long it takes; nor is it the watchdog's business after the run."""
    stalls: list[Stall] = []

    async def main() -> None:
        dog = Watchdog()
        with dog.watching(stalls.append, 2.0):
            await asyncio.sleep(0.3)
        with dog.watching(stalls.append, 0.2):
            pass
        blocks_the_loop(0.5)

    asyncio.run(main())
    assert stalls == []


def test_several_runs_and_loops_share_one_thread() -> None:
    """Each run of a loop that stands still is told; those of another loop are not."""
    dog = Watchdog()
    told: list[str] = []

    async def still() -> None:
        with dog.watching(lambda stall: told.append("a"), 0.2), dog.watching(lambda stall: told.append("b"), 0.2):
            blocks_the_loop(0.8)

    async def turning() -> None:
        with dog.watching(lambda stall: told.append("c"), 2.0):
            await asyncio.sleep(0.8)

    other = threading.Thread(target=lambda: asyncio.run(turning()))
    other.start()
    asyncio.run(still())
    other.join()
    assert sorted(told) == ["a", "b"]
    assert [thread.name for thread in threading.enumerate()].count("tachograph-watchdog") >= 1


def test_a_report_that_raises_is_contained(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the watch goes on."""

    def broken(stall: Stall) -> None:
        raise ValueError("cannot tell")

    async def main() -> None:
        with Watchdog().watching(broken, 0.1):
            blocks_the_loop(0.4)
            await asyncio.sleep(0.1)
            blocks_the_loop(0.4)

    asyncio.run(main())
    assert [record.message for record in caplog.records] == ["a stalled event loop could not be reported"] * 2
