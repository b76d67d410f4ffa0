"""A provider on loopback that says exactly the bytes it is told to: whole, in any pieces, cut off, or without end.

It speaks HTTP/1.1 itself, since no server library would break off in the middle of a body as providers do.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Literal

ROUTES = {
    "chat": re.compile(r"/chat/completions$"),
    "responses": re.compile(r"/responses$"),
    "anthropic": re.compile(r"/v1/messages$"),
    "gemini": re.compile(r"/v1(beta|alpha)?/models/[^/]+:(generateContent|streamGenerateContent)$"),
}
"""Wire → the end of the path that its requests go to."""


@dataclass(frozen=True)
class Answer:
    """What the server says to the next request."""

    pieces: Sequence[bytes | float] = ()
    """The body, one HTTP chunk each; a number is a pause in seconds."""
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    end: Literal["whole", "cut", "open"] = "whole"
    """`cut` closes the connection before the body is over; `open` leaves it open until the client goes."""
    beat: bytes = b""
    """What an open body goes on saying, again and again."""
    every: float = 0.05
    """Seconds between beats."""
    chunked: bool = True
    """False: with a length instead, as bodies that are no streams have it."""


@dataclass
class Seen:
    """One request as it came, and what became of the answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    """Its JSON."""
    sent: int = 0
    """Bytes of the answer's body that went out."""
    left: Event = field(default_factory=Event)
    """Set when the client went before the answer was whole."""


def whole(body: bytes) -> list[bytes]:
    """One piece."""
    return [body]


def events(body: bytes) -> list[bytes]:
    """As providers send it: an event of the stream a piece."""
    return re.findall(rb".*?(?:\r?\n\r?\n|$)", body, re.DOTALL)[:-1]


def single(body: bytes) -> list[bytes]:
    """One byte a piece."""
    return [body[place : place + 1] for place in range(len(body))]


def ragged(body: bytes) -> list[bytes]:
    """Pieces that end inside characters, lines and events; the same for the same body."""
    dice, place, found = random.Random(len(body)), 0, []
    while place < len(body):
        length = dice.choice((1, 2, 3, 7, 61, 509, 4093))
        found.append(body[place : place + length])
        place += length
    return found


def halves(body: bytes) -> list[bytes]:
    """Cut inside every character that is more than one byte long, and before every line break."""
    return [piece for piece in re.split(rb"(?<=[\xc2-\xf4])(?=[\x80-\xbf])|(?=\n)", body) if piece]


class ReplayServer:
    """One server for many tests: each plays its answers at a mount of its own, one after the other."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Seen]] = {}
        self.port = 0
        self._answers: dict[str, list[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def play(self, mount: str, *answers: Answer) -> list[Seen]:
        """From now on these answers at this mount; gives the list to which its requests are added.

        A request after the last answer gets 500, and is seen too.
        """
        self._answers[mount] = list(answers)
        self.seen[mount] = []
        return self.seen[mount]

    def url(self, mount: str) -> str:
        """Base URL of a mount, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}/{mount}"

    async def listen(self) -> asyncio.Server:
        """Begin to listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (seen := await _request(reader)) is not None:
                if not await _answer(self._next(seen), seen, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went, or the test is over
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    def _next(self, seen: Seen) -> Answer:
        mount = seen.path.split("/")[1]
        if mount not in self._answers:
            return _refusal(404, f"nobody plays at {mount}")
        self.seen[mount].append(seen)
        wire = mount.split("-")[0]
        if not ROUTES[wire].search(seen.path.partition("?")[0]):
            return _refusal(404, f"no route of {wire}: {seen.path}")
        return self._answers[mount].pop(0) if self._answers[mount] else _refusal(500, "more requests than answers")

    async def stop(self) -> None:
        """Break off whatever is still going on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextmanager
def serving() -> Iterator[ReplayServer]:
    """A server in a thread of its own while the block lasts."""
    server, ready, loop = ReplayServer(), Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def main() -> None:
        async with await server.listen():
            ready.set()
            await over.wait()
            await server.stop()

    thread = Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    try:
        assert ready.wait(5)
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(5)
        loop.close()


async def _request(reader: asyncio.StreamReader) -> Seen | None:
    """The next request on a connection; None when there is none."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, path, headers, json.loads(body) if body else None)


async def _answer(answer: Answer, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Say it; whether the connection can be used again."""
    writer.write(_head(answer))
    for piece in _going_on(answer):
        if isinstance(piece, float):
            await writer.drain()
            await asyncio.sleep(piece)
        elif piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
            seen.sent += len(piece)
        if reader.at_eof() or writer.transport.is_closing():
            seen.left.set()
            return False
    if answer.end == "whole" and answer.chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    if answer.end == "cut":
        writer.close()
        await writer.wait_closed()
    return answer.end == "whole"


def _going_on(answer: Answer) -> Iterator[bytes | float]:
    yield from answer.pieces
    while answer.end == "open":
        yield answer.beat
        yield answer.every


def _head(answer: Answer) -> bytes:
    size = sum(len(piece) for piece in answer.pieces if isinstance(piece, bytes))
    if answer.chunked:
        framing = ("transfer-encoding", "chunked")
    else:  # what is cut off had promised more
        framing = ("content-length", str(size + 100 if answer.end == "cut" else size))
    lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {value}" for name, value in (*answer.headers, framing))]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _refusal(status: int, text: str) -> Answer:
    return Answer([json.dumps({"error": {"message": text}}).encode()], status, [("content-type", "application/json")])
