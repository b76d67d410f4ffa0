from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tachograph.errors import StoreUnavailable
from tachograph.server import live as live_module
from tachograph.server.chapters import Place
from tachograph.server.live import MOST_OF_ONE, MOST_READERS, Follower, Live, Reader
from tachograph.server.problems import Refusal
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Batch, Stretch
from tests.server.test_chapters import notes

LOCAL = Follower("local", lambda: True, MOST_READERS)


class Counting(MemoryStore):
    """A store that counts what it is asked, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = self.reads = 0
        self.away = False

    def head(self) -> int:
        """Counted."""
        self.heads += 1
        if self.away:
            raise StoreUnavailable("memory:", "away")
        return super().head()

    def appended(self, after: int, limit: int = 1_000, tenant: str | None = None) -> Sequence[Stretch]:
        """Counted."""
        self.reads += 1
        return super().appended(after, limit, tenant)


def run(program: Callable[[], Awaitable[Any]]) -> Any:
    """Run it, within ten seconds."""

    async def bounded() -> Any:
        async with asyncio.timeout(10):
            return await program()

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    while not condition():  # noqa: ASYNC110 - what is waited for is in another thread
        await asyncio.sleep(0.005)


async def news(reader: Reader, place: Place) -> tuple[Place, int]:
    """Wait for the next chapter that says something; the place behind it, and how many events it has."""
    while True:
        read = await reader.read(place)
        if read.chapter.entries:
            return read.chapter.next, len(read.chapter.entries)
        place = read.chapter.next
        await reader.wait(read.version, 5)


def test_what_this_process_stores_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up from another thread does not wait for the next look."""
    monkeypatch.setattr(live_module, "POLL_SECONDS", 30)
    store = MemoryStore()
    live = Live(store)

    async def program() -> float:
        with live.reader(None, LOCAL) as reader:
            waiting = asyncio.ensure_future(news(reader, Place(0)))
            await asyncio.sleep(0.1)
            began = time.monotonic()

            def write() -> None:
                store.append(Batch(notes("one", 3).events))
                live.wake()

            threading.Thread(target=write).start()
            assert await waiting == (Place(1), 3)
            return time.monotonic() - began

    assert run(program) < 2


def test_what_others_store_is_found_by_looking() -> None:
    """Without a word from anybody, within a few looks."""
    store = MemoryStore()
    live = Live(store)

    async def program() -> None:
        with live.reader(None, LOCAL) as reader:
            waiting = asyncio.ensure_future(news(reader, Place(0)))
            await asyncio.sleep(0.1)
            store.append(Batch(notes("one", 3).events))
            assert await waiting == (Place(1), 3)

    run(program)


def test_a_place_is_read_once_for_all_who_stand_there() -> None:
    """Fifty readers, one piece of news: the store is read a handful of times, not fifty."""
    store = Counting()
    live = Live(store)

    async def program() -> int:
        with_readers = [live.reader(None, LOCAL) for _ in range(50)]
        readers = [each.__enter__() for each in with_readers]
        waiting = [asyncio.ensure_future(news(reader, Place(0))) for reader in readers]
        await asyncio.sleep(0.5)
        before = store.reads
        store.append(Batch(notes("one", 3).events))
        live.wake()
        assert await asyncio.gather(*waiting) == [(Place(1), 3)] * 50
        for each in with_readers:
            each.__exit__(None, None, None)
        return store.reads - before

    assert run(program) <= 4


def test_only_readers_of_a_run_are_woken_by_it() -> None:
    """News of another run leaves a reader of one run asleep; its own, and anything for who reads all, does not."""
    store, one, two = MemoryStore(), notes("one", 4), notes("two", 1)
    store.append(Batch(one.events[:1]))
    live = Live(store)

    async def program() -> tuple[bool, bool, bool]:
        with live.reader(one.run, LOCAL) as reader, live.reader(None, LOCAL) as everything:
            await asyncio.sleep(0.3)
            version = live._version
            store.append(Batch(two.events))
            live.wake()
            heard = await asyncio.gather(reader.wait(version, 0.5), everything.wait(version, 5))
            store.append(Batch(one.events[1:]))
            live.wake()
            return (*heard, await reader.wait(version, 5))

    assert run(program) == (False, True, True)


