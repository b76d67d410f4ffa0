"""How a request to a model fails: from what was seen of the failure to one of the categories of `ModelError`.

| What happened | Category | Safe to repeat |
| --- | --- | --- |
| 401, 403 | auth | yes |
| 402, 429 | rate_limit (`code` tells an exhausted quota from a pause) | yes |
| 408 | timeout | yes |
| 409, 425, 503, 529 | overloaded | yes |
| 400, 413 and others that say that the context is full | context_overflow | yes |
| other 4xx | invalid_request | yes |
| other 5xx | server_error | yes |
| no connection | network | yes |
| cut off, or ended without saying so | network | no |
| no piece in time, or all too late | timeout | no |
| an error inside an open stream | as its status | only before any content |
| a reply that is none of its kind | server_error | no |

Safe means: nothing was sent, or the provider refused it before it said anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tachograph.errors import ModelError
from tachograph.providers.config import ModelConfig
from tachograph.providers.port import Reply
from tachograph.providers.tap import Collector

_STATUS: Mapping[int, str] = {
    401: "auth", 402: "rate_limit", 403: "auth", 408: "timeout", 409: "overloaded", 425: "overloaded",
    429: "rate_limit", 503: "overloaded", 529: "overloaded",
}  # fmt: skip
_WORDS: Mapping[str, str] = {
    "authentication_error": "auth", "permission_error": "auth", "invalid_api_key": "auth", "UNAUTHENTICATED": "auth",
    "PERMISSION_DENIED": "auth", "rate_limit_error": "rate_limit", "rate_limit_exceeded": "rate_limit",
    "RESOURCE_EXHAUSTED": "rate_limit", "insufficient_quota": "rate_limit", "billing_error": "rate_limit",
    "overloaded_error": "overloaded", "UNAVAILABLE": "overloaded", "server_overloaded": "overloaded",
    "slow_down": "overloaded", "api_error": "server_error", "server_error": "server_error", "INTERNAL": "server_error",
    "timeout_error": "timeout", "DEADLINE_EXCEEDED": "timeout", "context_length_exceeded": "context_overflow",
    "model_context_window_exceeded": "context_overflow", "too_many_prompt_tokens": "context_overflow",
    "invalid_request_error": "invalid_request",
    "not_found_error": "invalid_request", "INVALID_ARGUMENT": "invalid_request", "NOT_FOUND": "invalid_request",
}  # fmt: skip
"""What providers call an error → category; for errors that come without a status, inside a stream."""
_FULL = re.compile(
    r"context[ _](?:length|window)|maximum context|prompt is too long|too many (?:input )?tokens|token limit"
    r"|exceeds? the (?:maximum|max)[a-z ]*tokens|input (?:is )?too long|reduce the length",
    re.IGNORECASE,
)
_MOST_TEXT = 2000


@dataclass(frozen=True)
class Refusal:
    """What a provider says when it does not answer."""

    status: int | None = None
    code: str = ""
    kind: str = ""
    """Its error type, where that is another word than the code."""
    message: str = ""


def category(refusal: Refusal) -> str:
    """The category of a refusal."""
    words = [word for word in (refusal.code, refusal.kind) if word]
    told = next((found for word in words if (found := _WORDS.get(word))), None)
    if told == "context_overflow" or (_may_be_full(refusal) and _FULL.search(refusal.message)):
        return "context_overflow"
    if refusal.status is None:
        return told or "server_error"
    if refusal.status in _STATUS:
        return _STATUS[refusal.status]
    if refusal.status >= 500:
        return "server_error"
    if refusal.status == 400 and told in ("auth", "rate_limit"):  # a bad key (Gemini), no credit left (Anthropic)
        return told
    return "invalid_request"


def told(body: Any, status: int | None = None) -> Refusal:
    """What an error's body says: OpenAI's, Anthropic's and Gemini's shapes, and those that resemble them."""
    error: Any = body
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, Mapping) and isinstance(error.get("response"), Mapping):
        error = error["response"]
    if isinstance(error, Mapping) and isinstance(error.get("error"), (Mapping, str)):
        error = error["error"]
    if isinstance(error, str):
        return Refusal(status, message=error[:_MOST_TEXT])
    if not isinstance(error, Mapping):
        return Refusal(status)
    code, kind = error.get("code"), error.get("type") or error.get("status")
    if status is None and isinstance(code, int) and 400 <= code < 600:
        status = code
    message = error.get("message") or error.get("detail") or ""
    return Refusal(status, _word(code), _word(kind), str(message)[:_MOST_TEXT])


def failure(error: BaseException, config: ModelConfig, collector: Collector, partial: Reply | None) -> ModelError:
    """The `ModelError` of whatever a request ended with, but for cancellation.

    Errors of the library are known by the names of their classes, so that reading them does not load it.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    exchanges = collector.exchanges
    status = getattr(error, "status_code", None) or (exchanges[-1].status if exchanges else None)
    refused = status is not None and status >= 400
    in_stream = bool(getattr(error, "in_stream", False))
    found = _found(error, names, status if refused else None)
    waiting = [getattr(error, "retry_after", None), *(exchange.retry_after for exchange in reversed(exchanges))]
    return ModelError(
        found.category,
        without(found.message, collector.secret),
        provider=config.provider,
        model=config.model,
        status=status if refused else None,
        code=found.code,
        retry_after=next((seconds for seconds in reversed(waiting) if seconds is not None), None),
        safe=found.unsent or not exchanges or ((refused or in_stream) and not _says_something(partial)),
        in_stream=in_stream,
        partial=partial,
        exchanges=exchanges,
    )


