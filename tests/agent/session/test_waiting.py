from __future__ import annotations

import asyncio

import pytest

from tachograph.agent.session.terms import Terms
from tachograph.agent.session.waiting import taken
from tachograph.compose import System
from tachograph.errors import SessionBusy, StoreUnavailable
from tachograph.store.sessions.head import Taken

pytestmark = pytest.mark.anyio


async def test_who_waits_gets_the_lease_when_it_is_free(system: System) -> None:
    """Soon after it was given back, and in the order of coming."""
    terms = Terms("s")
    first = await taken(terms, terms.key, supersede=False)
    later = [asyncio.create_task(taken(terms, terms.key, supersede=False)) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in later)
    for task in later:
        system.heads.release(terms.key, first.head.epoch)
        first = await asyncio.wait_for(task, 10)
    assert isinstance(first, Taken)
    assert first.head.waiting == ()


async def test_who_gives_up_keeps_nobody_waiting(system: System) -> None:
    """By his time, or because he is called off; a ticket that cannot be given back is no error."""
    patient, hasty = Terms("s"), Terms("s", wait=0.02)
    first = await taken(patient, patient.key, supersede=False)
    with pytest.raises(SessionBusy, match=r"by process \d+ on"):
        await taken(hasty, hasty.key, supersede=False)
    task = asyncio.create_task(taken(patient, patient.key, supersede=False))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    head = system.heads.get(patient.key)
    assert head is not None
    assert (head.waiting, head.lease) == ((), first.head.lease)


async def test_those_who_came_first_are_named(system: System, monkeypatch: pytest.MonkeyPatch, caplog: object) -> None:
    """The lease is free, but others wait; and when a ticket cannot be given back the first reason counts."""
    terms = Terms("s", wait=0.02)
    first = await taken(terms, terms.key, supersede=False)
    system.heads.acquire(terms.key, system.recorder.clock.now(), 1)
    system.heads.release(terms.key, first.head.epoch)

    def away(*_: object) -> None:
        raise StoreUnavailable("sqlite:a", "locked")

    monkeypatch.setattr(system.heads, "withdraw", away)
    with pytest.raises(SessionBusy, match="by others who came first"):
        await taken(terms, terms.key, supersede=False)