def test_nobody_is_asked_while_nobody_reads() -> None:
    """The looking begins with the first reader and ends with the last."""
    store = Counting()
    live = Live(store)

    async def program() -> tuple[Place, int]:
        with live.reader(None, LOCAL):
            await until(lambda: store.heads > 1)
        await until(lambda: live._watching is None)
        seen = store.heads
        await asyncio.sleep(0.5)
        assert store.heads == seen
        with live.reader(None, LOCAL) as reader:
            store.append(Batch(notes("one", 1).events))
            return await news(reader, Place(0))

    assert run(program) == (Place(1), 1)


def test_a_store_that_is_away_for_a_while_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Looking goes on, and what came in meanwhile is told."""
    store = Counting()
    live = Live(store)

    async def program() -> tuple[Place, int]:
        with live.reader(None, LOCAL) as reader:
            await until(lambda: store.heads > 1)
            store.away = True
            await asyncio.sleep(0.5)
            with pytest.raises(StoreUnavailable):
                await reader.read(Place(0))
            store.append(Batch(notes("one", 2).events))
            store.away = False
            return await news(reader, Place(0))

    assert run(program) == (Place(1), 2)
    assert "look again in a moment" in caplog.text


def test_there_is_room_for_a_bounded_number() -> None:
    """One more than may is told to come back; who leaves makes room."""
    live = Live(MemoryStore())

    async def program() -> tuple[int, str]:
        held = [live.reader(None, LOCAL) for _ in range(MOST_READERS)]
        for each in held:
            each.__enter__()
        with pytest.raises(Refusal) as caught, live.reader(None, LOCAL):
            pass
        held.pop().__exit__(None, None, None)
        with live.reader(None, LOCAL):
            pass
        for each in held:
            each.__exit__(None, None, None)
        return caught.value.problem.status, caught.value.headers["Retry-After"]

    assert run(program) == (503, "5")
    assert live.readers == 0


def test_one_caller_cannot_take_the_room_of_all() -> None:
    """Each has a bound of its own, and who leaves makes room for one more under that name."""
    live = Live(MemoryStore())
    blue, red = Follower("blue", lambda: True), Follower("red", lambda: True)

    async def program() -> list[int]:
        with contextlib.ExitStack() as stack:
            first = live.reader(None, blue)
            first.__enter__()
            for _ in range(MOST_OF_ONE - 1):
                stack.enter_context(live.reader(None, blue))
            with pytest.raises(Refusal, match="20 streams of this caller are open") as caught, live.reader(None, blue):
                pass
            stack.enter_context(live.reader(None, red))
            first.__exit__(None, None, None)
            stack.enter_context(live.reader(None, blue))
            return [caught.value.problem.status, live.readers]

    assert run(program) == [503, MOST_OF_ONE + 1]


def test_closing_ends_every_wait_and_takes_nobody_new() -> None:
    """From another thread, as a signal would."""
    live = Live(MemoryStore())

    async def program() -> bool:
        with live.reader(None, LOCAL) as reader:
            await reader.wait(0, 5)  # the first look tells everybody
            read = await reader.read(Place(0))
            threading.Timer(0.1, live.close).start()
            heard = await reader.wait(read.version, 9)
        with pytest.raises(Refusal), live.reader(None, LOCAL):
            pass
        return heard

    began = time.monotonic()
    assert run(program) is False
    assert time.monotonic() - began < 5


def test_waking_somebody_who_is_gone_does_nothing() -> None:
    """Neither before the first reader nor after the loop has ended."""
    live = Live(MemoryStore())
    live.wake()

    async def program() -> None:
        with live.reader(None, LOCAL):
            pass

    run(program)
    live.wake()
    live.close()
    assert live.closed
