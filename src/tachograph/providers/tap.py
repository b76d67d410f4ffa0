"""The tap on the wire: an HTTP transport that notes each attempt of a request, and hands it on untouched.

Whoever sends a request opens a `Collector` and calls the client inside `collecting(...)`; the transport finds it there
and writes down what it saw: status, ids, rate limits, bytes, timing, and the body up to a bound. Of headers only those
of a closed list are kept, of the URL only scheme, host and path: no secret can get in. A piece of a stream is passed on
before anything else is done with it.

One request is one attempt. A client that repeats a request by itself would spend what nobody admitted, so a second
attempt is refused; so is a redirect, behind which the key would go to another host.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import msgspec

from tachograph.providers.port import Exchange, Rate
from tachograph.record.clock import SYSTEM, Clock

CONNECT_SECONDS = 10.0
"""Most that opening a connection, or waiting for a free one, may take, whatever the request may."""
MOST_BODY = 8 * 1024 * 1024
"""Bytes of a body that are kept for reading usage; what is above is counted and passed on, not kept."""

KEPT_HEADERS = re.compile(
    r"(?:anthropic-|x-)?ratelimit-[a-z-]+|retry-after(?:-ms)?|x-should-retry|server-timing|content-type"
    r"|(?:openai-|x-)processing-ms|x-envoy-upstream-service-time|x-request-id|request-id|x-amzn-requestid"
    r"|x-goog-request-id|apim-request-id|cf-ray"
)
"""Names of response headers that are kept: rate limits, waiting times, ids. Everything else may hold a secret."""
_REQUEST_IDS = ("request-id", "x-request-id", "x-amzn-requestid", "apim-request-id", "x-goog-request-id", "cf-ray")
_RATES = re.compile(
    r"(?:anthropic-|x-)?ratelimit-(?:(?P<field>limit|remaining|reset)-(?P<kind>requests|req|tokens)(?:-minute)?"
    r"|(?P<kind2>requests|tokens)-(?P<field2>limit|remaining|reset))"
)
_PLAIN_RATES = re.compile(r"x-ratelimit-(?P<field>limit|remaining|reset)")
_SPAN = re.compile(r"(?P<amount>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Repeated(httpx2.TransportError):
    """A client tried to send a request a second time by itself."""


@dataclass
class Attempt:
    """One HTTP attempt while it goes on."""

    method: str
    url: str
    sent: int
    started: int
    """Nanoseconds of the monotonic clock, like the two below."""
    ended: int | None = None
    first_byte: int | None = None
    status: int | None = None
    headers: httpx2.Headers | None = None
    received: int = 0
    error: str = ""
    body: list[bytes] = field(default_factory=list)
    whole: bool = True
    """Whether `body` holds everything received."""

    def content(self) -> bytes:
        """The body as far as it was kept, without its content encoding. Empty when it cannot be decoded."""
        raw = b"".join(self.body)
        if self.headers is None or not self.headers.get("content-encoding"):
            return raw
        try:
            return httpx2.Response(
                200, headers={"content-encoding": self.headers["content-encoding"]}, content=raw
            ).content
        except httpx2.DecodingError:
            return b""

    def exchange(self, mono: int, now: int) -> Exchange:
        """What is recorded of it; `mono` and `now` are read from the clock."""
        headers: Mapping[str, str] = {} if self.headers is None else self.headers
        return Exchange(
            method=self.method,
            url=self.url,
            status=self.status,
            request_id=next((headers[name] for name in _REQUEST_IDS if name in headers), None),
            headers={name: value for name, value in headers.items() if KEPT_HEADERS.fullmatch(name)},
            rates=rates(headers, now),
            retry_after=retry_after(headers, now),
            sent=self.sent,
            received=self.received,
            first_byte_ns=None if self.first_byte is None else self.first_byte - self.started,
            duration_ns=(mono if self.ended is None else self.ended) - self.started,
            error=self.error,
        )


@dataclass
class Collector:
    """The attempts of one request, and what the transport shall add to its body."""

    clock: Clock = SYSTEM
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the JSON body, objects merged: what a client library has no way to send."""
    uncommented: bool = False
    """Whether comments in a stream of events are kept from the client: Google's takes them for data and fails."""
    secret: str = field(default="", repr=False)
    """The key: it shall not occur in what is said about a failure."""
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What was seen so far."""
        mono, now = self.clock.mono(), self.clock.now()
        return tuple(attempt.exchange(mono, now) for attempt in self.attempts)

    @property
    def last(self) -> Attempt | None:
        """The attempt that brought the reply."""
        return self.attempts[-1] if self.attempts else None


_current: ContextVar[Collector | None] = ContextVar("tachograph_exchanges", default=None)


@contextmanager
def collecting(collector: Collector) -> Iterator[Collector]:
    """Requests sent inside are noted in `collector`; a stream goes on being noted after the block."""
    token = _current.set(collector)
    try:
        yield collector
    finally:
        _current.reset(token)


class Tap(httpx2.AsyncBaseTransport):
    """A transport around another."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, clock: Clock = SYSTEM) -> None:
        self._inner, self._clock = inner, clock

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, noting it when somebody collects."""
        _hasten(request)
        collector = _current.get()
        if collector is None:
            return await self._inner.handle_async_request(request)
        if collector.attempts:
            raise Repeated(f"{request.method} {bare(request.url)} was sent already", request=request)
        if collector.extra:
            request = _with_extra(request, collector.extra)
        attempt = Attempt(request.method, bare(request.url), _length(request), self._clock.mono())
        collector.attempts.append(attempt)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            attempt.error, attempt.ended = type(error).__name__, self._clock.mono()
            raise
        attempt.status, attempt.headers, attempt.first_byte = response.status_code, response.headers, self._clock.mono()
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        plain = response.headers.get("content-type", "").startswith("text/event-stream") and not _is_packed(response)
        response.stream = _Noted(
            stream, attempt, self._clock.mono, _Uncommented() if collector.uncommented and plain else None
        )
        return response

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


class _Noted(httpx2.AsyncByteStream):
    """A response's body on its way through."""

    def __init__(
        self, inner: httpx2.AsyncByteStream, attempt: Attempt, mono: Callable[[], int], comments: _Uncommented | None
    ) -> None:
        self._inner, self._attempt, self._mono, self._comments = inner, attempt, mono, comments

    async def __aiter__(self) -> AsyncIterator[bytes]:
        attempt = self._attempt
        try:
            async for chunk in self._inner:
                attempt.whole = attempt.whole and attempt.received + len(chunk) <= MOST_BODY
                attempt.received += len(chunk)
                if attempt.whole:
                    attempt.body.append(chunk)
                if self._comments is None:
                    yield chunk
                elif passed := self._comments.passed(chunk):
                    yield passed
        except BaseException as error:
            attempt.error = "" if isinstance(error, GeneratorExit) else type(error).__name__
            raise
        finally:
            attempt.ended = self._mono()

    async def aclose(self) -> None:
        if self._attempt.ended is None:
            self._attempt.ended = self._mono()
        await self._inner.aclose()


