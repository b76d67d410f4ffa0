from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message

from tachograph.errors import StoreUnavailable
from tachograph.server import stream as stream_module
from tachograph.server.chapters import Facts, Place
from tachograph.server.live import MOST_READERS, Follower, Live, Reader
from tachograph.server.stream import Stream, Wanted
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Batch
from tests.server.following import Parser
from tests.server.test_chapters import notes

LOCAL = Follower("local", lambda: True, MOST_READERS)


class Browser:
    """The other end of a connection: takes what is sent, as slowly as it likes, and leaves when it likes."""

    def __init__(self, method: str = "GET", pause: float = 0.0, enough: int = 10**9) -> None:
        self.scope = {"type": "http", "method": method, "path": "/api/live", "headers": []}
        self.pause, self.enough = pause, enough
        self.start: Message = {}
        self.sent: list[bytes] = []
        self.ended = False
        self._left = asyncio.Event()

    async def send(self, message: Message) -> None:
        """Take a message of the server."""
        if message["type"] == "http.response.start":
            self.start = message
            return
        await asyncio.sleep(self.pause)
        self.sent.append(message["body"])
        self.ended = not message.get("more_body", False)
        if len(self.sent) >= self.enough:
            self._left.set()

    async def receive(self) -> Message:
        """Say nothing until it leaves."""
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def take(self, stream: Stream) -> Browser:
        """Take everything until one of both leaves."""
        await stream(self.scope, self.receive, self.send)
        return self

    @property
    def text(self) -> str:
        """All that was sent."""
        return b"".join(self.sent).decode()

    @property
    def seqs(self) -> list[int]:
        """The seqs of the events that were sent."""
        return [message.data["seq"] for message in Parser().feed(self.text.split("\n")) if "seq" in message.data]


def run(program: Callable[[], Awaitable[Any]]) -> Any:
    """Run it, within twenty seconds."""

    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await program()

    return asyncio.run(bounded())


def of_run(live: Live, run: str, after: int = -1, *, follow: bool = False) -> Stream:
    """The stream of one run."""
    return Stream(live, Wanted(), LOCAL, run=run, place=Place(after), follow=follow)


def test_headers_keep_everybody_on_the_way_from_holding_it_up() -> None:
    """Nothing is cached, nothing is buffered, and there is no length."""
    live, made = Live(MemoryStore()), notes("one", 2, ended=True)
    live.store.append(Batch(made.events))
    browser = run(lambda: Browser().take(of_run(live, made.run)))
    assert dict(browser.start["headers"]) == {
        b"cache-control": b"no-store",
        b"x-accel-buffering": b"no",
        b"content-type": b"text/event-stream; charset=utf-8",
    }
    assert browser.text.startswith("retry: 1000\n: tachograph\nid: -1\n\nid: 0\nevent: run_started\ndata: {")


def test_a_run_is_told_to_its_end() -> None:
    """Then the answer is over, too."""
    live, made = Live(MemoryStore()), notes("one", 2_000, ended=True)
    live.store.append(Batch(made.events))
    browser = run(lambda: Browser().take(of_run(live, made.run, 7)))
    assert (browser.seqs, browser.ended) == (list(range(8, 2_000)), True)


def test_following_goes_on_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said about a run later is told; signs of life come in between, and only they have no event."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.05)
    live, made = Live(MemoryStore()), notes("one", 3, ended=True)
    live.store.append(Batch(made.events))
    browser = run(lambda: Browser(enough=6).take(of_run(live, made.run, follow=True)))
    assert (browser.seqs, browser.ended, browser.sent[-1]) == ([0, 1, 2], False, b": still here\nid: 2\n\n")


