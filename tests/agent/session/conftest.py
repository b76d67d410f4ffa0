"""A store in a file that this process records into while a test lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.agent.session.session import Session
from tachograph.compose import System
from tachograph.record import scope
from tachograph.settings import Settings


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The store."""
    return f"sqlite:{tmp_path / 'a.db'}"


@pytest.fixture
def system(url: str, tmp_path: Path) -> Iterator[System]:
    """What records into it."""
    made = System(Settings(home=tmp_path / "home", store=url))
    before = scope.use(lambda: made.recorder)
    try:
        yield made
    finally:
        scope.use(before)
        made.close()


def elsewhere(session: Session) -> None:
    """From here on this process knows of the session only what any other one could read."""
    session.local._said.clear()


async def texts(session: Session) -> list[str]:
    """What stands in a session, read from the log."""
    elsewhere(session)
    async with session.turn() as turn:
        return [message.text for message in turn.history]


async def until_running(session: Session) -> None:
    """Wait until a turn is under way."""
    for _ in range(500):
        head = session.head()
        if head is not None and head.run is not None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no run was begun")