class _Uncommented:
    """Takes the comments (lines that begin with a colon) out of a stream of events, without holding anything back."""

    def __init__(self) -> None:
        self._begins, self._inside = True, False

    def passed(self, chunk: bytes) -> bytes:
        """What is left of a chunk."""
        kept = []
        for line in chunk.splitlines(keepends=True):
            self._inside = line.startswith(b":") if self._begins else self._inside
            self._begins = line.endswith((b"\n", b"\r"))
            if not self._inside:
                kept.append(line)
        return b"".join(kept)


def bare(url: httpx2.URL) -> str:
    """A URL without query, fragment and credentials."""
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}{url.path}"


def retry_after(headers: Mapping[str, str], now: int) -> float | None:
    """Seconds that a response asks to wait: `retry-after-ms`, seconds, or an HTTP date. None when it does not say."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        if (number := _number(value)) is not None:
            return number * scale
        if name == "retry-after" and (date := _date(value)) is not None:
            return max(0.0, date - now / 1e9)
    return None


def rates(headers: Mapping[str, str], now: int) -> tuple[Rate, ...]:
    """What the headers say of rate limits, in the spellings of OpenAI, Anthropic, Groq, Mistral, OpenRouter."""
    found: dict[str, dict[str, str]] = {}
    for name in headers:
        if (match := _RATES.fullmatch(name)) is not None:
            kind = match["kind"] or match["kind2"]
            found.setdefault("requests" if kind == "req" else kind, {})[match["field"] or match["field2"]] = headers[
                name
            ]
        elif (match := _PLAIN_RATES.fullmatch(name)) is not None:
            found.setdefault("requests", {}).setdefault(match["field"], headers[name])
    return tuple(
        Rate(
            "tokens" if kind == "tokens" else "requests",
            _whole(values.get("limit")),
            _whole(values.get("remaining")),
            _until(values.get("reset"), now),
        )
        for kind, values in sorted(found.items())
    )


def _hasten(request: httpx2.Request) -> None:
    """Connecting shall fail soon, also in a request that may take minutes."""
    timeout = dict(request.extensions.get("timeout") or {})
    for phase in ("connect", "pool"):
        given = timeout.get(phase)
        timeout[phase] = CONNECT_SECONDS if given is None else min(given, CONNECT_SECONDS)
    request.extensions = {**request.extensions, "timeout": timeout}


def _with_extra(request: httpx2.Request, extra: Mapping[str, Any]) -> httpx2.Request:
    body = msgspec.json.encode(_merged(msgspec.json.decode(request.content), extra))
    headers = httpx2.Headers([pair for pair in request.headers.raw if pair[0].lower() != b"content-length"])
    return httpx2.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)


def _merged(body: Any, extra: Any) -> Any:
    if not isinstance(body, dict) or not isinstance(extra, Mapping):
        return extra
    return {**body, **{key: _merged(body.get(key), value) for key, value in extra.items()}}


def _length(request: httpx2.Request) -> int:
    return _whole(request.headers.get("content-length")) or 0


def _is_packed(response: httpx2.Response) -> bool:
    return response.headers.get("content-encoding", "identity") != "identity"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def _whole(text: str | None) -> int | None:
    number = None if text is None else _number(text)
    return None if number is None else int(number)


def _date(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _until(text: str | None, now: int) -> float | None:
    """Seconds until a limit is whole: `6m0s`, `12ms`, seconds, a time of day (ISO), or a Unix time."""
    if text is None:
        return None
    if (number := _number(text)) is not None or text.isdigit():
        number = float(text) if number is None else number
        number = number / 1000 if number > 1e11 else number  # Unix milliseconds
        return max(0.0, number - now / 1e9) if number > 1e8 else number
    if _SPAN.sub("", text) == "" and text:
        return sum(float(match["amount"]) * _SECONDS[match["unit"]] for match in _SPAN.finditer(text))
    try:
        return max(0.0, msgspec.convert(text, type=datetime).timestamp() - now / 1e9)
    except msgspec.ValidationError:
        return None
