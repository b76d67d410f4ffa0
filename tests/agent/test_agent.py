from __future__ import annotations

import asyncio

import pytest

from tachograph.testing import Captured
from tests.agent.running import agent

pytestmark = pytest.mark.anyio


def test_a_run_works_without_and_inside_an_event_loop(events: Captured) -> None:
    """`run_sync` on a loop of its own, also where one is running."""
    assert agent(["a"]).run_sync("go").answer == "a"

    async def inside() -> str | None:
        return agent(["b"]).run_sync("go").answer

    assert asyncio.run(inside()) == "b"