def test_a_run_that_is_erased_ends_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a word about it."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.2)
    live, made = Live(MemoryStore()), notes("one", 3)
    live.store.append(Batch(made.events))

    async def program() -> Browser:
        browser = Browser()
        taking = asyncio.ensure_future(browser.take(of_run(live, made.run)))
        await asyncio.sleep(0.5)
        live.store.erase([made.run], 1)
        return await taking

    browser = run(program)
    assert (browser.seqs, browser.ended) == ([0, 1, 2], True)
    assert browser.text.endswith('id: 2\nevent: gone\ndata: {"cursor":"2"}\n\n')


def test_a_feed_that_has_forgotten_says_so_and_goes_on() -> None:
    """One message with the newest cursor; then what comes after it."""
    live = Live(MemoryStore())
    live.store.append(Batch(notes("one", 3).events))

    async def program() -> Browser:
        browser = Browser(enough=3)
        taking = asyncio.ensure_future(browser.take(Stream(live, Wanted(), LOCAL, run=None, place=Place(9))))
        await asyncio.sleep(0.3)
        live.store.append(Batch(notes("two", 1).events))
        return await taking

    browser = run(program)
    names = [message.event for message in Parser().feed(browser.text.split("\n"))]
    assert names == ["reset", "run_started"]
    assert 'id: 1\nevent: reset\ndata: {"cursor":"1"}\n\nid: 2\n' in browser.text


def test_only_what_is_wanted_is_sent_but_the_place_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filtered stream says with its signs of life how far it is, so that who comes back is not behind."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.05)
    live = Live(MemoryStore())
    for session in ("a", "b", "a"):
        for size in (1, 2):
            live.store.append(Batch(notes(f"run {live.store.head()}", size, session=session).events))
    stream = Stream(live, Wanted(session="b"), LOCAL, run=None, place=Place(0))
    browser = run(lambda: Browser(enough=3).take(stream))
    assert browser.seqs == [0, 0, 1]
    assert browser.sent[-1] == f": still here\nid: {live.store.head()}\n\n".encode()


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        (Wanted(), True), (Wanted(tenant="acme"), True), (Wanted(tenant="other"), False),
        (Wanted(session="s"), True), (Wanted(session="t"), False),
        (Wanted(agent="planner"), True), (Wanted(agent="x"), False), (Wanted(tag="a"), True), (Wanted(tag="c"), False),
        (Wanted("acme", "s", "planner", "b"), True), (Wanted("acme", "s", "planner", "c"), False),
    ],
)  # fmt: skip
def test_all_conditions_must_hold(wanted: Wanted, has: bool) -> None:
    """Tenant, session, agent type and tag, each asked or not."""
    assert wanted.has(Facts("acme", "s", "planner", frozenset({"a", "b"}))) is has


def test_a_slow_reader_is_read_for_no_faster_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it takes its time nothing is read ahead: what is held for it is one chapter."""
    monkeypatch.setattr("tachograph.server.chapters.CHAPTER_EVENTS", 10)
    monkeypatch.setattr(stream_module, "_PIECE_BYTES", 500)
    live, made = Live(MemoryStore()), notes("one", 1_000)
    live.store.append(Batch(made.events))
    read: list[int] = []
    original = Reader.read

    async def counted(self: Reader, place: Place) -> Any:
        read.append(place.at)
        return await original(self, place)

    monkeypatch.setattr(Reader, "read", counted)
    browser = run(lambda: Browser(pause=0.02, enough=15).take(of_run(live, made.run)))
    assert len(browser.seqs) < 60
    assert max(read) <= browser.seqs[-1] + 10


def test_who_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, so that the place in the queue is free again."""
    monkeypatch.setattr(stream_module, "SEND_SECONDS", 0.1)
    live, made = Live(MemoryStore()), notes("one", 3)
    live.store.append(Batch(made.events))
    browser = run(lambda: Browser(pause=30).take(of_run(live, made.run)))
    assert (browser.sent, live.readers) == ([], 0)


