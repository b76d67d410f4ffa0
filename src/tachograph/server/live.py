"""Live views: events as they come into the store, for any number of readers, each from where it left off.

A place is one in the feed of the store, or in one run; it means the same after a reconnect and after a restart of the
server. What follows a place is read once for all readers that stand there, as a chapter of bounded size; a reader asks
for the next one when it has sent the last, so a slow reader falls behind and takes no memory. One task asks the store
for news, for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from tachograph.server.chapters import Chapter, Place, feed_chapter, run_chapter
from tachograph.server.problems import Refusal
from tachograph.store.ports import Store

log = logging.getLogger("tachograph.server")

POLL_SECONDS = 0.2
"""How often the store is asked what is new; events that this server stores are told at once."""
MOST_READERS = 100
MOST_OF_ONE = 20
"""Most streams of one caller, so that one key cannot take the place of all others."""
_NEWS = 1_000
"""Most stretches looked at when something is new; beyond, everybody is woken."""
_KEPT, _KEPT_SECONDS = 32, 2.0
"""Chapters kept for readers that come to the same place a little later, and for how long."""
_THREADS = 4
"""Reads of the store at a time: others need its connections, and threads, too."""

T = TypeVar("T")


class Read(NamedTuple):
    """A chapter, and the version of the news at the time when reading it began."""

    chapter: Chapter
    version: int


class Follower(Struct, frozen=True):
    """Who opens a stream, and on what terms."""

    name: str
    """Streams of the same name count together."""
    may_read: Callable[[], bool]
    """Whether a stream may go on: asked in a thread while it lasts. Raises StoreError."""
    most: int = MOST_OF_ONE
    """How many streams may be open under this name."""


class Reader:
    """Somebody who follows one run, or everything. Belongs to the event loop."""

    def __init__(self, live: Live, run: str | None, follower: Follower) -> None:
        self._live, self.run, self.follower = live, run, follower
        self._version = 0
        self._news = asyncio.Event()

    async def read(self, place: Place) -> Read:
        """What follows a place. Raises TachographError."""
        return await self._live.read(self.run, place)

    async def wait(self, version: int, seconds: float) -> bool:
        """Wait for news later than this version; False when there is none in time, or the server stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._version <= version and not self._live.closed:
                    self._news.clear()
                    await self._news.wait()
        return self._version > version

    def tell(self, version: int) -> None:
        """There is news for this reader."""
        self._version = version
        self._news.set()


class Live:
    """The readers of one server, and the task that asks the store for news while there are any."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._readers: set[Reader] = set()
        self._chapters: OrderedDict[tuple[str | None, Place], tuple[float, asyncio.Task[Read]]] = OrderedDict()
        self._version = 0
        self._head: int | None = None
        self._watching: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._reading = asyncio.Semaphore(_THREADS)
        self.closed = False

    @property
    def readers(self) -> int:
        """How many there are."""
        return len(self._readers)

    @contextlib.contextmanager
    def reader(self, run: str | None, follower: Follower) -> Iterator[Reader]:
        """A new reader of one run, or of everything, as long as the block lasts. Raises Refusal (503)."""
        if self.closed:
            raise Refusal(503, "stopping", "the server is about to stop", headers={"Retry-After": "1"})
        self._check_room(follower)
        reader = Reader(self, run, follower)
        self._readers.add(reader)
        if self._watching is None:
            with self._lock:
                self._loop = asyncio.get_running_loop()
            self._watching = self._loop.create_task(self._watch())
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self._woken.set()

    async def read(self, run: str | None, place: Place) -> Read:
        """What follows a place: read for whoever asks first, shared with all who ask a little later."""
        loop = asyncio.get_running_loop()
        key, now = (run, place), loop.time()
        kept = self._chapters.get(key)
        if kept is None or kept[0] < now:
            kept = self._chapters[key] = (now + _KEPT_SECONDS, loop.create_task(self._read(run, place)))
            self._chapters.move_to_end(key)
            if len(self._chapters) > _KEPT:
                self._chapters.popitem(last=False)
        try:
            read = await asyncio.shield(kept[1])
        except Exception:
            self._forget(key, kept[1])
            raise
        if not read.chapter.entries:
            self._forget(key, kept[1])
        return read

    async def in_thread(self, action: Callable[[], T]) -> T:
        """Ask the store."""
        async with self._reading:
            return await run_in_threadpool(action)

    def wake(self) -> None:
        """Something was stored: look at once. From any thread."""
        self._call(self._woken.set)

    def close(self) -> None:
        """End all streams and take no new ones. From any thread."""
        self.closed = True
        self._call(self._tell_everybody)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _check_room(self, follower: Follower) -> None:
        theirs = sum(reader.follower.name == follower.name for reader in self._readers)
        if theirs >= follower.most:
            detail = f"{theirs} streams of this caller are open already; close some, or come back later"
        elif len(self._readers) >= MOST_READERS:
            detail = f"{MOST_READERS} streams are open already; close some, or come back later"
        else:
            return
        raise Refusal(503, "too-many-streams", detail, headers={"Retry-After": "5"})

    def _call(self, action: Callable[[], object]) -> None:
        with self._lock:
            loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                loop.call_soon_threadsafe(action)

    async def _read(self, run: str | None, place: Place) -> Read:
        version, store = self._version, self.store
        if run is None:
            return Read(await self.in_thread(lambda: feed_chapter(store, place)), version)
        return Read(await self.in_thread(lambda: run_chapter(store, run, place)), version)

    def _forget(self, key: tuple[str | None, Place], task: asyncio.Task[Read]) -> None:
        kept = self._chapters.get(key)
        if kept is not None and kept[1] is task:
            del self._chapters[key]

    # ---- news -------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        try:
            while self._readers and not self.closed:
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            self._watching, self._head = None, None
            self._chapters.clear()

    async def _look(self) -> None:
        before = self._head
        try:
            head, runs = await self.in_thread(lambda: _news(self.store, before))
        except Exception:  # the task must live: readers wait for it
            log.exception("live views cannot see what is new; they look again in a moment")
            await asyncio.sleep(1)
            return
        if head == before:
            return
        self._head = head
        self._version += 1
        for reader in self._readers:
            if runs is None or reader.run is None or reader.run in runs:
                reader.tell(self._version)

    def _tell_everybody(self) -> None:
        for reader in self._readers:
            reader.tell(self._version)
        self._woken.set()


def _news(store: Store, before: int | None) -> tuple[int, frozenset[str] | None]:
    """The newest stretch, and the runs that had news since another; None for any. Raises StoreError."""
    head = store.head()
    if before is None or head < before:
        return head, None
    if head == before:
        return head, frozenset()
    stretches = store.appended(before, _NEWS)
    last = max([head, *(stretch.id for stretch in stretches)])
    return last, None if len(stretches) == _NEWS else frozenset(stretch.run for stretch in stretches)
