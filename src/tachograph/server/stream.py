"""One answer that goes on: messages of `text/event-stream`, sent as fast as they are taken, until somebody leaves.

Nothing is kept for a reader but the chapter that is being sent to it. One that takes nothing for a minute is let go;
it comes back with the last id it saw. Whether it may still read is asked again all the while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from tachograph.errors import TachographError
from tachograph.server import problems
from tachograph.server.chapters import Chapter, Entry, Facts, Place, control, mark, newest
from tachograph.server.live import Follower, Live, Reader
from tachograph.server.problems import Refusal

log = logging.getLogger("tachograph.server")

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE_SECONDS = 15.0
"""How often there is a sign of life, and the key is looked up again, whether or not there are events."""
SEND_SECONDS = 60.0
"""How long a reader may take nothing."""
STREAM_SECONDS = 600.0
"""How long a stream lasts at most. Who comes back with the last id misses nothing."""
_PIECE_BYTES = 64 * 1024
_RETRY_MS = 1_000
"""When a browser comes back after a cut."""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Wanted(Struct, frozen=True):
    """Whose events are sent: what a run must be for its events to be told. None asks nothing."""

    tenant: str | None = None
    session: str | None = None
    agent: str | None = None
    tag: str | None = None

    def has(self, facts: Facts | None) -> bool:
        """Whether events of a run with these facts are told."""
        if facts is None:
            return True
        return (
            self.tenant in (None, facts.tenant)
            and self.session in (None, facts.session)
            and self.agent in (None, facts.agent)
            and (self.tag is None or self.tag in facts.tags)
        )


class Stream(Response):
    """The answer to somebody who follows one run, or everything."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        live: Live,
        wanted: Wanted,
        follower: Follower,
        *,
        run: str | None,
        place: Place | None,
        follow: bool = False,
    ) -> None:
        """From `place` on; None is now. With `follow` the stream of a run goes on after the run has ended."""
        super().__init__(None, headers=_HEADERS)
        del self.headers["content-length"]
        self._live, self._wanted, self._follower = live, wanted, follower
        self._run, self._place, self._follow = run, place, follow
        self._ask_at = 0.0

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send until the reader leaves or may not read any more, the run is over or the server stops."""
        if scope["method"] == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            with self._live.reader(self._run, self._follower) as reader:
                await self._until_one_leaves(reader, receive, send)
        except Refusal as refusal:
            await problems.response(refusal)(scope, receive, send)

    async def _until_one_leaves(self, reader: Reader, receive: Receive, send: Send) -> None:
        sides = (asyncio.ensure_future(self._tell(reader, send)), asyncio.ensure_future(_left(receive)))
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            ended = await asyncio.gather(*sides, return_exceptions=True)
        for problem in ended:
            # Who takes nothing any more, or is gone, knows where it was.
            if isinstance(problem, Exception) and not isinstance(problem, OSError):
                raise problem

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _tell(self, reader: Reader, send: Send) -> None:
        await self._start(send)
        try:
            async with aclosing(self._messages(reader)) as messages:
                async for message in messages:
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": message, "more_body": True})
        except TachographError as problem:
            log.warning("a live view ends, its reader may come back: %s", problem)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    # ---- what is sent -----------------------------------------------------------------------------------------------

    async def _messages(self, reader: Reader) -> AsyncGenerator[bytes]:
        place = await self._begin()
        yield f"retry: {_RETRY_MS}\n".encode() + mark(place, "tachograph")
        until, self._ask_at = _now() + STREAM_SECONDS, _now() + KEEP_ALIVE_SECONDS
        while not self._live.closed and _now() < until:
            due = _now() >= self._ask_at
            try:
                if not await self._may_go_on():
                    return
                read = await reader.read(place)
            except TachographError as problem:
                log.warning("a live view waits for the store: %s", problem)
                await asyncio.sleep(1)
                yield mark(place, "the store does not answer")
                continue
            if due:
                yield mark(place, "still here")
            chapter, place = read.chapter, read.chapter.next
            for piece in self._pieces(chapter.entries):
                if not await self._may_go_on():  # a slow reader takes minutes for a chapter
                    return
                yield piece
            if chapter.state in ("reset", "gone"):
                yield control(chapter.state, place)
            if self._is_over(chapter):
                return
            if chapter.state not in ("more", "reset"):
                await reader.wait(read.version, max(0.0, self._ask_at - _now()))

    async def _begin(self) -> Place:
        """From where; now, where nothing is said. Raises StoreError."""
        if self._place is not None:
            return self._place
        return await self._live.in_thread(lambda: newest(self._live.store))

    async def _may_go_on(self) -> bool:
        """Whether the reader may still read: asked again when it is due. Raises StoreError."""
        if _now() < self._ask_at:
            return True
        if not await self._live.in_thread(self._follower.may_read):
            return False
        self._ask_at = _now() + KEEP_ALIVE_SECONDS
        return True

    def _is_over(self, chapter: Chapter) -> bool:
        return chapter.state == "gone" or (chapter.state == "over" and not self._follow)

    def _pieces(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The messages that are wanted, some of them together, so that waiting is for a bounded amount."""
        piece: list[bytes] = []
        size = 0
        for facts, message in entries:
            if not self._wanted.has(facts):
                continue
            piece.append(message)
            size += len(message)
            if size >= _PIECE_BYTES:
                yield b"".join(piece)
                piece, size = [], 0
        if piece:
            yield b"".join(piece)


def _now() -> float:
    """Seconds of the event loop."""
    return asyncio.get_running_loop().time()


async def _left(receive: Receive) -> None:
    """Wait until the other side is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
