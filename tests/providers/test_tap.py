"""The tap on the wire: what it writes down, what it leaves out, and that it holds nothing back."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.providers import tap
from tachograph.providers.port import Exchange, Rate
from tachograph.providers.tap import Collector, Repeated, Tap, collecting, rates, retry_after
from tachograph.record.clock import Clock

pytestmark = pytest.mark.anyio

NOW = 1_763_000_000_000_000_000
"""2025-11-13T02:13:20Z"""


@pytest.fixture
def anyio_backend() -> str:
    """The tap lives on asyncio."""
    return "asyncio"


class Pieces(httpx2.AsyncByteStream):
    """A body in pieces; an exception among them is raised."""

    def __init__(self, pieces: Sequence[bytes | Exception]) -> None:
        self.pieces, self.given, self.closed = pieces, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Piece by piece."""
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            self.given += 1
            yield piece

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed = True


class Wire(httpx2.AsyncBaseTransport):
    """A provider without a network."""

    def __init__(self, *pieces: bytes | Exception, status: int = 200, headers: Any = ()) -> None:
        self.body, self.status, self.headers = Pieces(pieces), status, list(headers)
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer, always the same."""
        self.requests.append(request)
        return httpx2.Response(self.status, headers=self.headers, stream=self.body)


def ticking(step: int = 5) -> Clock:
    """A clock that goes on by some nanoseconds with each look."""
    state = [0]

    def mono() -> int:
        state[0] += step
        return state[0]

    return Clock(lambda: NOW, mono, bytes)


async def fetch(wire: Wire, collector: Collector, url: str = "https://u:p@api.test:8443/v1/x?key=SECRET#f") -> bytes:
    """One POST through the tap."""
    async with httpx2.AsyncClient(transport=Tap(wire, collector.clock)) as client:
        with collecting(collector):
            response = await client.post(url, json={"a": {"b": 1}}, headers={"authorization": "Bearer SECRET"})
        return response.content


async def test_an_attempt_is_noted_whole_and_without_a_secret() -> None:
    """Status, id, harmless headers, rates, bytes and times are kept; key, query, cookie and account are not."""
    headers = [
        ("x-request-id", "req_1"), ("set-cookie", "SECRET"), ("openai-organization", "SECRET"), ("retry-after", "3"),
        ("x-ratelimit-limit-requests", "60"), ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"), ("openai-processing-ms", "12"),
    ]  # fmt: skip
    collector = Collector(ticking())
    assert await fetch(Wire(b"ab", b"cde", headers=headers), collector) == b"abcde"
    [exchange] = collector.exchanges
    assert exchange == Exchange(
        method="POST",
        url="https://api.test:8443/v1/x",
        status=200,
        request_id="req_1",
        headers={
            "x-request-id": "req_1", "retry-after": "3", "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s", "openai-processing-ms": "12",
        },
        rates=(Rate("requests", 60, 59, 1.0),),
        retry_after=3.0,
        sent=13,
        received=5,
        first_byte_ns=5,
        duration_ns=10,
    )  # fmt: skip
    assert "SECRET" not in repr(collector.exchanges)
    assert collector.last is not None
    assert collector.last.content() == b"abcde"


async def test_a_piece_is_passed_on_before_the_next_is_asked_for() -> None:
    """The tap holds nothing back."""
    wire, collector = Wire(b"one", b"two"), Collector()
    async with httpx2.AsyncClient(transport=Tap(wire)) as client:
        with collecting(collector):
            request = client.build_request("POST", "https://api.test/")
            response = await client.send(request, stream=True)
        pieces = response.aiter_raw()
        assert (await anext(pieces), wire.body.given, collector.exchanges[0].received) == (b"one", 1, 3)
        await response.aclose()
    assert wire.body.closed


async def test_what_breaks_off_is_named() -> None:
    """The class of the error stands in the exchange, and the error passes."""
    collector = Collector()
    with pytest.raises(httpx2.ReadError):
        await fetch(Wire(b"ab", httpx2.ReadError("gone")), collector)
    [exchange] = collector.exchanges
    assert (exchange.status, exchange.received, exchange.error) == (200, 2, "ReadError")


async def test_a_request_that_gets_no_answer_is_an_attempt_too() -> None:
    """No status, but the error and the time it took."""

    class Refusing(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("nobody", request=request)

    collector = Collector(ticking())
    async with httpx2.AsyncClient(transport=Tap(Refusing(), collector.clock)) as client:
        with collecting(collector), pytest.raises(httpx2.ConnectError):
            await client.get("https://api.test/")
    [exchange] = collector.exchanges
    assert (exchange.status, exchange.error, exchange.duration_ns) == (None, "ConnectError", 5)


async def test_a_second_attempt_of_one_request_is_refused() -> None:
    """A client that repeats or follows by itself does not get to the wire."""
    wire, collector = Wire(b"x", status=503), Collector()
    await fetch(wire, collector)
    with pytest.raises(Repeated, match=r"POST https://api\.test:8443/v1/x was sent already"):
        await fetch(wire, collector)
    assert len(wire.requests) == 1


async def test_without_a_collector_nothing_is_noted() -> None:
    """A request that nobody collects goes through as it is."""
    wire = Wire(b"x")
    async with httpx2.AsyncClient(transport=Tap(wire)) as client:
        assert (await client.get("https://api.test/")).content == b"x"


async def test_connecting_has_a_bound_of_its_own() -> None:
    """However long a request may take, connecting may not; the time to read stays."""
    wire = Wire(b"x")
    async with httpx2.AsyncClient(transport=Tap(wire), timeout=300) as client:
        await client.get("https://api.test/")
    expected = {"connect": tap.CONNECT_SECONDS, "read": 300, "write": 300, "pool": tap.CONNECT_SECONDS}
    assert wire.requests[0].extensions["timeout"] == expected


async def test_extra_fields_are_merged_into_the_body() -> None:
    """Objects are merged, other values replaced, and the length is right."""
    wire = Wire(b"x")
    await fetch(wire, Collector(extra={"a": {"c": 2}, "d": [3]}))
    sent = wire.requests[0]
    assert json.loads(sent.content) == {"a": {"b": 1, "c": 2}, "d": [3]}
    assert int(sent.headers["content-length"]) == len(sent.content)


async def test_a_packed_body_is_unpacked_for_reading() -> None:
    """The body is kept as it came; `content` undoes its encoding, of what came of it."""
    packed = gzip.compress(b"hello" * 100)
    collector = Collector()
    assert await fetch(Wire(packed, headers=[("content-encoding", "gzip")]), collector) == b"hello" * 100
    assert collector.last is not None
    assert (collector.last.content(), collector.last.received) == (b"hello" * 100, len(packed))


async def test_a_long_body_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound nothing more is kept, and it is marked."""
    monkeypatch.setattr(tap, "MOST_BODY", 4)
    collector = Collector()
    assert await fetch(Wire(b"abc", b"def", b"g"), collector) == b"abcdefg"
    assert collector.last is not None
    assert (collector.last.whole, collector.last.content(), collector.last.received) == (False, b"abc", 7)


