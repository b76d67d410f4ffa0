"""Requests to another tachograph server, and what came of them.

Whatever can go wrong is one of three things: the server cannot be reached or has no time (try again later), it refuses
what was sent (trying again will not help), or events would leave a gap. Each request may be repeated: what it does is
done once, however often it arrives.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx2
import msgspec
from msgspec import Struct

from tachograph.errors import SequenceGap, StoreError, StoreRefused, StoreUnavailable
from tachograph.version import VERSION

JSON = "application/json"
TOKEN_HEADER = "X-Tachograph-Token"  # noqa: S105 - a header's name
_TIMEOUT = httpx2.Timeout(30, connect=5)
"""Seconds. A server whose writers queue answers within ten."""
_KEEP_SECONDS = 4
"""How long an idle connection is kept: a little shorter than servers do, so that none is found closed."""
_PATIENCE = 60.0
"""Most seconds that a server's Retry-After is heeded."""
_LATER = frozenset({408, 425, 429})
"""Statuses below 500 that ask to try again."""

AnswerT = TypeVar("AnswerT")


class Problem(Struct, frozen=True):
    """What of a problem body (RFC 9457) is told here."""

    type: str = ""
    detail: str = ""
    facts: Mapping[str, Any] = {}


class Token(Struct, frozen=True):
    """What a server on this machine asks of a change that comes without a key."""

    token: str


class Exchange:
    """One server and the way in. Safe for threads; a forked child makes connections of its own."""

    def __init__(self, url: str, key: str, *, direct: bool = False) -> None:
        """`url` without a trailing slash; `direct` goes past any proxy of the environment, as to this machine."""
        self.url, self._key, self._direct = url, key, direct
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None
        self._token = ""
        self._not_before = 0.0

    def get(self, path: str, kind: type[AnswerT]) -> AnswerT:
        """What is at a path. Raises StoreUnavailable, StoreRefused."""
        return self._ask("GET", path, kind)

    def post(
        self,
        path: str,
        body: bytes,
        kind: type[AnswerT],
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AnswerT:
        """The answer to what is sent. Raises StoreUnavailable, StoreRefused, SequenceGap."""
        return self._ask(
            "POST", path, kind, content=body, params=query, headers={"Content-Type": JSON, **(headers or {})}
        )

    def close(self) -> None:
        """Let go of connections. Safe to call twice."""
        client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()

    # ---- one request ------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, kind: type[AnswerT], **request: Any) -> AnswerT:
        if (wait := self._not_before - time.monotonic()) > 0:
            raise StoreUnavailable(self.url, f"it asked to be left alone for another {wait:.0f} s")
        answer = self._authorised(method, path, request)
        if answer.status_code == 403 and self._token and not self._key:
            self._token = ""  # the server was started again and has another
            answer = self._authorised(method, path, request)
        if not answer.is_success:
            raise self._failure(answer)
        return self._decoded(answer, kind)

    def _authorised(self, method: str, path: str, request: Mapping[str, Any]) -> httpx2.Response:
        headers = dict(request.get("headers") or {})
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        else:
            headers[TOKEN_HEADER] = self._token = self._token or self._fetch_token()
        return self._sent(method, path, {**request, "headers": headers})

    def _fetch_token(self) -> str:
        answer = self._sent("GET", "/api/token", {})
        if not answer.is_success:
            raise self._failure(answer)
        return self._decoded(answer, Token).token

    def _sent(self, method: str, path: str, request: Mapping[str, Any]) -> httpx2.Response:
        try:
            try:
                return self._connected().request(method, self.url + path, **request)
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                # Most likely a kept connection that the server has closed meanwhile: a fresh one will tell.
                return self._connected().request(method, self.url + path, **request)
        except httpx2.InvalidURL as problem:
            raise StoreRefused(self.url, 0, "invalid-url", str(problem)) from None
        except httpx2.RequestError as problem:
            raise StoreUnavailable(self.url, str(problem) or type(problem).__name__) from problem

    def _connected(self) -> httpx2.Client:
        if self._pid != os.getpid():  # the parent's connections are left to it, whoever held the lock there
            self._pid, self._lock, self._client = os.getpid(), threading.Lock(), None
        with self._lock:
            if self._client is None:
                self._client = httpx2.Client(
                    headers={"User-Agent": f"tachograph/{VERSION}"},
                    timeout=_TIMEOUT,
                    limits=httpx2.Limits(keepalive_expiry=_KEEP_SECONDS),
                    trust_env=not self._direct,
                    verify=ssl.create_default_context(),  # SSL_CERT_FILE may name a private authority, near or far
                )
            return self._client

    # ---- answers ----------------------------------------------------------------------------------------------------

    def _decoded(self, answer: httpx2.Response, kind: type[AnswerT]) -> AnswerT:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as problem:
            detail = f"the answer is none of a tachograph server: {problem}"
            raise StoreRefused(self.url, answer.status_code, "not-understood", detail) from None

    def _failure(self, answer: httpx2.Response) -> StoreError:
        status = answer.status_code
        problem = _problem(answer)
        kind = problem.type.rpartition(":")[2] or "about:blank"
        if status >= 500 or status in _LATER:
            self._not_before = time.monotonic() + _retry_after(answer)
            return StoreUnavailable(self.url, f"{status} {problem.detail}".strip())
        if answer.is_redirect:
            detail = f"it moved to {answer.headers.get('location', 'another place')}; name that as the store"
            return StoreRefused(self.url, status, "moved", detail)
        if kind == "sequence-gap":
            facts = problem.facts
            return SequenceGap(str(facts["run"]), int(facts["expected"]), int(facts["found"]))
        return StoreRefused(self.url, status, kind, problem.detail or answer.reason_phrase)


def _problem(answer: httpx2.Response) -> Problem:
    try:
        return msgspec.json.decode(answer.content, type=Problem)
    except msgspec.MsgspecError:
        return Problem()


def _retry_after(answer: httpx2.Response) -> float:
    """Seconds that the server wants to be left alone. A date is not worth a clock: the next try comes soon enough."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), _PATIENCE) if text.isdecimal() else 0.0