def _says_something(partial: Reply | None) -> bool:
    said = None if partial is None else partial.message
    return said is not None and bool(said.content or said.tool_calls or said.reasoning)


@dataclass(frozen=True)
class _Found:
    category: str
    message: str
    code: str = ""
    unsent: bool = False
    """The request did not leave this machine."""


def _found(error: BaseException, names: set[str], status: int | None) -> _Found:
    said = str(error)[:_MOST_TEXT] or type(error).__name__
    if isinstance(error, Incomplete):
        return _Found(error.category, said, error.code)
    if names & {"TimeoutError", "ModelRequestTimeout"}:
        return _Found("timeout", said, "deadline")
    if "ModelConnectionError" in names or "HTTPError" in names:
        phase = getattr(error, "phase", None)
        unsent = phase in ("pool", "connect")
        late = names & {"ModelTimeoutError", "TimeoutException"} and not unsent
        return _Found("timeout" if late else "network", said, phase or "", unsent)
    if "UserError" in names or "NotImplementedError" in names:
        return _Found("invalid_request", said, "unsupported", unsent=True)
    if "UnexpectedModelBehavior" in names:
        return _Found("server_error", said, "unreadable")
    if type(error).__name__ == "ModelAPIError" and getattr(error, "body", None) is None:
        return _Found("network", said, "incomplete")  # the library's word for a stream without a reason for its end
    if "ModelAPIError" in names:
        return _refused(error, names, status, said)
    return _Found("bug", f"{type(error).__name__}: {said}")


def _refused(error: Any, names: set[str], status: int | None, said: str) -> _Found:
    refusal = told(getattr(error, "body", None), status)
    refusal = Refusal(
        status or refusal.status,
        getattr(error, "provider_error_code", None) or refusal.code,
        getattr(error, "provider_error_type", None) or refusal.kind,
        refusal.message or said,
    )
    code = refusal.code or refusal.kind
    if "ModelContextWindowExceededError" in names:
        return _Found("context_overflow", refusal.message, code)
    if "ModelQuotaExceededError" in names:
        return _Found("rate_limit", refusal.message, code or "insufficient_quota")
    return _Found(category(refusal), refusal.message, code)


class Incomplete(Exception):
    """A reply that did not come to its end, found by the adapter itself."""

    def __init__(self, message: str, category: str = "network", code: str = "incomplete") -> None:
        self.category, self.code = category, code
        super().__init__(message)


def without(text: str, secret: str) -> str:
    """A text in which a secret does not occur."""
    return text.replace(secret, "[key]") if len(secret) > 3 else text


def _may_be_full(refusal: Refusal) -> bool:
    return refusal.status in (None, 400, 413, 422)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