def test_a_store_that_does_not_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream stays, says so in comments, and goes on when the store is back."""
    live, made = Live(MemoryStore()), notes("one", 3, ended=True)
    live.store.append(Batch(made.events))
    original, failures = Reader.read, [1, 1]

    async def failing(self: Reader, place: Place) -> Any:
        if failures:
            failures.pop()
            raise StoreUnavailable("memory:", "away")
        return await original(self, place)

    monkeypatch.setattr(Reader, "read", failing)
    browser = run(lambda: Browser().take(of_run(live, made.run)))
    assert (browser.seqs, browser.text.count(": the store does not answer")) == ([0, 1, 2], 2)


def test_a_stream_lasts_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it ends in good order: whoever comes back has to show the key again."""
    monkeypatch.setattr(stream_module, "STREAM_SECONDS", 0.2)
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.1)
    live, made = Live(MemoryStore()), notes("one", 3)
    live.store.append(Batch(made.events))
    browser = run(lambda: Browser().take(of_run(live, made.run)))
    assert (browser.seqs, browser.ended, live.readers) == ([0, 1, 2], True, 0)


@pytest.mark.parametrize("flowing", [False, True])
def test_who_may_not_read_any_more_is_told_nothing_more(monkeypatch: pytest.MonkeyPatch, flowing: bool) -> None:
    """The stream ends at the next sign of life, whether nothing happens or a slow reader has much still to come."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.2)
    monkeypatch.setattr(stream_module, "_PIECE_BYTES", 500)
    live, made = Live(MemoryStore()), notes("one", 400 if flowing else 3)
    live.store.append(Batch(made.events))
    answers = [True, False]
    stream = Stream(live, Wanted(), Follower("key", lambda: answers.pop(0)), run=made.run, place=Place(-1))
    browser = run(lambda: Browser(pause=0.05 if flowing else 0).take(stream))
    assert (answers, browser.ended, live.readers) == ([], True, 0)
    assert 0 < len(browser.seqs) < 100
    assert browser.seqs == list(range(len(browser.seqs)))


def test_while_nobody_can_say_who_may_read_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer for a moment ends no stream, and lets no event through."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.1)
    live, made = Live(MemoryStore()), notes("one", 4, ended=True)
    live.store.append(Batch(made.events[:2]))
    asked: list[int] = []

    def may_read() -> bool:
        asked.append(1)
        if len(asked) == 1:
            live.store.append(Batch(made.events[2:]))
            raise StoreUnavailable("memory:", "away")
        return True

    browser = run(
        lambda: Browser().take(Stream(live, Wanted(), Follower("key", may_read), run=made.run, place=Place(-1)))
    )
    told = browser.text.partition(": the store does not answer")
    assert ("run_ended" in told[0], "run_ended" in told[2], browser.ended) == (False, True, True)


def test_a_busy_stream_shows_signs_of_life_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything that happens is filtered out, the place moves on all the same."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_SECONDS", 0.3)
    live = Live(MemoryStore())

    async def program() -> Browser:
        browser = Browser(enough=2)
        stream = Stream(live, Wanted(session="none"), LOCAL, run=None, place=Place(0))
        taking = asyncio.ensure_future(browser.take(stream))
        while not taking.done():
            live.store.append(Batch(notes(f"run {live.store.head()}", 1).events))
            live.wake()
            await asyncio.sleep(0.02)
        return await taking

    assert run(program).sent[-1].startswith(b": still here\nid: ")


def test_a_head_request_gets_the_head() -> None:
    """And does not wait for events."""
    live, made = Live(MemoryStore()), notes("one", 1)
    live.store.append(Batch(made.events))
    browser = run(lambda: Browser("HEAD").take(of_run(live, made.run)))
    assert (browser.start["status"], browser.text, browser.ended, live.readers) == (200, "", True, 0)


def test_a_full_server_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a problem, not as a stream."""
    monkeypatch.setattr("tachograph.server.live.MOST_READERS", 0)
    browser = run(lambda: Browser().take(of_run(Live(MemoryStore()), "any")))
    assert (browser.start["status"], dict(browser.start["headers"])[b"retry-after"]) == (503, b"5")
    assert "too-many-streams" in browser.text