@given(st.data())
def test_comments_are_taken_out_however_a_stream_is_cut(data: st.DataObject) -> None:
    """Without comments and only without them, in pieces of any size."""
    lines = data.draw(st.lists(st.sampled_from([b": keep\n", b"data: a:b\n", b"\n", b":\n", b"data: x\r\n"])))
    body, pieces = b"".join(lines), []
    while body:
        size = data.draw(st.integers(1, len(body)))
        pieces.append(body[:size])
        body = body[size:]
    sieve = tap._Uncommented()
    assert b"".join(map(sieve.passed, pieces)) == b"".join(line for line in lines if not line.startswith(b":"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 13 Nov 2025 02:13:30 GMT"}, 10.0),
        ({"retry-after": "Thu, 13 Nov 2025 02:13:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
    ids=["seconds", "a part", "milliseconds first", "date", "past", "words", "below zero", "none"],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds or a date, in seconds from now."""
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "10", "x-ratelimit-reset-tokens": "6m0s"},
         (Rate("tokens", 1000, 10, 360.0),)),
        ({"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
          "anthropic-ratelimit-requests-reset": "2025-11-13T02:14:20Z", "anthropic-ratelimit-tokens-remaining": "5"},
         (Rate("requests", 50, 49, 60.0), Rate("tokens", None, 5, None))),
        ({"x-ratelimit-reset-requests": "7.66s", "x-ratelimit-remaining-requests": "1"},
         (Rate("requests", None, 1, 7.66),)),
        ({"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1763000060000"},
         (Rate("requests", 20, 0, 60.0),)),
        ({"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "58"},
         (Rate("requests", 60, 58, None),)),
        ({"x-ratelimit-reset-tokens": "12ms"}, (Rate("tokens", None, None, 0.012),)),
        ({"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "later"}, (Rate("requests"),)),
        ({}, ()),
    ],
    ids=["openai", "anthropic", "groq", "openrouter", "mistral", "milliseconds", "words", "none"],
)  # fmt: skip
def test_rate_limits_in_every_spelling(headers: dict[str, str], expected: tuple[Rate, ...]) -> None:
    """Limit, what is left, and seconds until it is whole, as each provider writes them."""
    assert rates(headers, NOW) == expected


@given(st.dictionaries(st.sampled_from(["retry-after", "x-ratelimit-reset-tokens", "x-ratelimit-limit"]), st.text()))
def test_no_header_breaks_the_reading(headers: dict[str, str]) -> None:
    """Whatever a provider writes, reading it ends, with figures that are not below zero."""
    waiting = retry_after(headers, NOW)
    assert waiting is None or waiting >= 0
    for rate in rates(headers, NOW):
        assert all(figure is None or figure >= 0 for figure in (rate.limit, rate.remaining, rate.reset))
